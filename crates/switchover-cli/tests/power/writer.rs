//! The application: a process of its own that writes through plain connections of a durability that it is told, one operation behind
//! the other, and notes what was acknowledged among what the disk was given.
//!
//! What the tables hold behind so many operations is known, whichever store took them.

use super::disk;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Rows before the first operation; their keys are below zero.
const ROWS: i64 = 40;

/// Rows of the second table.
const SLOTS: i64 = 5;

/// Every so many operations one removes a row as well, that many back.
const REMOVES: (i64, i64) = (10, 5);

/// Between two operations: time for what follows to be read in more than one batch.
const PAUSE: Duration = Duration::from_millis(3);

/// What a store says that takes no writes.
pub(crate) const SHUT: &str = "switchover";

/// An answer among what the test's harness prints.
const ANSWER: &str = "power: ";

/// The tables.
pub(crate) fn make(path: &Path) {
    let file = Connection::open(path).unwrap();
    let tables = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT NOT NULL);
        CREATE TABLE slot (k INTEGER PRIMARY KEY, n INTEGER NOT NULL)";
    file.execute_batch(tables).unwrap();
    for (id, text) in rows(0, 0) {
        file.execute("INSERT INTO t VALUES (?1, ?2)", (id, text)).unwrap();
    }
    for slot in 0..SLOTS {
        file.execute("INSERT INTO slot VALUES (?1, 0)", [slot]).unwrap();
    }
}

/// The rows behind that operation, of which those behind `before` were carried out behind a loss of power.
pub(crate) fn rows(newest: i64, before: i64) -> BTreeMap<i64, String> {
    let ids = (-ROWS..=newest).filter(|id| *id != 0);
    let mut rows: BTreeMap<i64, String> = ids.map(|id| (id, text(id, id > before))).collect();
    (1..=newest).filter(|id| id % REMOVES.0 == 0).for_each(|id| drop(rows.remove(&(id - REMOVES.1))));
    rows
}

/// The newest operation that each of the second table's rows is of.
pub(crate) fn slots(newest: i64) -> BTreeMap<i64, i64> {
    let of = |slot: i64| (0..=newest).rev().find(|id| id % SLOTS == slot).unwrap_or(0);
    (0..SLOTS).map(|slot| (slot, of(slot))).collect()
}

/// Of many lengths, so that some rows have pages of their own; another one where an operation that was lost is carried out again.
fn text(id: i64, again: bool) -> String {
    let length = match id.unsigned_abs() % 13 {
        12 => 9_000,
        other => other * 90,
    };
    format!("{id} {}", if again { "y" } else { "x" }.repeat(usize::try_from(length).unwrap()))
}

/// One operation; says whether the store took it.
fn write(file: &Connection, number: i64, again: bool) -> bool {
    let work = || {
        file.execute_batch("BEGIN IMMEDIATE")?;
        file.execute("INSERT INTO t VALUES (?1, ?2)", (number, text(number, again)))?;
        file.execute("UPDATE slot SET n = ?1 WHERE k = ?1 % ?2", (number, SLOTS))?;
        if number % REMOVES.0 == 0 {
            file.execute("DELETE FROM t WHERE id = ?1", [number - REMOVES.1])?;
        }
        file.execute_batch("COMMIT")
    };
    let done: rusqlite::Result<()> = work();
    let Err(error) = done else { return true };
    assert!(error.to_string().contains(SHUT), "operation {number}: {error}");
    file.execute_batch("ROLLBACK").unwrap();
    false
}

/// The process: an order a line, `FILE LEVEL COUNT`; its answer is the number of the newest operation.
pub(crate) fn run(folder: &Path, notes: &Path, before: i64) {
    let mut newest = before;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let (name, level, count) = (words[0], words[1], words[2].parse::<u64>().unwrap());
        let file = Connection::open(folder.join(name)).unwrap();
        file.busy_timeout(Duration::from_secs(10)).unwrap();
        file.execute_batch(&format!("PRAGMA synchronous = {level}")).unwrap();
        for _ in 0..count {
            if !write(&file, newest + 1, before > 0) {
                break;
            }
            newest += 1;
            let sure = if level == "FULL" { "wrote" } else { "perhaps" };
            disk::tell(notes, &format!("{sure} {newest}"));
            std::thread::sleep(PAUSE);
        }
        // Whoever has the answer may end this process, in the middle of what closing writes.
        drop(file);
        println!("{ANSWER}{newest}");
        std::io::stdout().flush().unwrap();
    }
}

/// The process, as the test has it.
pub(crate) struct Writer {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Writer {
    /// Starts it behind that operation.
    pub(crate) fn start(mut command: Command, newest: i64) -> Writer {
        command.args(["application", "--exact", "--ignored", "--quiet", "--nocapture"]);
        command.env("POWER_NEWEST", newest.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Writer { process, orders, answers }
    }

    /// Orders so many operations, or as many as the store takes.
    pub(crate) fn order(&mut self, file: &str, level: &str, count: Option<u64>) {
        writeln!(self.orders, "{file} {level} {}", count.unwrap_or(u64::MAX)).unwrap();
    }

    /// Waits for the answer: the newest operation.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> i64 {
        let mut lines = self.answers.by_ref().map(Result::unwrap);
        let answer = lines.find_map(|line| line.strip_prefix(ANSWER).map(str::to_owned));
        answer.expect("the writer goes on").parse().unwrap()
    }

    /// Both.
    #[track_caller]
    pub(crate) fn write(&mut self, file: &str, level: &str, count: u64) -> i64 {
        self.order(file, level, Some(count));
        self.answer()
    }
}
