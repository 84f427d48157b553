//! The lock on a server, wanted by several processes at the same instants, of which some are killed while they hold it:
//! never two hold it, and nobody is locked out.
//!
//! Whoever holds it makes a collection that only one can make, so that two at once are seen by the server itself.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use switchover_connectors::weaviate::WeaviateConfig;
use switchover_connectors::weaviate::target::WeaviateTarget;
use switchover_core::Kind;
use switchover_core::connector::Target;

/// How often each process takes the lock.
const TIMES: usize = 12;

/// Processes at a time.
const PROCESSES: usize = 4;

/// Where a process of this test finds the server.
const SERVER: &str = "SWITCHOVER_TEST_LOCK_SERVER";

/// They do not take so long, however busy the machine is, unless somebody is locked out.
const LIMIT: Duration = Duration::from_secs(180);

/// What a process makes while it holds the lock. It is no run's own, and nobody else's.
const HELD: &str = "Held_alone";

fn child(url: &str) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["--exact", "lock::one_process", "--ignored", "--nocapture"]).env(SERVER, url);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
#[ignore = "one of the processes of the other test"]
fn one_process() {
    let url = std::env::var(SERVER).unwrap();
    let address = switchover_testkit::weaviate::Address::from_url(&url).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let target = WeaviateTarget::new(WeaviateConfig::parse(&url, &|_| None).unwrap());
    let mut taken = 0;
    while taken < TIMES {
        let claim = match runtime.block_on(target.claim("collections", "run")) {
            Ok(claim) => claim,
            Err(error) if error.kind() == Kind::Busy => continue,
            Err(error) => panic!("{error:?}"),
        };
        taken += 1;
        let body = format!(r#"{{"class":"{HELD}","vectorizer":"none"}}"#);
        let (status, said) = address.rest("POST", "/v1/schema", &body).unwrap();
        // One that was killed left it; the next holder's first act is to take it away, which another holder's would meet too.
        if status != 200 {
            assert_eq!(address.rest("DELETE", &format!("/v1/schema/{HELD}"), "").unwrap().0, 200, "{said}");
            let (status, said) = address.rest("POST", "/v1/schema", &body).unwrap();
            assert_eq!(status, 200, "two hold the lock: {said}");
        }
        runtime.block_on(claim.check()).unwrap();
        let (status, said) = address.rest("GET", &format!("/v1/schema/{HELD}"), "").unwrap();
        assert_eq!(status, 200, "two hold the lock: {said}");
        assert_eq!(address.rest("DELETE", &format!("/v1/schema/{HELD}"), "").unwrap().0, 200);
        drop(claim);
    }
}

#[test]
fn several_processes_that_want_it_at_once_have_it_one_by_one() {
    let server = switchover_testkit::Weaviate::start().unwrap();
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| child(&server.url())).collect();
    // One is killed wherever it is, again and again, and another comes.
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(150));
        let mut killed = children.remove(0);
        killed.kill().unwrap();
        killed.wait().unwrap();
        children.push(child(&server.url()));
    }
    let begun = Instant::now();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
    }
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    let left: Vec<String> = server.collections().unwrap();
    assert!(left.iter().all(|name| name == HELD || name.starts_with("Switchover_lock_")), "{left:?}");
}
