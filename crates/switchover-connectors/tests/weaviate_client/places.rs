//! Places before one server: one that takes requests and gives no answer to those that change something, and one that answers as
//! a cluster does that has no leader.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use switchover_connectors::weaviate::WeaviateConfig;
use switchover_connectors::weaviate::client::Client;
use switchover_core::Kind;
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::{Address, Liar};

use crate::support::{connect, definition, store_texts, uuid};

/// A place before the server's REST: what `answer` gives for a method, a path and a body is answered, and nothing where it
/// gives nothing.
fn before(answer: impl Fn(&str, &str, &str) -> Option<(u16, String)> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a place").port();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            one(stream, &answer);
        }
    });
    port
}

fn one(mut stream: TcpStream, answer: &impl Fn(&str, &str, &str) -> Option<(u16, String)>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let (mut head, mut line, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().expect("a number");
        }
        head.push_str(&line);
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let body = String::from_utf8(body).expect("a text");
    let mut words = head.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
    let Some((status, said)) = answer(method, path, &body) else { return };
    let head =
        format!("HTTP/1.1 {status} Told\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", said.len());
    drop(stream.write_all(format!("{head}{said}").as_bytes()));
}

/// Passes questions on, and swallows what changes something; how many of those is counted.
fn swallowing(server: &Address) -> (u16, Arc<AtomicUsize>) {
    let swallowed = Arc::new(AtomicUsize::new(0));
    let (server, counted) = (server.clone(), Arc::clone(&swallowed));
    let port = before(move |method, path, _| match method {
        "GET" => Some(server.rest("GET", path, "").expect("the server's answer")),
        _ => {
            counted.fetch_add(1, Ordering::SeqCst);
            None
        }
    });
    (port, swallowed)
}

/// What a node of a cluster says that has no leader, as three nodes said it of which two were killed.
const NO_LEADER: &str = r#"{"error":[{"message":"leader not found, can not resolve nodes [node0,node1]"}]}"#;

/// A cluster without a leader answers so many changes and questions about collections as the real one does, and passes on
/// what follows.
fn leaderless(server: &Address, changes: usize, questions: usize) -> u16 {
    let (server, changes, questions) =
        (server.clone(), AtomicUsize::new(changes), AtomicUsize::new(questions));
    let left = |of: &AtomicUsize| {
        let less = |left: usize| left.checked_sub(1);
        of.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    };
    before(move |method, path, body| {
        let about = path.starts_with("/v1/schema") || path.starts_with("/v1/aliases");
        let status = match method {
            "GET" if about && left(&questions) => Some(500),
            "POST" if about && left(&changes) => Some(if path.starts_with("/v1/schema") { 422 } else { 500 }),
            "DELETE" if about && left(&changes) => Some(400),
            _ => None,
        };
        let passed = || server.rest(method, path, body).expect("the server's answer");
        Some(status.map_or_else(passed, |status| (status, NO_LEADER.to_owned())))
    })
}

async fn reached(server: &Address, port: u16) -> Client {
    let url = format!("weaviate://127.0.0.1:{port}?grpc={}", server.grpc_port());
    let config = WeaviateConfig::parse(&url, &|_| None).expect("a URL");
    Client::connect(&config, 1).await.expect("it answers")
}

#[tokio::test]
async fn a_change_that_a_cluster_without_a_leader_refuses_can_be_tried_again() {
    let server = Weaviate::shared().expect("a server");
    let name = server.fresh_collection("Leader");
    // One has none still when it is asked; the other has got one meanwhile, and the change is asked for again.
    let gone = reached(server, leaderless(server, 3, 3)).await;
    let error = gone.create_collection(&definition(&name, &[])).expect_err("there is no leader");
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    let error = gone.delete_collection(&name).expect_err("there is no leader");
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    let error = gone.set_alias(&format!("{name}_alias"), &name).expect_err("there is no leader");
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    let back = reached(server, leaderless(server, 1, 0)).await;
    back.create_collection(&definition(&name, &[])).expect("made at the second time");
    assert!(server.collections().expect("a list").contains(&name));
    // A definite no stays one.
    let error = back.create_collection(&definition(&name, &[])).expect_err("it is there");
    assert_eq!(error.kind(), Kind::Rejected, "{error:?}");
    back.delete_collection(&name).expect("removed");
}

#[tokio::test]
async fn what_changes_something_is_not_sent_to_another_place_by_itself() {
    let server = Weaviate::shared().expect("a server");
    let (port, swallowed) = swallowing(server);
    let (http, grpc) = (server.http_port(), server.grpc_port());
    let url = format!("weaviate://127.0.0.1:{port},127.0.0.1:{http}?grpc={grpc}");
    let config = WeaviateConfig::parse(&url, &|_| None).expect("a URL");
    let client = Client::connect(&config, 1).await.expect("it answers questions");
    let name = server.fresh_collection("Places");
    let error = client.create_collection(&definition(&name, &[])).expect_err("nobody answers");
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    assert_eq!(swallowed.load(Ordering::SeqCst), 1);
    assert!(!server.collections().expect("a list").contains(&name), "it was sent to the other place too");
    // Who asks again is sent there, because the first one is away now.
    client.create_collection(&definition(&name, &[])).expect("made");
    assert!(client.collection(&name).expect("an answer").is_some());
    client.delete_collection(&name).expect("removed");
    // One that nothing listens at is passed over at once.
    let url = format!("weaviate://127.0.0.1:1,127.0.0.1:{http}?grpc=1,{grpc}");
    let config = WeaviateConfig::parse(&url, &|_| None).expect("a URL");
    let client = Client::connect(&config, 4).await.expect("the second answers");
    client.create_collection(&definition(&name, &[])).expect("made there");
    for lane in 0..4 {
        assert_eq!(client.count(&name).await.expect("a count"), 0, "{lane}");
    }
    client.delete_collection(&name).expect("removed");
}

/// It may be carried out when nobody waits for it any more.
#[tokio::test]
async fn an_object_over_rest_whose_answer_is_lost_is_known_to_be_under_way() {
    let server = Weaviate::shared().expect("a server");
    let name = server.fresh_collection("Lost");
    let own = connect(server).await;
    let made = own.create_collection(&definition(&name, &[("t", "text")])).expect("made");
    let text =
        json!({ "class": name, "id": "00000000-0000-4000-8000-000000000001", "properties": { "t": "x" } });
    let write = |client: &Client, puts: bool| match puts {
        false => client.add_object(&name, &uuid(1), &text["properties"]).map(drop),
        true => client.put_object_text(&made, &uuid(1), &text.to_string()),
    };
    for puts in [false, true] {
        let client = reached(server, swallowing(server).0).await;
        assert_eq!(client.lost_at(), None);
        write(&client, puts).expect_err("nobody answers");
        assert!(client.lost_at().is_some());
        write(&own, puts).expect("an answer");
        assert_eq!(own.lost_at(), None);
    }
    own.delete_collection(&name).expect("removed");
}

#[test]
fn a_place_that_takes_a_request_over_grpc_and_gives_no_answer_is_passed_over() {
    let server = Weaviate::shared().expect("a server");
    let silent = Liar::start(server.grpc_port(), 1).expect("a line");
    tokio::runtime::Runtime::new().expect("a runtime").block_on(passed_over(server, &silent));
}

async fn passed_over(server: &Address, silent: &Liar) {
    let (http, grpc) = (server.http_port(), server.grpc_port());
    let url = format!("weaviate://127.0.0.1:{http},127.0.0.1:{http}?grpc={},{grpc}", silent.port());
    let config = WeaviateConfig::parse(&url, &|_| None).expect("a URL");
    let client = Client::connect(&config, 2).await.expect("both answer");
    let name = server.fresh_collection("Silent");
    client.create_collection(&definition(&name, &[("t", "text")])).expect("made");
    client.write_within(Duration::from_millis(500));
    silent.hold_next(&name);
    let mut writer = client.writer(&name);
    writer.object(uuid(1)).finish();
    let error = client.batch(0, &writer.take()).await.expect_err("nobody answers");
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    assert!(silent.is_holding(), "it was sent to the other place");
    // What is sent next goes there, because this one is away now.
    let sent = silent.sent().len();
    client.write_within(Duration::from_secs(60));
    store_texts(&client, &name, &[(uuid(2), "by the other place")]).await;
    assert_eq!(silent.sent().len(), sent, "it was sent there again");
    silent.release();
    client.delete_collection(&name).expect("removed");
}
