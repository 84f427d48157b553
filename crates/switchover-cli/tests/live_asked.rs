//! What is asked of a live run at the wrong moment: it arrives when the owner has changed since, the application was not told yet who the
//! owner is, or the engine does not listen yet.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use assert_cmd::cargo::CommandCargoExt;
use engine::{application, begin, is_same, run_folder, until};
use program::{done, flat, run};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const START: [&str; 5] = ["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];

/// Stands between the engine and who asks it: what is asked is passed on when the test says so.
struct Between {
    socket: PathBuf,
    engine: PathBuf,
    listener: UnixListener,
}

impl Between {
    fn of(folder: &Path) -> Between {
        let socket = run_folder(folder).join("engine.sock");
        let engine = socket.with_extension("real");
        std::fs::rename(&socket, &engine).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        Between { socket, engine, listener }
    }

    /// What is asked next, and who waits for the answer.
    fn asked(&self) -> (String, UnixStream) {
        let (asker, _) = self.listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&asker).read_line(&mut line).unwrap();
        (line, asker)
    }

    /// Passes it on, and the answer back.
    fn pass(&self, (line, mut asker): (String, UnixStream)) {
        let mut engine = UnixStream::connect(&self.engine).unwrap();
        engine.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(engine).read_line(&mut answer).unwrap();
        asker.write_all(answer.as_bytes()).unwrap();
    }

    /// Steps aside.
    fn leave(self) {
        std::fs::rename(&self.engine, &self.socket).unwrap();
    }
}

/// A program that asks the engine.
fn asking(folder: &Path, words: &[&str]) -> Child {
    let mut command = Command::cargo_bin("switchover").unwrap();
    command.args(words).current_dir(folder).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How it ended, and what it said.
fn ended(asking: Child) -> (Option<i32>, String) {
    let ended = asking.wait_with_output().unwrap();
    let text = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), flat(&String::from_utf8(text).unwrap()))
}

#[test]
fn a_rollback_means_the_owner_that_there_was_when_it_was_typed() {
    let (folder, _file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    let between = Between::of(folder);
    let (late, latest) = (asking(folder, &["rollback"]), asking(folder, &["rollback"]));
    let (first, second) = (between.asked(), between.asked());
    // Another person's comes before.
    let other = asking(folder, &["rollback", "--when-ready"]);
    between.pass(between.asked());
    let (code, said) = ended(other);
    assert!(code == Some(0) && said.contains("the owner changed to the source"), "{said}");
    // Which of the two it is does not matter: both said the same.
    between.pass(first);
    until(folder, |live| is_same(live) && live["ownership"]["owner"] == "source");
    let again = asking(folder, &["cutover", "--when-ready"]);
    between.pass(between.asked());
    assert_eq!(ended(again).0, Some(0));
    // The same owner as then, but not the same cutover.
    between.pass(second);
    let answers = [ended(late), ended(latest)];
    for owner in ["source", "target"] {
        let told = format!("the owner changed meanwhile: the {owner} owns the data now");
        let is_told = |(code, said): &(Option<i32>, String)| {
            *code == Some(1) && said.contains(&told) && said.contains("ask again if")
        };
        assert!(answers.iter().any(is_told), "{owner}: {answers:?}");
    }
    between.leave();
    assert!(engine.0.try_wait().unwrap().is_none() && folder.join("new.db").exists());
    until(folder, |live| live["phase"] == "reverse");
    done(folder, &["finish", "--yes"]);
    assert!(engine.0.wait().unwrap().success());
}

#[test]
fn a_finish_that_was_asked_for_before_a_cutover_does_not_end_its_reverse_window() {
    let (folder, _file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    let between = Between::of(folder);
    let early = asking(folder, &["finish", "--yes"]);
    let finish = between.asked();
    let cutover = asking(folder, &["cutover"]);
    between.pass(between.asked());
    assert_eq!(ended(cutover).0, Some(0));
    between.pass(finish);
    let (code, said) = ended(early);
    assert!(code == Some(1) && said.contains("the owner changed meanwhile: the target owns"), "{said}");
    assert!(said.contains("ask again if this reverse window is to end"), "{said}");
    between.leave();
    // There is still a way back.
    done(folder, &["rollback", "--when-ready"]);
}

#[test]
fn a_rollback_that_is_only_tried_takes_nothing_back() {
    let (folder, _file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    let tried = || assert!(done(folder, &["rollback", "--dry-run"]).contains("it could be done now"));
    tried();
    assert!(engine.0.try_wait().unwrap().is_none());
    drop(engine);
    tried();
    assert!(folder.join("new.db").exists());
    done(folder, &["rollback"]);
    assert!(!folder.join("new.db").exists());
}

/// What the application is told by, while there is no file of that name.
const HOOK: &str = "[cutover.hooks]\nafter = [\"test ! -e deaf && touch told-$SWITCHOVER_OWNER\"]\n";

#[test]
fn a_reverse_window_does_not_end_before_the_application_was_told_in_full() {
    for abandoned in [false, true] {
        let (folder, _file) = application();
        let folder = folder.path();
        std::fs::write(folder.join("switchover.toml"), HOOK).unwrap();
        std::fs::write(folder.join("deaf"), "").unwrap();
        let mut engine = begin(folder, &START);
        until(folder, is_same);
        assert_eq!(run(folder, &["cutover"]).code, 2);
        until(folder, |live| live["phase"] == "reverse");
        let finish = match abandoned {
            true => &["finish", "--abandon-source", "--yes"][..],
            false => &["finish", "--yes"],
        };
        if abandoned {
            engine.0.kill().unwrap();
            engine.0.wait().unwrap();
        }
        let refused = run(folder, finish);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("not told in full that the target owns"), "{said}");
        assert!(said.contains("mend what fails"), "{said}");
        if abandoned {
            // Nothing came of it, and what was known of the run is known still.
            let live = until(folder, |_| true);
            assert!(live["phase"] == "reverse" && live["ownership"]["owner"] == "target", "{live:#}");
        }
        std::fs::remove_file(folder.join("deaf")).unwrap();
        done(folder, finish);
        assert!(folder.join("told-target").exists(), "{abandoned}");
    }
}

#[test]
fn a_run_is_not_taken_back_before_the_application_was_told_of_the_source() {
    let (folder, _file) = application();
    let folder = folder.path();
    std::fs::write(folder.join("switchover.toml"), HOOK).unwrap();
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    std::fs::write(folder.join("deaf"), "").unwrap();
    assert_eq!(run(folder, &["rollback", "--when-ready"]).code, 2);
    until(folder, |live| is_same(live) && live["ownership"]["owner"] == "source");
    let refused = run(folder, &["rollback"]);
    let said = flat(&refused.err);
    assert!(refused.code == 1 && said.contains("not told in full that the source owns"), "{said}");
    assert!(engine.0.try_wait().unwrap().is_none() && folder.join("new.db").exists());
    std::fs::remove_file(folder.join("deaf")).unwrap();
    done(folder, &["rollback"]);
    assert!(engine.0.wait().unwrap().success());
    assert!(folder.join("told-source").exists() && !folder.join("new.db").exists());
}

#[test]
#[cfg(feature = "failpoints")]
fn a_verb_waits_for_an_engine_that_has_the_run_and_does_not_listen_yet() {
    let (folder, _file) = application();
    let folder = folder.path();
    drop({
        let engine = begin(folder, &START);
        until(folder, is_same);
        engine
    });
    for words in [&["pause"][..], &["resume"], &["cutover", "--when-ready"]] {
        let mut resume = Command::cargo_bin("switchover").unwrap();
        resume.arg("resume").current_dir(folder).env("FAILPOINTS", "after-prepare=sleep(2000)");
        resume.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut driving = engine::Engine(resume.spawn().unwrap());
        engine::wait_for(|| done(folder, &["status", "--json"]).contains("\"state\": \"running\""));
        done(folder, words);
        // It was asked, and nobody else took the run up.
        assert!(driving.0.try_wait().unwrap().is_none(), "{words:?}");
    }
}
