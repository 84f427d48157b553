//! What a URL means, what is refused, and that no secret is shown.

use secrecy::ExposeSecret;

use super::*;

fn parse(text: &str) -> Result<WeaviateConfig> {
    WeaviateConfig::parse(text, &|_| None)
}

#[test]
fn urls_and_what_they_mean() {
    for (text, http, grpc, tls, again) in [
        ("weaviate://h", "h:8080", "h:50051", false, "weaviate://h:8080"),
        (
            "weaviate://127.0.0.1:8090?grpc=6",
            "127.0.0.1:8090",
            "127.0.0.1:6",
            false,
            "weaviate://127.0.0.1:8090?grpc=6",
        ),
        ("weaviate://h/?tls=true", "h:443", "h:50051", true, "weaviates://h:443"),
        (
            "weaviates://c.example?grpc=grpc-c.example:443",
            "c.example:443",
            "grpc-c.example:443",
            true,
            "weaviates://c.example:443?grpc=grpc-c.example:443",
        ),
        ("weaviate://a:1,b:2?grpc=3", "a:1 b:2", "a:3 b:3", false, "weaviate://a:1,b:2?grpc=3"),
        ("weaviate://a:1,b:2?grpc=3,c:4", "a:1 b:2", "a:3 c:4", false, "weaviate://a:1,b:2?grpc=3,c:4"),
        ("weaviate://[::1]:1?grpc=2", "[::1]:1", "[::1]:2", false, "weaviate://[::1]:1?grpc=2"),
        (
            "weaviate://h?consistency=ALL&replication=3&tenant=a%20b",
            "h:8080",
            "h:50051",
            false,
            "weaviate://h:8080?consistency=all&replication=3&tenant=a%20b",
        ),
    ] {
        let config = parse(text).expect(text);
        let shown = |places: &[Place]| places.iter().map(Place::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(
            (shown(&config.http), shown(&config.grpc), config.tls),
            (http.into(), grpc.into(), tls),
            "{text}"
        );
        assert_eq!(config.redacted(), again, "{text}");
        assert_eq!(parse(again).expect(again).redacted(), again, "what is kept means the same");
    }
}

#[test]
fn what_is_refused_says_why() {
    for (text, why) in [
        ("http://h", "scheme"),
        ("weaviate://", "no host"),
        ("weaviate://u:p@h", "WEAVIATE_API_KEY"),
        ("weaviate://h?api_key=s3cret", "WEAVIATE_API_KEY"),
        ("weaviate://h?consistancy=all", "did you mean 'consistency'?"),
        ("weaviate://h?consistency=most", "none of one, quorum, all"),
        ("weaviate://h?replication=0", "no number of nodes"),
        ("weaviate://h?replication=all", "no number of nodes"),
        ("weaviate://h?tenant=", "names no tenant"),
        ("weaviate://h:99999", "65535"),
        ("weaviate://h:x", "not a number"),
        ("weaviate://h/Message", "path"),
        ("weaviate://a,b,c?grpc=1,2", "another number"),
        ("weaviates://h?tls=false", "without"),
        ("weaviate://h?grpc=1&grpc=2", "twice"),
        ("weaviate://h?tls=perhaps", "neither"),
    ] {
        let error = parse(text).expect_err(text);
        let said = format!("{error} {}", error.what_to_do());
        assert!(said.contains(why), "{text}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
        assert_eq!(error.kind(), Kind::Config, "{text}");
    }
}

#[test]
fn secrets_come_from_the_environment_or_a_file_and_are_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, headers) = (folder.path().join("key"), folder.path().join("headers"));
    std::fs::write(&key, "of-the-file\n").expect("a file");
    std::fs::write(&headers, "# modules\nX-OpenAI-Api-Key: of-the-headers\n").expect("a file");
    let env = |name: &str| (name == "WEAVIATE_API_KEY").then(|| "of-the-environment".to_owned());
    let url = format!("weaviate://h?api_key_file={}&headers_file={}", key.display(), headers.display());
    for (text, want) in [("weaviate://h", "of-the-environment"), (url.as_str(), "of-the-file")] {
        let config = WeaviateConfig::parse(text, &env).expect(text);
        assert_eq!(config.api_key.as_ref().map(|key| key.expose_secret()), Some(want));
        let shown = format!("{config:?} {}", config.redacted());
        assert!(!shown.contains("of-the-"), "{shown}");
        assert_eq!(parse(&config.redacted()).expect("again").api_key.is_some(), text != "weaviate://h");
    }
    let config = WeaviateConfig::parse(&url, &env).expect("with headers");
    assert_eq!(config.headers[0].0, "x-openai-api-key");
    std::fs::write(&headers, "Authorization: x").expect("a file");
    let error = WeaviateConfig::parse(&url, &env).expect_err("another header");
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[test]
fn another_way_to_the_same_data_is_told_from_other_data() {
    let now = parse("weaviate://b:8080,c:8080?grpc=50051&consistency=quorum&replication=3&tenant=a%26b")
        .expect("a URL");
    for (then, may_be) in [
        ("weaviate://a:8080,b:8080?grpc=50051&consistency=all&replication=3&tenant=a%26b", true),
        ("weaviates://a?tls_root_cert=/gone&replication=3&tenant=a%26b&api_key_file=/gone/too", true),
        ("weaviate://b:8080,c:8080?grpc=50051&consistency=quorum&replication=3", false),
        ("weaviate://b:8080?replication=3&tenant=a", false),
        ("weaviate://b:8080?tenant=a%26b", false),
        ("postgresql://b/db?replication=3&tenant=a%26b", false),
    ] {
        assert_eq!(now.may_be(then), may_be, "{then}");
        assert!(now.may_be(&now.redacted()));
    }
}
