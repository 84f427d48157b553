//! Running the binary in a folder, with nothing of this process's environment but the path.
#![expect(clippy::unwrap_used, reason = "tests")]

use assert_cmd::Command;
use std::path::Path;
use std::time::Duration;

/// No verb that ends by itself takes so long; one that does not end is killed, and the test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// What a run of the program gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::cargo_bin("switchover").unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).current_dir(folder).args(arguments).timeout(LIMIT);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code();
    // What it had to say until then, and where it stood: nobody can ask it any more.
    assert!(
        code.is_some(),
        "{arguments:?}: {}{}{}",
        text(&output.stdout),
        text(&output.stderr),
        standing(folder)
    );
    Ran { code: code.unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The status of each live run in the folder, and what its journal says last.
fn standing(folder: &Path) -> String {
    let runs = std::fs::read_dir(folder.join(".switchover/runs"));
    let files = runs.into_iter().flatten().flatten().flat_map(|run| {
        ["live.json", "journal.jsonl"].map(|name| std::fs::read_to_string(run.path().join(name)))
    });
    files.flatten().collect::<Vec<_>>().join("\n")
}

/// Runs it, and it must succeed; gives what it printed.
pub(crate) fn done(folder: &Path, arguments: &[&str]) -> String {
    let ran = run(folder, arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.out, ran.err);
    ran.out
}

/// Text on one line, however it was wrapped.
pub(crate) fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
