//! The private Weaviate: it answers, keeps what it acknowledged through a kill, and ends with its process.

use switchover_testkit::Weaviate;

#[test]
fn a_server_answers_keeps_its_data_through_a_kill_and_leaves_nothing() {
    let mut server = Weaviate::builder().api_key("s3cret").start().expect("it starts");
    let collection = server.fresh_collection("Kit");
    let (status, said) =
        server.rest("POST", "/v1/schema", &format!(r#"{{"class":"{collection}"}}"#)).expect("it answers");
    assert_eq!(status, 200, "{said}");
    let ports = (server.http_url(), server.grpc_port());
    server.kill().expect("it is killed");
    assert!(!server.is_ready(), "a killed server does not answer");
    server.restart().expect("it starts again");
    assert_eq!((server.http_url(), server.grpc_port()), ports, "its ports stay");
    let (status, said) = server.rest("GET", &format!("/v1/schema/{collection}"), "").expect("it answers");
    assert_eq!(status, 200, "{said}");
    let folder = server.data_folder();
    let address = (*server).clone();
    drop(server);
    assert!(!folder.exists(), "its folder goes with it");
    assert!(!address.is_ready(), "and so does the server");
}
