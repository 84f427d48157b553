//! JSON texts as objects of the server's: what comes back, and what is refused because it would not.

use crate::common::run;
use crate::server::Site;
use serde_json::{Value as Json, json};

const MAPPING: &str = r#"
    [table.runs]
    to = 'Run'
    [table.runs.column]
    usage.nested = { model = "text", tokens = "int", price = "number", cached = "boolean", tags = "text[]", scores = "number[]", inner = { at = { id = "text" } } }
    calls.nested = [{ id = "text", name = "text", arguments = { city = "text", days = "int" }, parts = [{ text = "text" }] }]"#;

const USAGE: [&str; 7] = [
    r#"{"model":"a","tokens":9007199254740992,"price":0.1,"cached":true,"tags":["x",""],"scores":[0.5,-1e-7],"inner":{"at":{"id":"deep"}}}"#,
    r#"{ "price" : 5e-324 , "model" : "the keys in another order 😀" }"#,
    r#"{"tags":[],"scores":[]}"#,
    r#"{"cached":false,"tokens":0,"price":0}"#,
    r#"{"price":-0.0,"model":""}"#,
    r#"{"price":1.7976931348623157e308}"#,
    r#"{"tokens":-9007199254740992,"scores":[1,2.5]}"#,
];

const CALLS: [&str; 4] = [
    r#"[{"id":"1","name":"weather","arguments":{"city":"Oslo","days":3},"parts":[{"text":"a"},{"text":"b"}]},{"id":"2"}]"#,
    "[]",
    r#"[{"parts":[]}]"#,
    r#"[{"name":""}]"#,
];

fn site(usage: &[&str], calls: &[&str], toml: &str) -> Site {
    let site = Site::with(|source| {
        source.execute_batch("CREATE TABLE runs(id INTEGER PRIMARY KEY, usage TEXT, calls JSON)").unwrap();
        for at in 0..usage.len().max(calls.len()) {
            let row = rusqlite::params![at as i64, usage.get(at), calls.get(at)];
            source.execute("INSERT INTO runs VALUES (?, ?, ?)", row).unwrap();
        }
    });
    std::fs::write(site.folder.path().join("switchover.toml"), toml).unwrap();
    site
}

#[test]
fn objects_and_lists_of_them_come_back_by_value() {
    let site = site(&USAGE, &CALLS, MAPPING);
    let ran = run(&mut site.migrate(&["--validation-sample", "20"])).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    let objects = site.server.objects("Run");
    let of = |id: usize, name: &str| -> Json {
        let object = objects.values().find(|object| object["properties"]["original_id"] == id).unwrap();
        object["properties"][name].clone()
    };
    assert_eq!(of(0, "usage")["inner"]["at"]["id"], "deep");
    assert_eq!(of(0, "usage")["tags"], json!(["x", ""]));
    assert_eq!(of(0, "calls")[0]["arguments"]["days"], 3);
    assert_eq!(of(0, "calls")[1], json!({ "id": "2" }));
    let properties = site.server.properties("Run");
    assert_eq!(properties["usage"]["dataType"][0], "object");
    assert_eq!(properties["calls"]["dataType"][0], "object[]");
    run(&mut site.verb("verify")).exits(0);
    // A change inside is seen, and mended.
    let id = objects.iter().find(|(_, object)| object["properties"]["original_id"] == 3).unwrap().0;
    site.server.patch("Run", id, r#"{"usage":{"cached":true,"tokens":0,"price":0}}"#);
    run(&mut site.verb("verify")).exits(1);
    run(site.verb("verify").arg("--repair")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
}

#[test]
fn what_would_not_come_back_is_named_or_put_aside() {
    let bad = [
        r#"{"model":null}"#,
        r#"{"other":1}"#,
        r#"{"tokens":9007199254740993}"#,
        r#"{"tokens":1.5}"#,
        r#"{"model":"a","model":"b"}"#,
        r#"{"price":0.10000000000000000000001}"#,
        r#"{"tags":["x",null]}"#,
        "{}",
        "[1]",
        "no JSON",
    ];
    let site = site(&bad, &[], MAPPING);
    let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
    let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "\"model\" is not of the kind text",
        "the property \"other\", which is not declared",
        "an integer beyond 2^53",
        "occurs twice",
        "binary64 does not hold exactly",
    ] {
        assert!(all.contains(said), "{said}: {ran}");
    }
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    assert!(site.server.objects("Run").values().all(|object| object["properties"]["usage"].is_null()));
    run(&mut site.verb("verify")).exits(0);
}

/// A value of `usage` or `calls`, and what is said of it where it would not come back.
const NOTHING_INSIDE: [(&str, &str, Option<&str>); 12] = [
    ("usage", r#"{"model":"a","inner":{}}"#, Some("without a property")),
    ("usage", r#"{"inner":{"at":{}}}"#, Some("without a property")),
    ("usage", r#"{"inner":null}"#, Some("is no object")),
    ("usage", r#"{"inner":[]}"#, Some("is no object")),
    ("usage", r#"{"model":[]}"#, Some("not of the kind")),
    ("usage", r#"{"model":{}}"#, Some("not of the kind")),
    ("usage", r#"{"model":"a","tags":[],"scores":[]}"#, None),
    ("calls", "[{}]", Some("without a property")),
    ("calls", "[null]", Some("is no object")),
    ("calls", r#"[{"parts":[{}]}]"#, Some("without a property")),
    ("calls", r#"[{"id":null}]"#, Some("not of the kind")),
    ("calls", r#"[{"id":"1","parts":[]},{"id":"2","parts":[{"text":""}]}]"#, None),
];

#[test]
fn nothing_inside_an_object_comes_back_as_nothing_or_is_named() {
    let mut said = Vec::new();
    for (column, text, why) in NOTHING_INSIDE {
        let site = match column {
            "usage" => site(&[text], &[], MAPPING),
            _ => site(&[], &[text], MAPPING),
        };
        let ran = run(&mut site.migrate(&[]));
        let all = format!("{} {}", ran.out, ran.err).split_whitespace().collect::<Vec<_>>().join(" ");
        match why {
            None => assert!(ran.code == Some(0) && all.contains("same"), "{text}: {ran}"),
            Some(why) if ran.code == Some(1) && all.contains(why) => {}
            Some(why) => said.push(format!("{text}, wanted {why:?}: {ran}")),
        }
    }
    assert!(said.is_empty(), "{}", said.join("\n"));
}

/// The server takes an object of exactly these two for a point, and no page that holds it can be read any more: the plan says
/// so, at every depth, and not the copy.
#[test]
fn an_object_of_latitude_and_longitude_alone_is_named_by_the_plan() {
    const FORM: &str = "[table.runs.column]
        usage.nested = { place = { latitude = 'number', longitude = 'number', height = 'number' }, latitude = 'number', longitude = 'number' }
        calls.nested = [{ latitude = 'number', longitude = 'number', name = 'text' }]";
    let bad = [r#"{"latitude":59.9,"longitude":10.7}"#, r#"{"place":{"longitude":10.7,"latitude":59.9}}"#];
    let listed = r#"[{"latitude":1,"longitude":2,"name":"a"},{"latitude":59.9,"longitude":10.7}]"#;
    let good = r#"{"latitude":59.9,"place":{"latitude":59.9,"longitude":10.7,"height":1}}"#;
    let site = site(&[bad[0], bad[1], good], &["[]", "[]", listed], FORM);
    let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
    let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        all.matches("is exactly latitude and longitude, which the target takes for a point").count(),
        3,
        "{ran}"
    );
    for row in ["id=0", "id=1", "id=2"] {
        assert!(all.contains(row), "{row}: {ran}");
    }
    run(&mut site.migrate(&[])).exits(1);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    let objects = site.server.objects("Runs");
    let of = |id: usize| {
        let found = objects.values().find(|object| object["properties"]["original_id"] == id);
        found.unwrap()["properties"].clone()
    };
    assert!(of(0)["usage"].is_null() && of(1)["usage"].is_null() && of(2)["calls"].is_null(), "{objects:?}");
    assert_eq!(of(2)["usage"]["place"]["height"], 1);
    run(&mut site.verb("verify")).exits(0);
}

#[test]
fn a_form_that_cannot_be_is_refused_with_its_line() {
    let site = site(&USAGE[..1], &[], "");
    for (toml, said) in [
        (
            "[table.runs.column]\nusage.nested = 'text'",
            "line 2: table.runs.column.usage.nested: it is `{ … }` for an object",
        ),
        ("[table.runs.column]\nusage.nested = {}", "an object without a property"),
        ("[table.runs.column]\nusage.nested = { Model = 'text' }", "\"Model\" is no name there"),
        (
            "[table.runs.column]\nusage = { nested = { model = 'text' }, type = 'text' }",
            "an object has no `type` beside it",
        ),
        (
            "[table.runs.column]\nusage = { nested = { model = 'text' }, searchable = true }",
            "has no words to find",
        ),
    ] {
        std::fs::write(site.folder.path().join("switchover.toml"), toml).unwrap();
        let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
        let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(all.contains(said), "{said}: {ran}");
    }
    std::fs::write(
        site.folder.path().join("switchover.toml"),
        "[table.runs.column]\nusage.nested = { model = 'txt' }",
    )
    .unwrap();
    let ran = run(&mut site.migrate(&["--dry-run"])).exits(2);
    assert!(ran.err.contains("line 2") && ran.err.contains("text"), "{ran}");
}
