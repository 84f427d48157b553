//! Commands as they are really run.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::os::unix::fs::PermissionsExt;

fn shell(text: &str) -> Command {
    Command::Shell(text.into())
}

fn told<'a>(folder: &'a Path, secrets: &'a [SecretString]) -> Told<'a> {
    Told { run: "r1", owner: Side::Target, epoch: 3, why: "", folder, secrets }
}

fn log(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("hooks").join(name)).unwrap()
}

#[tokio::test]
async fn a_command_is_told_what_happens_and_its_output_is_kept_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = ["postgres://app:hunter2@db/app".into()];
    let print = "echo $SWITCHOVER_RUN $SWITCHOVER_OWNER $SWITCHOVER_EPOCH $SWITCHOVER_PHASE; \
                 echo to postgres://app:hunter2@db/app >&2; echo with hunter2.";
    let hooks = Hooks {
        at: vec![
            shell(print),
            Command::Program(vec!["printf".into(), "%s|".into(), "$HOME".into(), "a b".into()]),
        ],
        ..Hooks::default()
    };
    hooks.run(Moment::At, &told(folder.path(), &secrets)).await.unwrap();
    assert_eq!(log(folder.path(), "0003-at-1.log"), "r1 target 3 at\nwith ***.\nto ***\n");
    assert_eq!(log(folder.path(), "0003-at-2.log"), "$HOME|a b|");
}

#[tokio::test]
async fn a_password_is_kept_out_as_it_stands_in_its_url_and_as_a_program_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = ["postgres://sec:S3cr%25et%2Fpw%zz@host/db".into()];
    let print = "echo 'S3cr%et/pw%zz, S3cr%25et%2Fpw%zz, postgres://sec:S3cr%25et%2Fpw%zz@host/db, S3cr%et'";
    let hooks = Hooks { at: vec![shell(print)], ..Hooks::default() };
    hooks.run(Moment::At, &told(folder.path(), &secrets)).await.unwrap();
    assert_eq!(log(folder.path(), "0003-at-1.log"), "***, ***, ***, S3cr%et\n");
    for file in fs::read_dir(folder.path().join("hooks")).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_command_that_failed_is_run_again_and_those_before_it_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let line = |word: &str| shell(&format!("echo {word} >> {}", count.display()));
    let fails = format!("echo tried >> {0}; echo no luck; test -e {0}.ok", count.display());
    let hooks = Hooks { after: vec![line("first"), shell(&fails), line("last")], ..Hooks::default() };
    let told = told(folder.path(), &[]);
    let error = hooks.run(Moment::After, &told).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(
        error.why().contains("exit status: 1") && error.what_to_do().contains("0003-after-2.log"),
        "{error}"
    );
    fs::write(folder.path().join("count.ok"), "").unwrap();
    hooks.run(Moment::After, &told).await.unwrap();
    hooks.run(Moment::After, &told).await.unwrap();
    assert_eq!(fs::read_to_string(&count).unwrap(), "first\ntried\ntried\nlast\n");
    // Another decision is another occasion.
    hooks.run(Moment::After, &Told { epoch: 5, ..told }).await.unwrap();
    assert!(fs::read_to_string(&count).unwrap().ends_with("first\ntried\nlast\n"));
}

#[tokio::test]
async fn a_command_that_took_the_place_of_one_that_succeeded_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let line = |word: &str| format!("echo {word} >> {}", count.display());
    let told = told(folder.path(), &[]);
    let run = async |at: Vec<Command>| Hooks { at, ..Hooks::default() }.run(Moment::At, &told).await;
    run(vec![shell(&line("one")), shell("false")]).await.unwrap_err();
    // The list is mended; what stands in it as it did is not run again.
    let program = |text: &str| Command::Program(vec!["sh".into(), "-c".into(), text.into()]);
    run(vec![shell(&line("other")), program(&line("two"))]).await.unwrap();
    run(vec![shell(&line("other")), program(&line("three"))]).await.unwrap();
    assert_eq!(fs::read_to_string(&count).unwrap(), "one\nother\ntwo\nthree\n");
    // Nor does one that is put before it have it run again; the same one once more is.
    run(vec![shell(&line("four")), shell(&line("other")), shell(&line("other"))]).await.unwrap();
    assert_eq!(fs::read_to_string(&count).unwrap(), "one\nother\ntwo\nthree\nfour\nother\n");
}

#[tokio::test]
async fn a_command_whose_output_cannot_be_kept_is_run_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    // As on a disk that is full, nothing can be made in it.
    fs::write(folder.path().join("hooks"), "").unwrap();
    let called = folder.path().join("called");
    let line = |word: &str| shell(&format!("echo {word} >> {}", called.display()));
    let (before, at) = (vec![line("before")], vec![line("at")]);
    let hooks = Hooks { before, at, alarm: vec![line("alarm"), line("another")], ..Hooks::default() };
    let told = told(folder.path(), &[]);
    hooks.run(Moment::Before, &told).await.unwrap();
    hooks.run(Moment::Alarm, &told).await.unwrap();
    // That this one was run must be known later.
    let error = hooks.run(Moment::At, &told).await.unwrap_err();
    assert!(error.to_string().contains("0003-at-") && error.to_string().contains(".done"), "{error}");
    assert_eq!(fs::read_to_string(&called).unwrap(), "before\nalarm\nanother\nat\n");
    let hooks = Hooks { alarm: vec![shell("false")], ..Hooks::default() };
    let error = hooks.run(Moment::Alarm, &told).await.unwrap_err();
    assert!(error.why().contains("exit status: 1") && error.what_to_do().contains("is lost"), "{error:?}");
}

#[tokio::test]
async fn what_takes_too_long_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    // The inner one does not listen to being asked.
    let text = format!("(trap '' TERM; sh -c 'echo $$ > {}; exec sleep 100') & wait", file.display());
    // Long enough that the inner one has said who it is, also on a busy machine.
    let hooks = Hooks { before: vec![shell(&text)], timeout: Duration::from_secs(3), ..Hooks::default() };
    let begun = std::time::Instant::now();
    let error = hooks.run(Moment::Before, &told(folder.path(), &[])).await.unwrap_err();
    assert!(error.why().contains("longer than 3 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it was waited for");
    let pid: u32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    // A signal takes effect a moment after it is sent.
    let runs = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    let ended = async {
        while runs() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_hold_us_up() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = Hooks { at: vec![shell("sleep 20 & echo $!")], ..Hooks::default() };
    let begun = std::time::Instant::now();
    hooks.run(Moment::At, &told(folder.path(), &[])).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_flood_of_output_is_cut_and_a_missing_program_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let flood = shell("head -c 3000000 /dev/zero | tr '\\0' x");
    let hooks = Hooks {
        before: vec![flood, Command::Program(vec!["no-such-program-here".into()])],
        ..Hooks::default()
    };
    let error = hooks.run(Moment::Before, &told(folder.path(), &[])).await.unwrap_err();
    assert!(error.to_string().contains("no-such-program-here"), "{error}");
    let kept = log(folder.path(), "0003-before-1.log");
    assert!(kept.len() < OUTPUT_BYTES_MAX + 100 && kept.ends_with("left out)\n"));
}

#[test]
fn a_secret_is_not_cut_in_two() {
    let secret: SecretString = "s3cr3t-s3cr3t".into();
    let mut bytes = vec![b'x'; OUTPUT_BYTES_MAX - 5];
    bytes.extend(b"s3cr3t-s3cr3t");
    let text = String::from_utf8(scrubbed(bytes, &[secret])).unwrap();
    assert!(!text.contains("s3cr"), "{}", &text[OUTPUT_BYTES_MAX - 10..]);
}

#[test]
fn a_secret_is_hidden_as_the_environment_file_has_it() {
    for value in ["Topse$cret'pw9", "a`b\"c\\d'e", "postgres://u:p$w'd9@h/d"] {
        let file = env_text::set(b"", "PW", Some(value.as_bytes()));
        assert!(file.starts_with(b"PW=\"") && file.contains(&b'\\'));
        let secret: SecretString = value.into();
        let text = String::from_utf8(scrubbed(file, &[secret])).unwrap();
        assert_eq!(text, "PW=\"***\"\n");
    }
}
