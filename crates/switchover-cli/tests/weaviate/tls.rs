//! A server behind TLS: what goes over it, and what never does because the other side could not prove who it is.
//!
//! Weaviate itself speaks plainly; before each of its ports stands the end of TLS that the test kit has, as a proxy stands
//! before a real one. How many connections were opened, and what was said over them, the proxy counts.

use crate::CHAT;
use crate::common::{Ran, SECRET, run};
use crate::server::Site;
use std::fs;
use std::process::Command;
use switchover_testkit::Weaviate;
use switchover_testkit::certificates::{Root, Signed};
use switchover_testkit::tls_end::{BOTH, TlsEnd};

/// The key in a file, whose trailing line break is none of it; a wrong one, and a file that is not there.
#[test]
fn a_key_is_read_from_a_file() {
    let server = Weaviate::builder().api_key(SECRET).start().unwrap();
    let site = Site::at(server.clone(), |source| source.execute_batch(CHAT).unwrap());
    fs::write(site.folder.path().join("good.key"), format!("{SECRET}\n")).unwrap();
    fs::write(site.folder.path().join("bad.key"), "not-it\n").unwrap();
    let with = |verb: &str, key: &str| {
        let mut command = site.program(&[verb, "--from", "sqlite:app.db", "--to", &server.url()]);
        command.env_remove("WEAVIATE_API_KEY").args(["--api-key-file", key]);
        run(&mut command)
    };
    for (key, words) in [("bad.key", "401"), ("absent.key", "absent.key")] {
        let ran = with("migrate", key).exits(2);
        assert!(ran.err.contains(words) && !ran.err.contains("not-it"), "{ran}");
        assert_eq!(site.server.collections(), Vec::<String>::new());
    }
    with("migrate", "good.key").exits(0);
    with("verify", "good.key").exits(0);
    let by_variable = |file: &str| {
        let mut command = site.program(&["verify", "--from", "sqlite:app.db", "--to", &server.url()]);
        run(command.env_remove("WEAVIATE_API_KEY").env("WEAVIATE_API_KEY_FILE", file))
    };
    by_variable("good.key").exits(0);
    by_variable("bad.key").exits(2);
    assert_eq!(site.server.objects("Messages").len(), 3000);
}

/// A proxy before REST and one before gRPC.
struct Ends {
    rest: TlsEnd,
    grpc: TlsEnd,
}

impl Ends {
    fn start(site: &Site, rest: &Signed, grpc: &Signed) -> Ends {
        let address = &site.server.0;
        Ends {
            rest: TlsEnd::start(address.http_port(), rest, BOTH).unwrap(),
            grpc: TlsEnd::start(address.grpc_port(), grpc, BOTH).unwrap(),
        }
    }

    fn url(&self, host: &str, more: &str) -> String {
        format!("weaviates://{host}:{}?grpc={}{more}", self.rest.port(), self.grpc.port())
    }
}

/// A verb between the stores, the server by this URL.
fn verb(site: &Site, verb: &str, url: &str) -> Command {
    site.program(&[verb, "--from", "sqlite:app.db", "--to", url])
}

/// What an error says, without ports.
fn error_of(ran: &Ran, ends: &Ends) -> String {
    assert!(!ran.err.contains(SECRET) && !ran.out.contains(SECRET), "{ran}");
    let port = |port: u16| port.to_string();
    let said = ran.err.replace(&port(ends.rest.port()), "[REST]").replace(&port(ends.grpc.port()), "[GRPC]");
    let at = said.find("error: ").unwrap_or_else(|| panic!("no error: {ran}"));
    said[at..].split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_server_is_reached_by_tls_alone_and_only_once_it_has_proved_its_name() {
    let server = Weaviate::builder().api_key(SECRET).start().unwrap();
    let site = Site::at(server.clone(), |source| source.execute_batch(CHAT).unwrap());
    let (root, other) = (Root::new().unwrap(), Root::new().unwrap());
    for (name, text) in
        [("root.pem", root.pem()), ("other.pem", other.pem()), ("broken.pem", "no PEM".to_owned())]
    {
        fs::write(site.folder.path().join(name), text).unwrap();
    }
    fs::write(
        site.folder.path().join("switchover.toml"),
        "[table.messages.column]\ncontent.searchable = true",
    )
    .unwrap();
    let good = root.sign(&["localhost", "127.0.0.1"]).unwrap();
    let elsewhere = root.sign(&["elsewhere.example"]).unwrap();
    let expired = root.expired(&["localhost"]).unwrap();

    // Whoever cannot prove its name hears nothing: no key, no row.
    let trusted = "&tls_root_cert=root.pem";
    let cases = [
        ("another root", &good, &good, "&tls_root_cert=other.pem"),
        ("no root but the system's", &good, &good, ""),
        ("a file that is not there", &good, &good, "&tls_root_cert=absent.pem"),
        ("a file that is no PEM", &good, &good, "&tls_root_cert=broken.pem"),
        ("another name", &elsewhere, &good, trusted),
        ("expired", &expired, &good, trusted),
        ("another name at gRPC", &good, &elsewhere, trusted),
        ("expired at gRPC", &good, &expired, trusted),
    ];
    let mut said = Vec::new();
    for (what, rest, grpc, more) in cases {
        let ends = Ends::start(&site, rest, grpc);
        let ran = run(&mut verb(&site, "migrate", &ends.url("localhost", more))).exits(2);
        said.push(format!("## {what}\n{}", error_of(&ran, &ends)));
        assert_eq!((ends.grpc.opened(), ends.grpc.heard()), (0, 0), "{what}");
        if !what.ends_with("gRPC") {
            assert_eq!((ends.rest.opened(), ends.rest.heard()), (0, 0), "{what}");
        }
    }
    // http where there is TLS, TLS where there is http, and a proxy that does not let gRPC through.
    let ends = Ends::start(&site, &good, &good);
    let ran = run(&mut verb(&site, "migrate", &server.url().replace("weaviate:", "weaviates:"))).exits(2);
    let plain = error_of(&ran, &ends).replace(&server.http_port().to_string(), "[PLAIN]");
    said.push(format!("## a plain server\n{}", plain.replace(&server.grpc_port().to_string(), "[PLAIN]")));
    let rest = ends.rest;
    let old = TlsEnd::start(server.grpc_port(), &good, &["http/1.1"]).unwrap();
    let ends = Ends { rest, grpc: old };
    let ran = run(&mut verb(&site, "migrate", &ends.url("localhost", trusted))).exits(2);
    said.push(format!("## a proxy without HTTP/2\n{}", error_of(&ran, &ends)));
    let silent = TlsEnd::start(server.grpc_port(), &good, &[]).unwrap();
    let ends = Ends { grpc: silent, ..ends };
    let ran = run(&mut verb(&site, "migrate", &ends.url("localhost", trusted))).exits(2);
    said.push(format!("## a proxy that does not say what it speaks\n{}", error_of(&ran, &ends)));
    assert_eq!(ends.grpc.heard(), 0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    insta::assert_snapshot!(said.join("\n\n"));

    // A name and an address that the certificate has, all the way.
    for host in ["localhost", "127.0.0.1"] {
        let ends = Ends::start(&site, &good, &good);
        let url = ends.url(host, trusted);
        let ran = run(&mut verb(&site, "migrate", &url)).exits(0);
        assert!(ran.out.contains("same"), "{ran}");
        assert_eq!(site.server.count("Messages"), 3000);
        run(&mut verb(&site, "verify", &url)).exits(0);
        let search = ["search", "message 77", "--in", "Messages", "--to", &url, "--limit", "1"];
        let ran = run(&mut site.program(&search)).exits(0);
        assert!(ran.out.contains("message number 77"), "{ran}");
        run(&mut verb(&site, "rollback", &url)).exits(0);
        assert!(ends.rest.opened() > 0 && ends.grpc.heard() > 100_000);
        assert_eq!((ends.rest.refused(), ends.grpc.refused()), (0, 0));
    }
    assert!(!server.log().contains(SECRET));
}
