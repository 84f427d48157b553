//! The binary as users meet it: help, mistakes, configuration, completions, manual.
//!
//! Each test runs the program in a folder of its own with an environment of its own. What migrations
//! do is tested elsewhere.
#![expect(clippy::unwrap_used, reason = "tests")]

use assert_cmd::Command;
use std::fs;
use tempfile::TempDir;

const URL: &str = "postgres://app:s3cret@127.0.0.1:1/app";

/// What a run of the program gave.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program; no run may show the password.
fn run(folder: &TempDir, vars: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = Command::cargo_bin("switchover").unwrap();
    command.env_clear().envs(vars.iter().copied()).current_dir(folder.path()).args(arguments);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ran =
        Ran { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) };
    assert!(
        !ran.out.contains("s3cret") && !ran.err.contains("s3cret"),
        "{arguments:?}: {}{}",
        ran.out,
        ran.err
    );
    ran
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

const VERBS: &[&[&str]] = &[
    &[],
    &["plan"],
    &["migrate"],
    &["verify"],
    &["resume"],
    &["status"],
    &["route"],
    &["reads"],
    &["rollback"],
    &["cleanup"],
    &["backup"],
    &["doctor"],
    &["search"],
    &["bench"],
    &["bench", "queries"],
    &["presets"],
    &["completions"],
    &["man"],
];

#[test]
fn help_fits_the_page_and_teaches_by_example() {
    let folder = folder();
    for verb in VERBS {
        for flag in ["-h", "--help"] {
            let ran = run(&folder, &[], &[*verb, &[flag]].concat());
            assert_eq!(ran.code, 0, "{verb:?}");
            assert!(ran.out.contains("Examples:\n  switchover "), "{verb:?}: {}", ran.out);
            let wide: Vec<&str> = ran.out.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{verb:?}: {wide:#?}");
        }
    }
    insta::assert_snapshot!("help", run(&folder, &[], &["-h"]).out);
    insta::assert_snapshot!("help_migrate", run(&folder, &[], &["migrate", "-h"]).out);
}

#[test]
fn nothing_and_nonsense_are_usage_errors() {
    let folder = folder();
    for (arguments, expected) in [
        (&[][..], "Usage: switchover"),
        (&["migrat"], "'migrate'"),
        (&["migrate", "--form", "sqlite:a"], "'--from'"),
        (&["migrate", "--names", "snak"], "'snake'"),
        (&["migrate", "--policy", "quarantin"], "'quarantine'"),
        (&["migrate", URL], "postgres://app:***@127.0.0.1:1/app"),
        (&["verify", "--sample", "0"], "--sample"),
        (&["verify", "--live", "--report", "r.md"], "cannot be used with"),
        (&["verify", "--live", "--tables", "a"], "cannot be used with"),
        (&["migrate", "--plan", "p.json", "--names", "snake"], "cannot be used with"),
    ] {
        let ran = run(&folder, &[], arguments);
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.err.contains(expected) && ran.out.is_empty(), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn mistakes_of_configuration_are_named_with_their_place() {
    let folder = folder();
    fs::write(
        folder.path().join("switchover.toml"),
        format!("from = 'sqlite:a.db'\nto = '{URL}'\npolcy = 'x'\n"),
    )
    .unwrap();
    let bad_file = run(&folder, &[], &["status"]);
    let missing_file = run(&folder, &[], &["status", "-c", "nowhere.toml"]);
    fs::remove_file(folder.path().join("switchover.toml")).unwrap();
    let found = [
        bad_file,
        missing_file,
        run(&folder, &[("SWITCHOVER_JOB", "3")], &["status"]),
        run(&folder, &[("SWITCHOVER_JOBS", "many")], &["status"]),
        run(&folder, &[], &["migrate", "--from", "sqlite:a.db", "--to", "env:DATABASE_URL"]),
        run(
            &folder,
            &[("DATABASE_UR", URL)],
            &["migrate", "--from", "sqlite:a.db", "--to", "env:DATABASE_URL"],
        ),
        run(&folder, &[], &["migrate", "--to", "postgres:///app"]),
        run(&folder, &[], &["plan", "--from", "app.db", "--to", "postgres:///app"]),
        run(&folder, &[], &["plan", "--from", "sqlite:a.db", "--to", "postgre://app:s3cret@h/app"]),
        run(&folder, &[], &["migrate", "--from", "sqlite:a.db", "--memory-limit", "10MB"]),
        run(&folder, &[], &["migrate", "--from", "sqlite:a.db", "--plan", "none.json"]),
    ];
    assert!(found.iter().all(|ran| ran.code == 2 && ran.out.is_empty()));
    insta::assert_snapshot!(found.map(|ran| ran.err).join("\n"));
}

#[test]
fn a_plan_of_another_format_is_refused_first() {
    let folder = folder();
    for (text, expected) in [
        ("{\"format\": 99}", "of format 99"),
        ("[]", "no plan"),
        ("{", "not JSON"),
        ("{\"format\": 2, \"tables\": 3}", "no valid plan"),
    ] {
        fs::write(folder.path().join("p.json"), text).unwrap();
        let ran =
            run(&folder, &[], &["migrate", "--from", "sqlite:a.db", "--to", "postgres:", "--plan", "p.json"]);
        assert!(ran.code == 2 && ran.err.contains(expected), "{}", ran.err);
    }
}

#[test]
fn dotenv_and_environment_name_the_stores() {
    let folder = folder();
    fs::write(folder.path().join(".env"), format!("# the application's\nexport DATABASE_URL=\"{URL}\"\n"))
        .unwrap();
    let arguments = ["doctor", "--to", "env:DATABASE_URL"];
    let from_file = run(&folder, &[], &arguments);
    assert!(!from_file.err.contains("cannot read the configuration"), "{}", from_file.err);
    let from_process = run(&folder, &[("DATABASE_URL", "mysql://u@h/d")], &arguments);
    assert!(from_process.err.contains("mysql:"), "{}", from_process.err);
}

#[test]
fn a_password_on_the_command_line_is_warned_of() {
    let ran = run(&folder(), &[], &["doctor", "--to", URL]);
    assert!(
        ran.err.contains("warning: the password in --to") && ran.err.contains("PGPASSWORD"),
        "{}",
        ran.err
    );
}

#[test]
fn with_progress_json_every_line_of_standard_error_is_json() {
    let ran = run(&folder(), &[], &["doctor", "--to", "postgre://a:s3cret@h/d", "--progress", "json", "-vv"]);
    assert!(ran.code == 2 && ran.err.lines().count() >= 2, "{}", ran.err);
    let lines: Vec<serde_json::Value> =
        ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert!(last["event"] == "error" && last["kind"] == "config" && last["exit_code"] == 2, "{last}");
    let early = run(&folder(), &[("SWITCHOVER_JOB", "1")], &["status", "--progress=json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&early.err).is_ok(), "{}", early.err);
}

#[test]
fn completions_and_manual() {
    let folder = folder();
    for (shell, expected) in
        [("bash", "complete -F"), ("zsh", "#compdef switchover"), ("fish", "complete -c switchover")]
    {
        let ran = run(&folder, &[], &["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains(expected) && ran.out.contains("memory-limit"), "{shell}");
    }
    let page = run(&folder, &[], &["man"]);
    assert!(page.code == 0 && page.out.contains(".TH switchover 1"), "{}", page.out);
    assert_eq!(run(&folder, &[], &["man", "pages/man1"]).code, 0);
    for name in ["switchover.1", "switchover-migrate.1", "switchover-backup-create.1"] {
        assert!(folder.path().join("pages/man1").join(name).is_file(), "{name}");
    }
}

/// It used to be a panic.
#[test]
fn an_argument_that_is_no_text_is_refused_and_a_path_may_be_one() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let odd = OsStr::from_bytes(b"p\xff.json");
    let ran = |arguments: &[&OsStr]| {
        let mut command = Command::cargo_bin("switchover").unwrap();
        let output = command.env_clear().current_dir(folder.path()).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let stores = ["--from", "sqlite:a.db", "--to", "sqlite:b.db"].map(OsStr::new);
    let (code, said) = ran(&[&[OsStr::new("migrate"), OsStr::new("--plan"), odd], &stores[..]].concat());
    assert!(code == Some(2) && said.contains("cannot read the plan"), "{code:?}: {said}");
    let (code, said) = ran(&[OsStr::new("migrate"), OsStr::new("--from"), odd]);
    assert!(code == Some(2) && said.contains("invalid UTF-8"), "{code:?}: {said}");
}
