//! The rules of configuration, through one `check` each. No test touches the process's environment.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use secrecy::ExposeSecret;
use std::fs;
use switchover::routing::hooks;
use switchover::settings::OnFailure;
use switchover_core::names::Naming;
use switchover_core::plan::Policy;

/// Resolves in a folder of its own, with these flags, variables and files.
fn run(
    flags: &[(Key, &str)],
    vars: &[(&str, &str)],
    file: &str,
    dotenv: &str,
) -> switchover_core::Result<Resolved> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("switchover.toml", file), (".env", dotenv)] {
        if !text.is_empty() {
            fs::write(folder.path().join(name), text).unwrap();
        }
    }
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut request = Request::default();
    for (key, value) in flags {
        request.flags.flag(*key, &Some((*value).to_owned()));
    }
    resolve(request, Environment::new(vars, folder.path())?)
}

/// The error as users read it, in one line.
fn error(flags: &[(Key, &str)], vars: &[(&str, &str)], file: &str, dotenv: &str) -> String {
    match run(flags, vars, file, dotenv) {
        Ok(_) => "no error".into(),
        Err(error) => format!("{error} [{}]", error.what_to_do()),
    }
}

#[test]
fn flag_before_environment_before_file_before_default() {
    type Show = fn(&Resolved) -> String;
    let table: &[(Key, &str, &str, [&str; 4], Show)] = &[
        (
            Key::From,
            "SWITCHOVER_FROM",
            "from = 'sqlite:c'",
            ["sqlite:a", "sqlite:b", "sqlite:c", "none"],
            |r| r.from.as_ref().map_or("none".into(), StoreRef::label),
        ),
        (
            Key::To,
            "SWITCHOVER_TO",
            "[target]\nurl = 'postgres:c'",
            ["postgres:a", "postgres:b", "postgres:c", "none"],
            |r| r.to.as_ref().map_or("none".into(), StoreRef::label),
        ),
        (Key::Schema, "SWITCHOVER_SCHEMA", "[target]\nschema = 'c'", ["a", "b", "c", "public"], |r| {
            r.settings.plan.schema.clone()
        }),
        (Key::Names, "SWITCHOVER_NAMES", "names = 'snake'", ["snake", "keep", "snake", "keep"], |r| {
            if r.settings.plan.names == Naming::Snake { "snake".into() } else { "keep".into() }
        }),
        (
            Key::Policy,
            "SWITCHOVER_POLICY",
            "policy = 'quarantine'",
            ["refuse", "quarantine", "quarantine", "refuse"],
            |r| {
                if r.settings.plan.policy == Policy::Refuse { "refuse".into() } else { "quarantine".into() }
            },
        ),
        (Key::Backup, "SWITCHOVER_BACKUP", "backup = false", ["true", "false", "false", "true"], |r| {
            r.settings.backup.to_string()
        }),
        (Key::StateDir, "SWITCHOVER_STATE_DIR", "state_dir = 'c'", ["a", "b", "c", ".switchover"], |r| {
            r.settings.state_dir.display().to_string()
        }),
        (
            Key::OnFailure,
            "SWITCHOVER_ON_FAILURE",
            "on_failure = 'keep'",
            ["rollback", "keep", "keep", "rollback"],
            |r| {
                if r.settings.on_failure == OnFailure::Keep { "keep".into() } else { "rollback".into() }
            },
        ),
        (Key::Jobs, "SWITCHOVER_JOBS", "jobs = 3", ["1", "2", "3", "none"], |r| {
            r.settings.jobs.map_or("none".into(), |jobs| jobs.to_string())
        }),
        (
            Key::MemoryLimit,
            "SWITCHOVER_MEMORY_LIMIT",
            "memory_limit = '70MB'",
            ["50000000", "60000000", "70000000", "104857600"],
            |r| r.settings.memory_limit_bytes.to_string(),
        ),
        (Key::Report, "SWITCHOVER_REPORT", "report = 'c'", ["a", "b", "c", "none"], |r| {
            r.report.as_ref().map_or("none".into(), |path| path.display().to_string())
        }),
        (Key::BatchSize, "SWITCHOVER_BATCH_SIZE", "batch_size = 30", ["10", "20", "30", "none"], |r| {
            r.settings.chunk_rows.map_or("none".into(), |rows| rows.to_string())
        }),
        (Key::MaxRetries, "SWITCHOVER_MAX_RETRIES", "max_retries = 3", ["0", "2", "3", "10"], |r| {
            r.settings.retries.tries_max.to_string()
        }),
        (
            Key::ValidationSample,
            "SWITCHOVER_VALIDATION_SAMPLE",
            "validation_sample = 3",
            ["1", "2", "3", "0"],
            |r| r.settings.validation_rows.to_string(),
        ),
        (
            Key::LogFile,
            "SWITCHOVER_LOG_FILE",
            "log_file = 'c.log'",
            ["a.log", "b.log", "c.log", "none"],
            |r| r.log_file.as_ref().map_or("none".into(), |path| path.display().to_string()),
        ),
        (
            Key::ApiKeyFile,
            "SWITCHOVER_API_KEY_FILE",
            "[target]\napi_key_file = 'c.key'",
            ["a.key", "b.key", "c.key", "none"],
            |r| r.environment.get("WEAVIATE_API_KEY_FILE").unwrap().unwrap_or_else(|| "none".into()),
        ),
        (Key::Progress, "SWITCHOVER_PROGRESS", "progress = 'none'", ["json", "auto", "none", "auto"], |r| {
            match r.progress {
                ProgressMode::Auto => "auto".into(),
                ProgressMode::Json => "json".into(),
                ProgressMode::None => "none".into(),
            }
        }),
    ];
    for (key, variable, file, [flag, var, in_file, default], show) in table {
        let check = |flags: &[(Key, &str)], vars: &[(&str, &str)], file: &str, expected: &str| {
            let resolved = run(flags, vars, file, "").unwrap();
            assert_eq!(show(&resolved), expected, "{variable} {file}");
        };
        check(&[(*key, flag)], &[(variable, var)], file, flag);
        check(&[], &[(variable, var)], file, var);
        check(&[], &[(variable, "")], file, in_file);
        check(&[], &[], file, in_file);
        check(&[], &[], "", default);
    }
}

#[test]
fn a_batch_and_a_wait_in_all_their_spellings() {
    for (file, rows) in [("batch_size = 'auto'", None), ("batch_size = '7'", Some(7)), ("", None)] {
        assert_eq!(run(&[], &[], file, "").unwrap().settings.chunk_rows, rows, "{file}");
    }
    for (text, millis) in [("2", 2_000), ("0.5", 500), ("250ms", 250), ("1m", 60_000)] {
        let wait = run(&[(Key::RetryDelay, text)], &[], "", "").unwrap().settings.retries.wait_min;
        assert_eq!(wait.as_millis(), millis, "{text}");
    }
    let wait = |file: &str| run(&[], &[], file, "").unwrap().settings.retries.wait_min.as_millis();
    assert_eq!(
        [wait("retry_delay = 2"), wait("retry_delay = 0.25"), wait("retry_delay = '1s'"), wait("")],
        [2000, 250, 1000, 200]
    );
    assert_eq!(run(&[], &[], "workers = 3", "").unwrap().settings.jobs, Some(3));
}

#[test]
fn what_is_wrong_with_limits_is_said() {
    for (flags, file, said) in [
        (&[(Key::BatchSize, "0")][..], "", "batch_size is '0'; it must be auto, or from 1 to 1000000 rows"),
        (&[(Key::BatchSize, "many")], "", "batch_size is 'many'"),
        (&[], "batch_size = 1.5", "it must be a whole number, or \"auto\""),
        (&[], "jobs = 2\nworkers = 3", "'workers' says again what stands in switchover.toml, line 1"),
        (&[(Key::MaxRetries, "-1")], "", "max_retries is '-1'; it must be from 0 to 100000"),
        (&[(Key::RetryDelay, "soon")], "", "retry_delay is 'soon'; it must be from 1ms to 1h"),
        (&[(Key::RetryDelay, "90m")], "", "a bare number counts seconds"),
        (&[(Key::RetryDelay, "0")], "", "retry_delay is '0'"),
        (&[(Key::ValidationSample, "1000001")], "", "it must be from 0 to 1000000"),
        (&[(Key::ApiKeyFile, "")], "", "the file's name is empty"),
        (&[(Key::ApiKeyFile, "k"), (Key::To, "sqlite:a.db")], "", "it is about a Weaviate target"),
        (
            &[(Key::ApiKeyFile, "k"), (Key::To, "weaviate://h?grpc=1&api_key_file=x")],
            "",
            "the target's URL names such a file too",
        ),
    ] {
        let found = error(flags, &[], file, "");
        assert!(found.contains(said), "{flags:?} {file}: {found}");
    }
}

#[test]
fn lists_and_columns() {
    let file = "tables = ['chat_*', 'users']\n[table.users.column.born]\npolicy = 'quarantine'\n";
    let resolved = run(&[], &[("SWITCHOVER_EXCLUDE", "a_{x,y},b")], file, "").unwrap();
    assert_eq!(resolved.settings.plan.tables, ["chat_*", "users"]);
    assert_eq!(resolved.settings.plan.exclude, ["a_{x,y}", "b"]);
    let mapping = resolved.settings.plan.mapping;
    assert_eq!(mapping.tables["users"].columns["born"].policy, Some(Policy::Quarantine));
    assert_eq!(mapping.place("table.users.column.born.policy"), "switchover.toml, line 3");
}

#[test]
fn stores_from_variables_and_dotenv() {
    let dotenv = "export DATABASE_URL='postgres://u:s3cret@h/db'\n";
    let check = |flags: &[(Key, &str)], vars: &[(&str, &str)], file: &str, expected: &str| {
        let resolved = run(flags, vars, file, dotenv).unwrap();
        assert_eq!(resolved.to.unwrap().expose(), expected);
        assert!(resolved.warnings.is_empty());
    };
    check(&[(Key::To, "env:DATABASE_URL")], &[], "", "postgres://u:s3cret@h/db");
    check(&[(Key::To, "env:DATABASE_URL")], &[("DATABASE_URL", "postgres:p")], "", "postgres:p");
    check(&[], &[], "to_env = 'DATABASE_URL'", "postgres://u:s3cret@h/db");
    check(&[], &[], "[target]\nurl_env = 'DATABASE_URL'", "postgres://u:s3cret@h/db");
    check(&[], &[("SWITCHOVER_TO", "postgres:q")], "[target]\nurl_env = 'DATABASE_URL'", "postgres:q");
    check(&[], &[("SWITCHOVER_TO_ENV", "X"), ("X", "postgres:x")], "to = 'postgres:y'", "postgres:x");
}

#[test]
fn a_password_on_the_command_line_is_a_warning() {
    let resolved = run(&[(Key::To, "postgres://u:s3cret@h/db")], &[], "", "").unwrap();
    assert_eq!(resolved.warnings.len(), 1);
    assert!(resolved.warnings[0].contains("PGPASSWORD") && !resolved.warnings[0].contains("s3cret"));
    assert!(run(&[], &[], "to = 'postgres://u:s3cret@h/db'", "").unwrap().warnings.is_empty());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let url = "postgres://u:s3cret@h/db";
    let found = [
        error(&[], &[], "from = 'sqlite:a'\n\npolcy = 'refuse'\n", ""),
        error(&[], &[], "[target]\nurl = 'x:y'\nschemata = 'z'\n", ""),
        error(&[], &[], "frobnicate = 1\n", ""),
        error(&[], &[], "source = 'sqlite:a'\n", ""),
        error(&[], &[], "jobs = 'four'\n", ""),
        error(&[], &[], "jobs = 0\n", ""),
        error(&[], &[], "tables = ['a', 1]\n", ""),
        error(&[], &[], "[table.users.born]\npolicy = 'quarantine'\n", ""),
        error(&[], &[], "[table.users]\nwere = 'a'\n", ""),
        error(&[], &[], "[tables.users]\nwhere = 'a'\n", ""),
        error(&[], &[], "[table.users.column.born]\npolcy = 'quarantine'\n", ""),
        error(&[], &[], "[table.users.column.born]\n\npolicy = 'quarantin'\n", ""),
        error(&[], &[], "[table.users.column.born]\ntype = 'int5'\n", ""),
        error(&[], &[], "[table.users.column.born]\ndrop = 'yes'\n", ""),
        error(&[], &[], "[table.users.column]\nborn = 'date'\n", ""),
        error(&[], &[], "[table.users.column.id]\nids = 'uuid4'\n", ""),
        error(&[], &[], "[table.users.column.id]\nids = 'uuid5'\nids_namespce = 'a'\n", ""),
        error(&[], &[], "[table.users.column.id]\nids = 'uuid5'\n\nids_namespace = 'users'\n", ""),
        error(&[], &[], "[table.people]\nfrom = [1]\n", ""),
        error(&[], &[], "[table.people.part.'my staff'.value]\nborn = 7\n", ""),
        error(&[], &[], "[[table.users.index]]\ncolumn = 'born'\n", ""),
        error(&[], &[], "[[table.users.index]]\nunique = true\n", ""),
        error(&[], &[], "[table.users.index]\ncolumns = 'born'\n", ""),
        error(
            &[],
            &[],
            "[[table.users.index]]\ncolumns = 'a'\n[[table.users.index]]\ncolumns = 'b'\nmethod = 'gist'\n",
            "",
        ),
        error(&[], &[], "[[table.users.index]]\ncolumns = 'bio'\nfull_text = 'englich'\n", ""),
        error(
            &[],
            &[],
            "[[table.users.index]]\ncolumns = 'bio'\nfull_text = 'english'\nmethod = 'btree'\n",
            "",
        ),
        error(&[], &[], "[[table.posts.foreign_key]]\ncolumns = 'author'\n", ""),
        error(&[], &[], "[table.users.object]\nname_space = 'x'\n", ""),
        error(&[], &[], "[table.users.column.bio]\ntokenization = 'words'\n", ""),
        error(&[], &[], "[table.users.column.bio]\nsearchable = 'yes'\n", ""),
        error(
            &[],
            &[],
            "[[table.posts.foreign_key]]\ncolumns = 'author'\nparent = 'users'\non_delete = 'cascad'\n",
            "",
        ),
        error(&[], &[], &format!("from = 'sqlite:a'\nto = '{url}\n"), ""),
        error(&[], &[], &format!("to = '{url}'\n[target]\nurl = '{url}'\n"), ""),
        error(&[], &[], &format!("to = '{url}'\nto_env = 'X'\n"), ""),
        error(&[], &[("SWITCHOVER_MEMORY_LIMT", "1GB")], "", ""),
        error(&[], &[], "", "\nSWITCHOVER_POLICEY=refuse\n"),
        error(&[], &[("SWITCHOVER_POLICY", "refuze")], "", ""),
        error(&[(Key::MemoryLimit, "1MB")], &[], "", ""),
        error(&[(Key::MemoryLimit, "100M")], &[], "", ""),
        error(&[(Key::To, "env:DATABASE_URI")], &[("DATABASE_URL", url)], "", ""),
        error(&[(Key::To, "env:A")], &[("A", "env:B")], "", ""),
        error(&[(Key::To, "env:A")], &[], "", &format!("B=1\nA=\"{url}")),
    ];
    assert!(!found.join("\n").contains("s3cret"));
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn the_prefix_of_tests_is_free() {
    assert!(run(&[], &[("SWITCHOVER_TEST_X", "1"), ("SWITCHOVER_PG_BIN", "/x")], "", "").is_ok());
    assert!(
        run(&[], &[("SWITCHOVER_WEAVIATE_BIN", "/x"), ("SWITCHOVER_WEAVIATE_PYTHON", "/y")], "", "").is_ok()
    );
    // What a hook is told is no setting, not even where it is called like one; elsewhere it is unknown.
    let mut told: Vec<(&str, &str)> = hooks::VARIABLES.into_iter().map(|name| (name, "5")).collect();
    assert!(run(&[], &told, "", "").is_ok());
    told.retain(|(name, _)| *name != hooks::MARK);
    assert!(run(&[], &told, "", "").is_err());
}

#[test]
fn every_key_is_documented() {
    let page = include_str!("../../../../docs/reference/config.md");
    for spelling in KEYS {
        assert!(page.contains(&format!("`{}`", spelling.variable)), "{}", spelling.variable);
        assert!(page.contains(&format!("`{}`", spelling.file[0])), "{}", spelling.file[0]);
    }
}

const CUTOVER: &str = "[cutover]\nroute = 'r.json'\nenv_file = 'app.env'\nhook_timeout = '5s'\n\
    set = { DATABASE_URL = 'env:NEW_URL', MODE = 'pg' }\n\
    hooks = { before = ['true'], at = [['systemctl', 'reload', 'app'], 'echo $X'] }\n";

#[test]
fn how_the_application_is_told() {
    use switchover::routing::Command;
    let resolved = run(&[], &[("NEW_URL", "postgres://a:s3cret@h/d")], CUTOVER, "").unwrap();
    let routing = &resolved.routing;
    assert!(routing.route.as_ref().unwrap().ends_with("r.json"));
    let file = routing.env_file.as_ref().unwrap();
    let set: Vec<_> = file.set.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(set, [("DATABASE_URL", "postgres://a:s3cret@h/d"), ("MODE", "pg")]);
    assert!(file.path.ends_with("app.env") && !format!("{routing:?}").contains("s3cret"));
    assert_eq!(routing.hooks.timeout.as_secs(), 5);
    assert_eq!(routing.hooks.before, [Command::Shell("true".into())]);
    let words = ["systemctl", "reload", "app"].map(str::to_owned).into();
    assert_eq!(routing.hooks.at, [Command::Program(words), Command::Shell("echo $X".into())]);
    // The place of the route alone can also be said elsewhere.
    let flagged =
        run(&[(Key::Route, "f.json")], &[("NEW_URL", "x"), ("SWITCHOVER_ROUTE", "v.json")], CUTOVER, "");
    assert!(flagged.unwrap().routing.route.unwrap().ends_with("f.json"));
    assert!(run(&[], &[], "", "").unwrap().routing.env_file.is_none());
}

#[test]
fn mistakes_about_cutover_have_their_place() {
    for (file, said) in [
        (
            "[cutover]\nenv_fiel = 'x'",
            "line 2): unknown key 'env_fiel' in [cutover] [did you mean 'env_file'?]",
        ),
        (
            "[cutover]\nhooks = { befor = ['x'] }",
            "unknown key 'befor' in [cutover.hooks] [did you mean 'before'?]",
        ),
        ("[cutover]\nhooks = { at = 'x' }", "cutover.hooks.at: it is text; it must be a list of commands"),
        (
            "[cutover]\nhooks = { at = ['x', 3] }",
            "cutover.hooks.at.2: it is a number; it must be text in quotes",
        ),
        ("[cutover]\nhooks = { at = [[]] }", "cutover.hooks.at.1: the command is empty"),
        ("[cutover]\nhook_timeout = 30", "it must be a length of time"),
        ("[cutover]\nhook_timeout = '2h'", "at most an hour"),
        ("[cutover]\nset = { A = 's3cret' }", "line 2): cutover.set: there is no file to set it in"),
        ("[cutover]\nenv_file = 'x'", "there is nothing to set in it"),
        ("[cutover]\nenv_file = 'x'\nset = { A = 3 }", "cutover.set.A: it is a number"),
        ("[cutover]\nenv_file = 'x'\nset = { A = 'env:NONE' }", "line 3): it names the variable NONE"),
        ("cutover = 3", "'cutover' must be a table"),
        ("[cutove]\nroute = 'x'", "did you mean 'cutover'?"),
    ] {
        let found = error(&[], &[], file, "");
        assert!(found.contains(said) && !found.contains("s3cret"), "{file}: {found}");
    }
}

#[test]
fn what_is_watched() {
    use switchover::watch::{Guard, Measure};
    let file = "[watch]\nwindow = '5s'\n\
        [[watch.guard]]\nname = 'errors'\nhttp = 'http://h/m'\nerrors = 'e{code=\"500\"}'\ntotal = 'e'\nmax = 0.05\nmin_sample = 100\n\
        [[watch.guard]]\nhttp = 'http://h/s'\nvalue = '/p99'\nsample = '/n'\nmax = 250\nwindows = 5\n\
        [[watch.guard]]\nhttp = 'http://h/m'\np99 = 'seconds'\nmax = 0.25\n\
        [[watch.guard]]\nsql = 'SELECT count(*) FROM failed'\nat = 'source'\nmax = 0\n\
        [[watch.guard]]\nverification = true\n[[watch.guard]]\nreverse_lag = true\nmax = 30\n";
    let watch = run(&[], &[], file, "").unwrap().watch;
    assert_eq!(watch.window.as_secs(), 5);
    let shown: Vec<_> =
        watch.guards.iter().map(|g| (g.name.as_str(), g.max, g.windows, g.sample_min)).collect();
    let expected = [
        ("errors", 0.05, 3, 100),
        ("/p99", 250.0, 5, 0),
        ("seconds", 0.25, 3, 0),
        ("sql", 0.0, 3, 0),
        ("verification", 0.0, 1, 0),
        ("reverse_lag", 30.0, 3, 0),
    ];
    assert_eq!(shown, expected);
    assert!(
        matches!(&watch.guards[1], Guard { measure: Measure::Value { sample: Some(sample), .. }, .. } if sample == "/n")
    );
    assert_eq!(run(&[], &[], "", "").unwrap().watch, switchover::watch::WatchOptions::default());
}

#[test]
fn mistakes_about_watch_have_their_place() {
    for (guard, said) in [
        ("", "line 2): watch.guard.1: a guard measures one thing"),
        ("reverse_lag = true", "`max` is missing"),
        ("reverse_lag = true\nmax = 'x'", "line 4): watch.guard.1.max: it is text; it must be a number"),
        ("reverse_lag = true\nmax = nan", "it must be a number"),
        (
            "reverse_lag = true\nmax = 1\nwindow = 3",
            "unknown key 'window' in [watch.guard.1] [did you mean 'windows'?]",
        ),
        ("reverse_lag = true\nmax = 1\nwindows = 0", "windows must be at least 1"),
        ("verification = true\nmax = 1", "needs no `max`"),
        ("sql = 'x'\nhttp = 'http://h'\nmax = 1", "a guard measures one thing"),
        ("http = 'http://h'\nerrors = 'e'\nmax = 1", "a guard measures one thing"),
        ("http = 'ftp://h'\nvalue = '/x'\nmax = 1", "an endpoint begins with http"),
        ("http = 'http://h'\nvalue = 'e{'\nmax = 1", "'e{' is not a JSON pointer"),
        (
            "verification = true\n[[watch.guard]]\nverification = true",
            "watch.guard.2: another guard is called 'verification'",
        ),
    ] {
        let found = error(&[], &[], &format!("# x\n[[watch.guard]]\n{guard}\n"), "");
        assert!(found.contains(said), "{guard}: {found}");
    }
    assert!(error(&[], &[], "[watch]\nwindow = '10ms'", "").contains("at least 1s"));
}
