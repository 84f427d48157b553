//! Vectors that the server's own module makes while objects are moved: the module is real, and what it asks is a small provider
//! here, whose vectors are made of the texts that it is given. (Modules that count tokens load files from the network for that.)

use crate::common::run;
use crate::server::Site;
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A provider of embeddings: three numbers, the first the length of the text.
struct Provider {
    url: String,
    texts: Arc<AtomicUsize>,
}

impl Provider {
    fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let texts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&texts);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || answer(stream, &counted));
            }
        });
        Provider { url, texts }
    }
}

fn answer(stream: std::net::TcpStream, texts: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut length, mut key, mut line) = (0, false, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(number) = lower.strip_prefix("content-length:") {
                length = number.trim().parse().unwrap();
            }
            key |= lower.trim() == "authorization: bearer the-key";
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let asked: Json = serde_json::from_slice(&body).unwrap();
        let inputs = asked["texts"].as_array().unwrap();
        texts.fetch_add(inputs.len(), Ordering::Relaxed);
        let data: Vec<Json> = inputs.iter().map(|text| json!([text.as_str().unwrap().len(), 1, 2])).collect();
        let (status, said) = match key {
            true => ("200 OK", json!({ "id": "x", "embeddings": { "float": data } })),
            false => ("401 Unauthorized", json!({ "message": "no such key" })),
        };
        let said = said.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            said.len()
        );
        if stream.write_all(format!("{head}{said}").as_bytes()).is_err() {
            return;
        }
    }
}

fn site(provider: &Provider, key: &str) -> Site {
    let site = Site::new(
        "CREATE TABLE notes(id INTEGER PRIMARY KEY, title TEXT, body TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO notes SELECT i, 'title', printf('%.*c', i, 'x') FROM n;",
    );
    let toml = format!(
        "[table.notes]\nto = 'Note'\n[table.notes.object]\nvectorizer = 'text2vec-cohere'
         vectorizer_config = {{ baseURL = '{}', model = 'small', properties = ['body'], vectorizeClassName = false }}",
        provider.url
    );
    std::fs::write(site.folder.path().join("switchover.toml"), toml).unwrap();
    std::fs::write(site.folder.path().join("headers"), format!("X-Cohere-Api-Key: {key}\n")).unwrap();
    site
}

fn verb(site: &Site, arguments: &[&str]) -> std::process::Command {
    let url = format!("{}&headers_file=headers", site.server.0.url());
    let mut command = site.program(arguments);
    command.args(["--from", "sqlite:app.db", "--to", &url]);
    command
}

#[test]
fn the_servers_module_makes_the_vectors_and_the_report_says_that_they_are_not_compared() {
    let provider = Provider::start();
    let site = site(&provider, "the-key");
    let planned = run(&mut verb(&site, &["migrate", "--dry-run"])).exits(0);
    let said = planned.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("made by the server's module text2vec-cohere of what it stores; it is not compared"),
        "{planned}"
    );
    let report = site.folder.path().join("report.md");
    let report_at = report.display().to_string();
    run(&mut verb(&site, &["migrate", "--report", &report_at])).exits(0);
    assert!(std::fs::read_to_string(&report).unwrap().contains("not compared"));
    let objects = site.server.objects("Note");
    assert_eq!(objects.len(), 60);
    for object in objects.values() {
        let length = object["properties"]["body"].as_str().unwrap().len();
        assert_eq!(object["vectors"]["default"], json!([length, 1, 2]));
    }
    assert!(provider.texts.load(Ordering::Relaxed) >= 60);
    run(&mut verb(&site, &["verify"])).exits(0);
    run(&mut verb(&site, &["rollback"])).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn a_provider_that_refuses_is_no_success() {
    let provider = Provider::start();
    let site = site(&provider, "another");
    let ran = run(&mut verb(&site, &["migrate"]));
    assert_ne!(ran.code, Some(0), "{ran}");
    assert!(ran.err.contains("no such key"), "{ran}");
    assert!(!ran.err.contains("another"), "{ran}");
    let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("table notes") && said.contains("id=") && said.contains("the key in headers_file"),
        "{ran}"
    );
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

/// A module that counts tokens: without the network it panics in the server, and with it the provider refuses the key.
#[test]
fn a_module_that_fails_is_named_with_the_row_and_what_to_look_at() {
    let provider = Provider::start();
    let site = site(&provider, "another");
    let path = site.folder.path().join("switchover.toml");
    let toml = std::fs::read_to_string(&path).unwrap().replace("text2vec-cohere", "text2vec-openai");
    std::fs::write(&path, toml).unwrap();
    std::fs::write(site.folder.path().join("headers"), "X-OpenAI-Api-Key: another\n").unwrap();
    let ran = run(&mut verb(&site, &["migrate"])).exits(2);
    let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "the server refuses the object",
        "table notes",
        "the server's module text2vec-openai refuses it, or fails",
    ] {
        assert!(said.contains(part), "{part}: {ran}");
    }
    assert!(!said.contains("another"), "{ran}");
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn a_vectorizer_that_cannot_be_is_refused_with_its_line() {
    let site = Site::new(
        "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT, v BLOB); INSERT INTO notes VALUES (1, 'x', x'0000803f');",
    );
    for (toml, said) in [
        (
            "[table.notes.object]\nvectorizer = 'text2vec-none'",
            "line 2: table.notes.object.vectorizer: the server has no module \"text2vec-none\"; it has",
        ),
        ("[table.notes.object]\nvectorizer_config = { model = 'x' }", "no vectorizer is asked for"),
        (
            "[table.notes.object]\nvectorizer = 'text2vec-openai'\nvectorizer_config = { apiKey = 'x' }",
            "\"apiKey\" looks like a secret",
        ),
        (
            "[table.notes]\nobject.vectorizer = 'text2vec-openai'\n[table.notes.column]\nv.type = 'vector'",
            "the column v is the vector of the same objects",
        ),
    ] {
        std::fs::write(site.folder.path().join("switchover.toml"), toml).unwrap();
        let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
        let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(all.contains(said), "{said}: {ran}");
    }
}
