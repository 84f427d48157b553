//! What a key may do: said before anything is written, by `doctor` and by the plan, on servers with authorization.

use crate::common::{Ran, run};
use crate::server::Site;
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::Builder;

const SOURCE: &str =
    "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO items VALUES (1, 'a')";

const ADMIN: &str = "the-admins-own-key";
const READER: &str = "a-readers-own-key";

/// A server that knows two users by these keys.
fn server() -> Builder {
    Weaviate::builder()
        .api_key(ADMIN)
        .setting("AUTHENTICATION_APIKEY_ALLOWED_KEYS", &format!("{ADMIN},{READER}"))
        .setting("AUTHENTICATION_APIKEY_USERS", "tester,reader")
        // With this set, what asks for a right must not make anything by itself.
        .setting("AUTOSCHEMA_ENABLED", "true")
}

fn said(ran: &Ran) -> String {
    format!("{} {}", ran.out, ran.err).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn verb(site: &Site, key: &str, verb: &str) -> Ran {
    let ran = run(site.verb(verb).env("WEAVIATE_API_KEY", key));
    assert!(!said(&ran).contains(key), "{ran}");
    ran
}

const ALL: [&str; 4] = ["make collections", "drop collections", "change objects", "delete objects"];

#[test]
fn a_key_that_may_only_read_is_named_before_anything_is_written() {
    let server = server().setting("AUTHORIZATION_ADMINLIST_READONLY_USERS", "reader").start().unwrap();
    let site = Site::at((*server).clone(), |source| source.execute_batch(SOURCE).unwrap());
    let ready = verb(&site, ADMIN, "doctor").exits(0);
    assert!(said(&ready).contains("ok target: rights collections may be made and dropped"), "{ready}");
    for doing in ["doctor", "plan"] {
        let ran = verb(&site, READER, doing).exits(1);
        for right in ALL {
            assert!(said(&ran).contains(&format!("the key's user may not {right}")), "{right}: {ran}");
        }
        assert!(!said(&ran).contains("may not make objects"), "nothing tells: {ran}");
    }
    // Without a look before, the first thing that it would write tells.
    verb(&site, READER, "migrate").exits(2).says("insufficient permissions");
    assert_eq!(site.server.collections(), Vec::<String>::new());
    verb(&site, ADMIN, "migrate").exits(0);
    // Who may read may verify.
    verb(&site, READER, "verify").exits(0);
}

#[test]
fn a_role_that_lacks_some_rights_is_told_which() {
    let server = server()
        .setting("AUTHORIZATION_ADMINLIST_ENABLED", "false")
        .setting("AUTHORIZATION_RBAC_ENABLED", "true")
        .setting("AUTHORIZATION_RBAC_ROOT_USERS", "tester")
        .start()
        .unwrap();
    let site = Site::at((*server).clone(), |source| source.execute_batch(SOURCE).unwrap());
    let post = |path: &str, body: String| {
        let (status, answer) = site.server.rest("POST", path, &body);
        assert!(status < 300, "{status} {answer}");
    };
    let half = ["create_collections", "read_collections", "delete_collections"]
        .map(|action| format!(r#"{{"action":"{action}","collections":{{"collection":"*"}}}}"#));
    let data = ["read_data", "update_data"]
        .map(|action| format!(r#"{{"action":"{action}","data":{{"collection":"*"}}}}"#));
    let rights = format!("{},{}", half.join(","), data.join(","));
    post("/v1/authz/roles", format!(r#"{{"name":"half","permissions":[{rights}]}}"#));
    post("/v1/authz/users/reader/assign", r#"{"roles":["half"],"userType":"db"}"#.into());
    let ran = verb(&site, READER, "doctor").exits(1);
    let lacks = |right: &str| said(&ran).contains(&format!("the key's user may not {right}"));
    assert!(lacks("delete objects") && lacks("make objects"), "{ran}");
    assert!(!lacks("make collections") && !lacks("drop collections") && !lacks("change objects"), "{ran}");
    verb(&site, ADMIN, "doctor").exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}
