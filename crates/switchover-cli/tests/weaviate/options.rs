//! What the options of a pipeline do to a run into the server: seen by a line to it, which counts what comes by, refuses
//! it as a server that is away, and passes it on late.

use crate::common::{Ran, files, run};
use crate::server::Site;
use serde_json::Value as Json;
use std::time::Duration;
use switchover_testkit::weaviate::{Liar, Sent};

const ROWS: &str = "
    CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
    INSERT INTO items SELECT i, 'item ' || i FROM n;";

const COUNT: usize = 600;

/// So late a batch is passed on for each worker that there is: a busy machine makes the next one meanwhile, so that all have one
/// under way.
const LATE: Duration = Duration::from_millis(50);

/// What a busy machine adds to a wait.
const BUSY: Duration = Duration::from_secs(3);

/// A site, and an honest line to its server.
struct Lined {
    site: Site,
    line: Liar,
}

impl Lined {
    fn new(sql: &str) -> Lined {
        let site = Site::new(sql);
        let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
        Lined { site, line }
    }

    fn migrate(&self, more: &[&str]) -> Ran {
        let stores = ["migrate", "--from", "sqlite:app.db", "--to", &self.site.by(&self.line)];
        run(&mut self.site.program(&[&stores, more].concat()))
    }

    /// The objects of each batch.
    fn sizes(&self) -> Vec<usize> {
        self.line.sent().iter().map(|sent| sent.objects).collect()
    }

    fn json(&self, file: &str) -> Json {
        serde_json::from_slice(&std::fs::read(self.site.folder.path().join(file)).unwrap()).unwrap()
    }
}

#[test]
fn as_many_batches_are_under_way_as_there_are_workers_and_none_is_larger_than_a_batch() {
    for workers in [1_u32, 2, 5] {
        let lined = Lined::new(ROWS);
        lined.line.late(LATE * workers);
        lined.migrate(&["--workers", &workers.to_string(), "--batch-size", "25"]).exits(0);
        assert_eq!(lined.line.under_way_max() as u64, u64::from(workers));
        assert_eq!(lined.sizes(), [25; COUNT / 25]);
    }
    // By bytes all of these are one request.
    let lined = Lined::new(ROWS);
    lined.migrate(&["--batch-size", "auto"]).exits(0);
    assert_eq!(lined.sizes(), [COUNT]);
}

#[test]
fn a_batch_is_tried_again_as_often_as_is_asked_for() {
    for retries in [0_u64, 1, 3] {
        let asked = ["--max-retries", &retries.to_string(), "--retry-delay", "0.01", "--workers", "1"];
        // As many refusals as tries after the first: the run is none the worse for them.
        let lined = Lined::new(ROWS);
        lined.line.refuse(retries);
        lined.migrate(&asked).exits(0);
        let refused = lined.line.sent().iter().filter(|sent| sent.refused).count() as u64;
        assert_eq!((refused, lined.sizes().len() as u64), (retries, retries + 1));
        lined.site.has_all(&[("items", "Items")]);
        drop(lined);
        // One more, and it fails with the server's words, and takes back what it made.
        let lined = Lined::new(ROWS);
        lined.line.refuse(u64::MAX);
        let ran = lined.migrate(&asked).exits(2).says("refused by the line");
        assert_eq!(lined.sizes().len() as u64, retries + 1, "{ran}");
        assert_eq!(lined.site.server.collections(), Vec::<String>::new(), "{ran}");
    }
}

#[test]
fn the_first_wait_is_the_delay_and_each_further_one_twice_as_long() {
    let delay = Duration::from_millis(300);
    let lined = Lined::new(ROWS);
    lined.line.refuse(3);
    lined.migrate(&["--retry-delay", "0.3", "--workers", "1"]).exits(0);
    let sent = lined.line.sent();
    let gaps: Vec<Duration> = sent.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    // Each has up to itself on top, so that several do not come again together.
    for (gap, least) in gaps.iter().zip([delay, delay * 2, delay * 4]) {
        assert!(*gap >= least && *gap < least * 2 + BUSY, "{gaps:?}");
    }
    assert_eq!(gaps.len(), 3);
}

#[test]
fn objects_are_looked_up_again_by_their_ids_and_the_report_says_so() {
    let lined = Lined::new(ROWS);
    lined.migrate(&["--validation-sample", "70", "--report", "r.json"]).exits(0);
    assert!(lined.line.asked_by_id("Items") > 0);
    let validation = lined.json("r.json")["validation"].clone();
    assert_eq!((&validation["rows"], &validation["differing"]), (&70.into(), &0.into()));
    drop(lined);
    let lined = Lined::new(ROWS);
    lined.migrate(&["--report", "r.json"]).exits(0);
    assert_eq!(lined.line.asked_by_id("Items"), 0);
    assert!(lined.json("r.json")["validation"].is_null());
}

#[test]
fn the_log_has_what_happened_and_no_key() {
    const KEY: &str = "key-that-nobody-may-read";
    let lined = Lined::new(ROWS);
    std::fs::write(lined.site.folder.path().join("headers"), format!("X-OpenAI-Api-Key: {KEY}")).unwrap();
    lined.line.refuse(1);
    let to = format!("{}&headers_file=headers", lined.site.by(&lined.line));
    let arguments = ["migrate", "--from", "sqlite:app.db", "--to", &to, "--log-file", "run.log", "-vv"];
    let ran = run(&mut lined.site.program(&arguments)).exits(0);
    let log = std::fs::read_to_string(lined.site.folder.path().join("run.log")).unwrap();
    for said in ["copy: begins", "refused by the line", "trying again", " same: every field"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(log.lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{log}");
    assert!(!log.contains(KEY) && !ran.out.contains(KEY) && !ran.err.contains(KEY), "{log}\n{ran}");
}

#[test]
fn a_dry_run_sends_nothing_and_leaves_nothing() {
    let lined = Lined::new(ROWS);
    lined.site.server.create("Other", &["note"]);
    let before = files(lined.site.folder.path());
    let ran = lined.migrate(&["--dry-run"]).exits(0);
    assert!(ran.out.contains("Items"), "{ran}");
    assert_eq!(lined.line.sent(), Vec::<Sent>::new());
    assert_eq!(lined.site.server.collections(), ["Other"]);
    assert_eq!(files(lined.site.folder.path()), before);
}

/// Bytes of the rows of the test of memory, and of one.
const LARGE: usize = 24_000_000;
const ROW: usize = 4000;

#[test]
fn batches_follow_from_the_memory_limit() {
    let sql = format!(
        "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         INSERT INTO items SELECT i, printf('%0{ROW}d', i) FROM n;",
        LARGE / ROW
    );
    let largest = |limit: &str| {
        let lined = Lined::new(&sql);
        let asked = ["--memory-limit", limit, "--workers", "2", "--no-backup", "--report", "r.json"];
        lined.migrate(&asked).exits(0);
        let resident = lined.json("r.json")["resident_bytes_max"].as_u64().unwrap();
        (lined.line.sent().iter().map(|sent| sent.bytes).max().unwrap(), resident)
    };
    // The limit less 32 MiB, by twice the workers and two: 1.8 MB; from 96 MiB on a chunk has the 4 MiB that are enough.
    let (small, less) = largest("48MB");
    let (large, resident) = largest("100MiB");
    assert!(small < 2_000_000 && large > 3_500_000, "{small} and {large} bytes");
    assert!(less < resident && resident <= 100 << 20, "{less} and {resident} bytes resident");
}
