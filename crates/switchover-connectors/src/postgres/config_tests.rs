//! Tables of connection texts and what they mean; and that no password ever shows.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use switchover_core::Kind;

const NO_ENV: &[(&str, &str)] = &[("USER", "os")];

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<PgConfig> {
    PgConfig::parse(text, &|name| {
        env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

/// `user:password@host:port,…/database sslmode`.
fn shape(config: &PgConfig) -> String {
    let hosts: Vec<_> = config.hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
    let password = config.password.0.as_ref().map_or("-", |password| password.expose_secret());
    format!("{}:{}@{}/{} {:?}", config.user, password, hosts.join(","), config.database, config.sslmode)
}

#[test]
fn texts_and_their_meaning() {
    for (text, want) in [
        ("postgres://ann:pw@db:6432/app", "ann:pw@db:6432/app Prefer"),
        ("postgresql://ann@db/app?sslmode=require", "ann:-@db:5432/app Require"),
        ("postgres://db", "os:-@db:5432/os Prefer"),
        ("postgres://a%40b:p%40s%2Fs%3A@db/my%20app", "a@b:p@s/s:@db:5432/my app Prefer"),
        ("postgres://ann:p:w@db/app", "ann:p:w@db:5432/app Prefer"),
        ("postgres://ann@h1:1,h2,[::1]:3/app", "ann:-@h1:1,h2:5432,::1:3/app Prefer"),
        ("postgres://ann@%2Fvar%2Frun%2Fpg/app", "ann:-@/var/run/pg:5432/app Prefer"),
        ("postgres:///app?host=/tmp&port=5433&user=ann", "ann:-@/tmp:5433/app Prefer"),
        ("postgresql+asyncpg://ann:p/w?x@db/app?ssl=require", "ann:p/w?x@db:5432/app Require"),
        ("postgresql+psycopg://ann:pw@db/app?sslmode=disable", "ann:pw@db:5432/app Disable"),
        ("postgresql+psycopg2://ann:pw@db/app", "ann:pw@db:5432/app Prefer"),
        ("postgres://ann@db/app?ssl=true", "ann:-@db:5432/app Require"),
        ("host=db dbname=app user=ann", "ann:-@db:5432/app Prefer"),
        (r"host = db  password='it''s' ", "os:its@db:5432/os Prefer"),
        (r"host=db password='a\'b \\c' dbname=x\ y", r"os:a'b \c@db:5432/x y Prefer"),
        ("host=h1,h2 port=1,2 dbname=app", "os:-@h1:1,h2:2/app Prefer"),
        ("host=h1,h2 port=7 dbname=app", "os:-@h1:7,h2:7/app Prefer"),
        ("host=db sslmode=verify-full sslrootcert=/r.crt", "os:-@db:5432/os VerifyFull"),
        ("host=db sslrootcert=system", "os:-@db:5432/os VerifyFull"),
    ] {
        let config = match text {
            // Two quoted parts are two words to libpq.
            text if text.contains("''s'") => {
                assert!(parse_with(text, NO_ENV).is_err());
                continue;
            }
            _ => parse_with(text, NO_ENV).expect(text),
        };
        assert_eq!(shape(&config), want, "{text}");
    }
}

#[test]
fn the_environment_fills_in_and_the_text_wins() {
    let env = [
        ("PGHOST", "envhost"),
        ("PGPORT", "7"),
        ("PGUSER", "envuser"),
        ("PGDATABASE", "envdb"),
        ("PGPASSWORD", "envpw"),
        ("PGSSLMODE", "allow"),
        ("PGAPPNAME", "envapp"),
        ("PGCONNECT_TIMEOUT", "1"),
        ("PGOPTIONS", "-c x=y"),
    ];
    let config = parse_with("postgres://", &env).expect("environment only");
    assert_eq!(shape(&config), "envuser:envpw@envhost:7/envdb Allow");
    assert_eq!((config.application_name.as_str(), config.options.as_str()), ("envapp", "-c x=y"));
    assert_eq!(config.connect_timeout, Duration::from_secs(2));
    let text =
        "postgres://ann:pw@db:1/app?sslmode=disable&application_name=me&options=-c%20a%3Db&connect_timeout=9";
    let config = parse_with(text, &env).expect("text");
    assert_eq!(shape(&config), "ann:pw@db:1/app Disable");
    assert_eq!((config.application_name.as_str(), config.options.as_str()), ("me", "-c a=b"));
    assert_eq!(config.connect_timeout, Duration::from_secs(9));
    assert_eq!(parse_with("postgres://h", NO_ENV).expect("default").application_name, "switchover");
    assert!(parse_with("postgres://h", &[]).expect_err("no user").to_string().contains("names no user"));
}

#[test]
fn what_is_wrong_is_said_without_the_secret() {
    for (text, part, hint) in [
        ("postgres://ann:s3cret@h/app?sslmod=require", "no parameter 'sslmod'", "'sslmode'"),
        ("postgres://ann:s3cret@h/app?sslmode=verify_full", "sslmode is none of", "'verify-full'"),
        ("postgres://ann:s3cret@tail@h/app", "an '@' stands after", "%40"),
        ("postgres://ann:s3cret/tail@h/app", "an '@' stands after", "%2F"),
        ("postgres://ann:s3cret?tail@h/app", "an '@' stands after", "%3F"),
        ("postgres://ann:s3cret", "the port is not a number", "%40"),
        ("postgres://ann:s3cret%@h/app", "two hexadecimal digits", ""),
        ("postgres://ann:s3cret@h:99999/app", "1 to 65535", "5432"),
        ("postgres://ann:s3cret@h/app?service=x", "'service' is not supported", "host, user and database"),
        ("postgres://ann:s3cret@h/app?s3cret", "no '='", ""),
        ("mysql://ann:s3cret@h/app", "scheme is not postgres", "postgres://"),
        ("postgresql+jdbc://ann:s3cret@h/app", "driver", "without a driver"),
        ("host=h password='s3cret", "no closing quote", "\\'"),
        ("host=h password=s3 s3cret", "no '='", "single quotes"),
        ("s3cret", "neither a postgres:// URL", "postgres://"),
        ("host=a,b hostaddr=127.0.0.1 password=s3cret", "different numbers", "one address"),
        ("host=h sslrootcert=system sslmode=require", "needs sslmode=verify-full", "public authority"),
        ("host=h connect_timeout=soon", "not a number of seconds", "connect_timeout=10"),
        ("host=h sslcert=/c", "without sslkey", "sslkey"),
    ] {
        let error = parse_with(text, NO_ENV).expect_err(text);
        let whole = format!("{error:?}");
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(error.what_to_do().contains(hint), "{text}: {whole}");
        assert!(!whole.contains("s3cret") && !whole.contains("tail"), "{text}: {whole}");
    }
}

#[test]
fn harmless_parameters_are_ignored_aloud() {
    let config =
        parse_with("postgresql+asyncpg://a@h/d?command_timeout=60&timeout=5", NO_ENV).expect("parse");
    assert_eq!(config.warnings, ["the parameter 'command_timeout' has no effect here and was ignored"]);
    assert_eq!(config.connect_timeout, Duration::from_secs(5));
}

#[test]
fn what_the_environment_asks_for_in_vain_is_refused() {
    for (variable, hint) in [("PGSERVICE", "host, user and database"), ("PGREQUIREAUTH", "leave it out")] {
        let error = parse_with("postgres://a@h/d", &[(variable, "s3cret")]).expect_err(variable);
        assert_eq!(error.kind(), Kind::Unsupported);
        let said = format!("{error} {}", error.what_to_do());
        assert!(said.contains(variable) && said.contains(hint) && !said.contains("s3cret"), "{said}");
    }
}

/// A port that no server has, and a file where its socket would be.
#[cfg(unix)]
#[test]
fn the_socket_of_the_port_that_is_meant_is_looked_for() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    let text = format!("postgres://a@:{port}/d");
    let host = || parse_with(&text, NO_ENV).expect("parse").hosts[0].name.clone();
    assert_eq!(host(), "localhost");
    let socket = std::path::PathBuf::from(format!("/tmp/.s.PGSQL.{port}"));
    std::fs::write(&socket, "").expect("a file");
    let found = host();
    std::fs::remove_file(&socket).expect("its end");
    assert_eq!(found, "/tmp");
}

#[cfg(unix)]
#[test]
fn the_password_file_is_read_for_each_host() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join(".pgpass");
    std::fs::write(&file, "h2:5432:app:ann:second\nlocalhost:*:*:*:local\n").expect("write");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let env = [("HOME", dir.path().to_str().expect("utf-8"))];
    let config = parse_with("postgres://ann@h1,h2,%2Ftmp/app", &env).expect("parse");
    let found: Vec<_> = config
        .hosts
        .iter()
        .map(|host| config.password_for(host).map(|p| p.expose_secret().to_owned()))
        .collect();
    assert_eq!(found, [None, Some("second".to_owned()), Some("local".to_owned())]);
    assert!(!format!("{config:?}").contains("second"));
}

proptest! {
    #[test]
    fn a_password_never_shows(password in "[a-zA-Z0-9@:/?#%&=+ '\\\\é]{8,30}", broken in any::<bool>()) {
        let encoded = uri::percent_encode(&password);
        let config = parse_with(&format!("postgres://ann:{encoded}@db/app"), NO_ENV).expect("encoded");
        prop_assert_eq!(config.password.0.as_ref().map(|p| p.expose_secret().to_owned()), Some(password.clone()));
        for shown in [format!("{config:?}"), config.redacted()] {
            prop_assert!(!shown.contains(&password) && !shown.contains(&encoded));
        }
        // Unencoded, it may or may not parse; either way no run of eight characters of it may be printed by an error.
        let tail = if broken { "?sslmode=x" } else { "" };
        if let Err(error) = parse_with(&format!("postgres://ann:{password}@db/app{tail}"), NO_ENV) {
            let whole = format!("{error:?}");
            let chars: Vec<char> = password.chars().collect();
            for run in chars.windows(8) {
                prop_assert!(!whole.contains(&run.iter().collect::<String>()), "{}", whole);
            }
        }
    }
}
