//! Two places of one server, the first of which takes requests and gives no answer to those that change something.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchover_connectors::weaviate::WeaviateConfig;
use switchover_connectors::weaviate::client::Client;
use switchover_core::Kind;
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::Address;

use crate::support::definition;

/// Passes questions on, and swallows what changes something; how many of those is counted.
fn swallowing(server: &Address) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a place").port();
    let swallowed = Arc::new(AtomicUsize::new(0));
    let (server, counted) = (server.clone(), Arc::clone(&swallowed));
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            one(&server, stream, &counted);
        }
    });
    (port, swallowed)
}

fn one(server: &Address, mut stream: TcpStream, swallowed: &AtomicUsize) {
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
    let mut words = head.split_whitespace();
    let (Some("GET"), Some(path)) = (words.next(), words.next()) else {
        swallowed.fetch_add(1, Ordering::SeqCst);
        return;
    };
    let (status, said) = server.rest("GET", path, "").expect("the server's answer");
    let head =
        format!("HTTP/1.1 {status} Told\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", said.len());
    drop(stream.write_all(format!("{head}{said}").as_bytes()));
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
