//! The text of a connection, split into libpq's parameters: URLs and `key=value` strings.
//!
//! Invariants: an error never holds the text, nor any part that may be a password's; a raw `@` after the host is an
//! error, because it is nearly always an unencoded password, whose tail would then stand in messages as a host.
//! Absent: what the values mean, and the environment, which is `config`.

use switchover_core::{Error, Kind, Result};

use crate::uri;

/// Parameters with a meaning here, by libpq's names.
pub(super) const KNOWN: [&str; 23] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "options",
    "application_name",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "target_session_attrs",
    "fallback_application_name",
    // Not libpq's: Prisma's and other libraries' name for the schema that is meant.
    "schema",
];

/// Parameters of libpq and of Python's drivers that change neither which data is read nor who may see it.
pub(super) const HARMLESS: [&str; 19] = [
    "client_encoding",
    "sslcompression",
    "sslsni",
    "ssl_min_protocol_version",
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "load_balance_hosts",
    "command_timeout",
    "statement_cache_size",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "max_cached_statement_lifetime",
    "max_cacheable_statement_size",
    "async_fallback",
    "prepare_threshold",
    "sslcertmode",
    "async_creator_fn",
];

/// Parameters of libpq that would be unsafe to ignore, and that this program does not have.
pub(super) const UNSUPPORTED: [&str; 11] = [
    "service",
    "servicefile",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "ssl_max_protocol_version",
    "sslnegotiation",
    "requirepeer",
    "require_auth",
    "replication",
    "direct_tls",
];

/// The same as variables of the environment (libpq's documentation, 34.15), with the parameters that they stand for.
const UNSUPPORTED_VARIABLES: [(&str, &str); 7] = [
    ("PGSERVICE", "service"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
];

pub(super) const OPERATION: &str = "read the PostgreSQL URL";

/// An error about the text as a whole.
pub(super) fn bad(why: impl Into<String>) -> Error {
    Error::new(Kind::Config, OPERATION).store("postgres").detail(why)
}

/// Splits either form. Later values win, except that a URL's own parts may be repeated in its query, as in libpq.
pub(super) fn split(text: &str) -> Result<Vec<(String, String)>> {
    let text = text.trim();
    let pairs = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['=', ' ']) => url(scheme, rest)?,
        _ if text.contains('=') => key_values(text)?,
        _ => {
            return Err(bad("it is neither a postgres:// URL nor a key=value string")
                .hint("write postgres://user@host:5432/database, or host=… dbname=… user=…"));
        }
    };
    for (name, _) in &pairs {
        check_name(name)?;
    }
    Ok(pairs)
}

fn url(scheme: &str, rest: &str) -> Result<Vec<(String, String)>> {
    let driver = match scheme {
        "postgres" | "postgresql" => None,
        _ => match scheme.split_once('+') {
            Some(("postgres" | "postgresql", driver)) => Some(driver),
            _ => return Err(bad("its scheme is not postgres or postgresql").hint("write postgres://…")),
        },
    };
    if driver
        .is_some_and(|name| !["asyncpg", "psycopg", "psycopg2", "psycopg_async", "pg8000"].contains(&name))
    {
        return Err(bad("the driver after 'postgresql+' is not known").hint(
            "write postgresql:// without a driver; which one the application uses does not matter here",
        ));
    }
    let decode = |part: &str| uri::percent_decode(part, false).map_err(|why| bad(why.why()));
    let mut pairs = Vec::new();
    let (credentials, rest) = match rest.split_once('@') {
        // SQLAlchemy lets a password hold '/' and '?'; libpq ends the authority there.
        Some((before, after)) if is_credentials(before, driver.is_some()) => (Some(before), after),
        _ => (None, rest),
    };
    if rest.contains('@') {
        return Err(bad("an '@' stands after the host's place")
            .hint("percent-encode the user and the password: '@' is %40, '/' is %2F, ':' is %3A, '?' is %3F, '#' is %23"));
    }
    if let Some(credentials) = credentials {
        let (user, password) = credentials.split_once(':').map_or((credentials, None), |(u, p)| (u, Some(p)));
        push(&mut pairs, "user", decode(user)?);
        push(&mut pairs, "password", decode(password.unwrap_or_default())?);
    }
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = before_query.split_once('/').unwrap_or((before_query, ""));
    if !hosts.is_empty() {
        let (names, ports) = host_list(hosts)?;
        push(&mut pairs, "host", decode(&names)?);
        push(&mut pairs, "port", ports);
    }
    push(&mut pairs, "dbname", decode(database)?);
    for (name, value) in uri::query_pairs(query, driver.is_some()).map_err(|why| bad(why.why()))? {
        pairs.push(match (name.as_str(), driver) {
            ("ssl", _) if value == "true" => ("sslmode".to_owned(), "require".to_owned()),
            ("ssl", Some("asyncpg")) => ("sslmode".to_owned(), value),
            ("timeout", Some("asyncpg")) => ("connect_timeout".to_owned(), value),
            ("database", Some(_)) => ("dbname".to_owned(), value),
            _ => (name, value),
        });
    }
    Ok(pairs)
}

fn push(pairs: &mut Vec<(String, String)>, name: &str, value: String) {
    if !value.is_empty() {
        pairs.push((name.to_owned(), value));
    }
}

fn is_credentials(before: &str, sqlalchemy: bool) -> bool {
    let user_end = before.find(':').unwrap_or(before.len());
    let checked = if sqlalchemy { &before[..user_end] } else { before };
    !checked.contains(['/', '?'])
}

/// `a:1,[::1]:2,c` as `a,::1,c` and `1,2,`.
fn host_list(hosts: &str) -> Result<(String, String)> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, after) = match host.strip_prefix('[') {
            Some(inner) => inner
                .split_once(']')
                .ok_or_else(|| bad("an IPv6 address has no ']'").hint("write [::1]:5432"))?,
            None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
        };
        let port = match after.strip_prefix(':') {
            Some(port) => port,
            None if after.is_empty() => "",
            None => return Err(bad("text stands between ']' and the port").hint("write [::1]:5432")),
        };
        // A password without its '@' looks like a port: never show it.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad("the port is not a number").hint(
                "if a password stands there, percent-encode its '/', '?' and '@' as %2F, %3F and %40",
            ));
        }
        names.push(name);
        ports.push(port);
    }
    let ports = if ports.iter().all(|port| port.is_empty()) { String::new() } else { ports.join(",") };
    Ok((names.join(","), ports))
}

/// libpq's `conninfo_parse`: blanks around `=`, values in single quotes, backslash escapes.
fn key_values(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            name.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err(bad("a word in the key=value string has no '='")
                .hint("put a value that holds blanks in single quotes: password='two words'"));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        let mut closed = false;
        while let Some(c) = chars.next_if(|c| quoted || !c.is_whitespace()) {
            match c {
                '\\' => value.extend(chars.next()),
                '\'' if quoted => {
                    closed = true;
                    break;
                }
                other => value.push(other),
            }
        }
        if quoted && !closed {
            return Err(bad("a quoted value in the key=value string has no closing quote")
                .hint("write a quote inside a value as \\' and a backslash as \\\\"));
        }
        pairs.push((name, value));
    }
}

/// Refuses what the environment asks for and this program does not have.
pub(super) fn check_variables(env: impl Fn(&str) -> Option<String>) -> Result<()> {
    match UNSUPPORTED_VARIABLES.iter().find(|(variable, _)| env(variable).is_some()) {
        Some((variable, name)) => Err(unsupported(&format!("{variable} of the environment"), name)),
        None => Ok(()),
    }
}

fn unsupported(what: &str, name: &str) -> Error {
    Error::new(Kind::Unsupported, OPERATION)
        .store("postgres")
        .detail(format!("{what} is not supported, and ignoring it could be unsafe"))
        .hint(match name {
            "service" | "servicefile" => "write the host, user and database that the service file holds",
            "sslpassword" => {
                "give a key without a pass phrase (openssl pkey -in old.key -out new.key, mode 0600)"
            }
            _ => "leave it out if the connection is safe without it",
        })
}

fn check_name(name: &str) -> Result<()> {
    if KNOWN.contains(&name) || HARMLESS.contains(&name) {
        return Ok(());
    }
    let shown = uri::shown_name(name).unwrap_or("…");
    if UNSUPPORTED.contains(&name) {
        return Err(unsupported(&format!("the parameter '{name}'"), name));
    }
    let error = bad(format!("there is no parameter '{shown}'"));
    Err(match uri::near_match(name, KNOWN.into_iter().chain(HARMLESS).chain(UNSUPPORTED)) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error.hint("the parameters are libpq's: host, port, dbname, user, sslmode, sslrootcert, …"),
    })
}
