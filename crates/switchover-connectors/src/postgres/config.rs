//! Which PostgreSQL database is meant, and how to reach it: libpq's rules, without libpq.
//!
//! Precedence, as in libpq: the text, then the environment (`PGHOST` …), then the password file, then the default.
//! Two defaults differ on purpose: `application_name` is `switchover`, and the user is never guessed from the
//! operating system beyond `USER` and `LOGNAME`, because in a container that is `root` and the error is baffling.
//!
//! Invariants: the password is in a [`SecretString`] and nowhere else; `Debug`, [`PgConfig::redacted`] and every
//! error are free of it; an unknown parameter is an error; what is ignored is harmless, and said in `warnings`.
//! Absent: connecting (`connect`), services and Kerberos.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use switchover_core::Result;

use super::liveness::Liveness;
use super::parameters::{self, HARMLESS, bad};
use super::pgpass::{self, Wanted};
use crate::uri;

/// PostgreSQL's port.
pub const PORT: u16 = 5432;

/// Where Debian's and the project's own servers put their Unix sockets, in the order of trying.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// libpq waits for ever by default; a tool that reports must not. Ten seconds pass three SYN retries (1 + 2 + 4 s).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// libpq rounds a shorter wait up to this, for a shorter one fails on healthy networks.
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_secs(2);

/// How far TLS is required and checked; libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server refuses without.
    Allow,
    /// If the server offers it.
    Prefer,
    /// Always; the certificate is checked only if a root certificate is at hand.
    Require,
    /// Always, and the certificate must come from a trusted root.
    VerifyCa,
    /// As `verify-ca`, and it must name the host.
    VerifyFull,
}

/// Where trusted root certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCert {
    /// A PEM file.
    File(PathBuf),
    /// The operating system's store (`sslrootcert=system`).
    System,
}

/// One place to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name as given: a host name, an address, or the directory of a Unix socket.
    pub name: String,
    /// The numeric address to connect to instead of looking `name` up.
    pub address: Option<std::net::IpAddr>,
    /// The port.
    pub port: u16,
    pub(super) password: PasswordSlot,
}

/// A password found in the password file for this host only. Compares by presence.
#[derive(Clone, Default)]
pub(super) struct PasswordSlot(pub(super) Option<SecretString>);

impl fmt::Debug for PasswordSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}

impl PartialEq for PasswordSlot {
    fn eq(&self, other: &PasswordSlot) -> bool {
        self.0.is_some() == other.0.is_some()
    }
}

impl Eq for PasswordSlot {}

impl Host {
    /// The directory of the Unix socket, if this is one.
    pub fn socket_directory(&self) -> Option<&str> {
        self.name.starts_with('/').then_some(self.name.as_str())
    }
}

/// What [`parse`](PgConfig::parse) understood. Printing it never shows the password.
#[derive(Debug, Clone)]
pub struct PgConfig {
    /// The places to try, in order; at least one.
    pub hosts: Vec<Host>,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The password, if the text or the environment gave one.
    pub(super) password: PasswordSlot,
    /// How far TLS is required.
    pub sslmode: SslMode,
    /// The trusted roots; `None` if none was named and libpq's default file is not there.
    pub sslrootcert: Option<RootCert>,
    /// The client's certificate chain and key, both PEM.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// `channel_binding`.
    pub channel_binding: tokio_postgres::config::ChannelBinding,
    /// The server must accept writes (`target_session_attrs=read-write` or `primary`).
    pub writable: bool,
    /// How long one attempt at one address may take.
    pub connect_timeout: Duration,
    /// How it is noticed that the other end is gone without a word.
    pub liveness: Liveness,
    /// What the server shows in `pg_stat_activity`.
    pub application_name: String,
    /// Command-line options for the server process.
    pub options: String,
    /// The schema that is read, where the text names one (`?schema=`, as Prisma writes it).
    pub schema: Option<String>,
    /// What was ignored, and why; for the user, free of secrets.
    pub warnings: Vec<String>,
}

impl PgConfig {
    /// Reads a URL or a key=value string; `env` answers for the environment.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<PgConfig> {
        let pairs = parameters::split(text)?;
        let given = |name: &str| {
            pairs
                .iter()
                .rev()
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| value.clone())
        };
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let value = |name: &str, variable: &str| given(name).or_else(|| env(variable));
        parameters::check_variables(env)?;

        let user =
            value("user", "PGUSER").or_else(|| env("USER")).or_else(|| env("LOGNAME")).ok_or_else(|| {
                bad("it names no user, and neither PGUSER nor USER is set")
                    .hint("write postgres://user@host/database, or set PGUSER")
            })?;
        let database = value("dbname", "PGDATABASE").unwrap_or_else(|| user.clone());
        let mut warnings: Vec<String> = pairs
            .iter()
            .filter(|(name, _)| HARMLESS.contains(&name.as_str()))
            .map(|(name, _)| format!("the parameter '{name}' has no effect here and was ignored"))
            .collect();
        let mut hosts =
            hosts(value("host", "PGHOST"), value("hostaddr", "PGHOSTADDR"), value("port", "PGPORT"))?;
        let password = value("password", "PGPASSWORD").map(SecretString::from);
        let home = env("HOME").map(PathBuf::from);
        if password.is_none() {
            let file = value("passfile", "PGPASSFILE")
                .map(PathBuf::from)
                .or_else(|| home.as_ref().map(|home| home.join(".pgpass")));
            for host in &mut hosts {
                let name = match host.socket_directory() {
                    Some(directory) if SOCKET_DIRECTORIES.contains(&directory) => "localhost",
                    _ => &host.name,
                };
                let wanted = Wanted { host: name, port: host.port, database: &database, user: &user };
                host.password =
                    PasswordSlot(file.as_ref().and_then(|file| pgpass::look_up(file, wanted, &mut warnings)));
            }
        }
        let default_file = |name: &str| {
            home.as_ref().map(|home| home.join(".postgresql").join(name)).filter(|file| file.is_file())
        };
        let sslrootcert = match value("sslrootcert", "PGSSLROOTCERT") {
            Some(system) if system == "system" => Some(RootCert::System),
            Some(file) => Some(RootCert::File(PathBuf::from(file))),
            None => default_file("root.crt").map(RootCert::File),
        };
        let sslmode = match value("sslmode", "PGSSLMODE") {
            Some(mode) => ssl_mode(&mode)?,
            // libpq: public roots without the host's name prove nothing, so `system` implies `verify-full`.
            None if sslrootcert == Some(RootCert::System) => SslMode::VerifyFull,
            None => SslMode::Prefer,
        };
        if sslrootcert == Some(RootCert::System) && sslmode != SslMode::VerifyFull {
            return Err(bad("sslrootcert=system needs sslmode=verify-full")
                .hint("anybody can get a certificate from a public authority: only the host's name tells servers apart"));
        }
        let certificate =
            value("sslcert", "PGSSLCERT").map(PathBuf::from).or_else(|| default_file("postgresql.crt"));
        let key = value("sslkey", "PGSSLKEY").map(PathBuf::from).or_else(|| default_file("postgresql.key"));
        let client_cert = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(bad("sslcert is given without sslkey").hint("add sslkey=FILE")),
            (None, Some(_)) => return Err(bad("sslkey is given without sslcert").hint("add sslcert=FILE")),
        };
        Ok(PgConfig {
            hosts,
            user,
            database,
            password: PasswordSlot(password),
            sslmode,
            sslrootcert,
            client_cert,
            channel_binding: channel_binding(value("channel_binding", "PGCHANNELBINDING").as_deref())?,
            writable: writable(value("target_session_attrs", "PGTARGETSESSIONATTRS").as_deref())?,
            connect_timeout: timeout(value("connect_timeout", "PGCONNECT_TIMEOUT").as_deref())?,
            liveness: Liveness::read(given)?,
            application_name: value("application_name", "PGAPPNAME")
                .or_else(|| given("fallback_application_name"))
                .unwrap_or_else(|| "switchover".to_owned()),
            options: value("options", "PGOPTIONS").unwrap_or_default(),
            schema: given("schema"),
            warnings,
        })
    }

    /// A URL without the password, fit for logs, plans and reports; it connects if the password comes from elsewhere.
    pub fn redacted(&self) -> String {
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .map(|host| {
                let name = match host.name.contains(':') {
                    true => format!("[{}]", host.name),
                    false => uri::percent_encode(&host.name),
                };
                if host.port == PORT { name } else { format!("{name}:{}", host.port) }
            })
            .collect();
        format!(
            "postgres://{}@{}/{}",
            uri::percent_encode(&self.user),
            hosts.join(","),
            uri::percent_encode(&self.database)
        )
    }

    /// The same, with the schema that is read where it is not the default: what a journal keeps of a source.
    pub(super) fn redacted_with(&self, schema: &str) -> String {
        match schema {
            super::source::SCHEMA => self.redacted(),
            _ => format!("{}?schema={}", self.redacted(), uri::percent_encode(schema)),
        }
    }

    /// The password to use at `host`, if there is one.
    pub(super) fn password_for<'a>(&'a self, host: &'a Host) -> Option<&'a SecretString> {
        self.password.0.as_ref().or(host.password.0.as_ref())
    }
}

fn hosts(names: Option<String>, addresses: Option<String>, ports: Option<String>) -> Result<Vec<Host>> {
    let list = |text: &Option<String>| -> Vec<String> {
        text.as_ref()
            .map(|text| text.split(',').map(|part| part.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let (names, addresses, ports) = (list(&names), list(&addresses), list(&ports));
    let count = names.len().max(addresses.len()).max(1);
    if !addresses.is_empty() && !names.is_empty() && addresses.len() != names.len() {
        return Err(
            bad("host and hostaddr list different numbers of places").hint("list one address for each host")
        );
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(
            bad("host and port list different numbers of places").hint("list one port, or one for each host")
        );
    }
    (0..count)
        .map(|at| {
            let address = match addresses.get(at).map(String::as_str) {
                None | Some("") => None,
                Some(text) => Some(text.parse().map_err(|_| {
                    bad("hostaddr is not a numeric address").hint("write a name as host=, not as hostaddr=")
                })?),
            };
            let port = match ports.get(at).or(ports.first()).map(String::as_str) {
                None | Some("") => PORT,
                Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                    bad("the port is not a number from 1 to 65535").hint("PostgreSQL's port is usually 5432")
                })?,
            };
            let name = match names.get(at).map(String::as_str) {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => address
                    .map_or_else(|| default_host(port), |address: std::net::IpAddr| address.to_string()),
            };
            Ok(Host { name, address, port, password: PasswordSlot::default() })
        })
        .collect()
}

/// The Unix socket of that port, if a server has one; else TCP.
fn default_host(port: u16) -> String {
    let directory = SOCKET_DIRECTORIES
        .iter()
        .find(|directory| std::path::Path::new(directory).join(format!(".s.PGSQL.{port}")).exists());
    directory.map_or_else(|| "localhost".to_owned(), |directory| (*directory).to_owned())
}

fn one_of<T: Copy>(what: &str, text: &str, allowed: &[(&str, T)]) -> Result<T> {
    allowed.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
        let error = bad(format!("{what} is none of {}", names.join(", ")));
        match uri::near_match(text, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean '{near}'?")),
            None => error.hint(format!("write {what}={}", names.last().copied().unwrap_or_default())),
        }
    })
}

fn ssl_mode(text: &str) -> Result<SslMode> {
    let modes = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];
    one_of("sslmode", text, &modes)
}

fn channel_binding(text: Option<&str>) -> Result<tokio_postgres::config::ChannelBinding> {
    use tokio_postgres::config::ChannelBinding::{Disable, Prefer, Require};
    one_of(
        "channel_binding",
        text.unwrap_or("prefer"),
        &[("disable", Disable), ("prefer", Prefer), ("require", Require)],
    )
}

fn writable(text: Option<&str>) -> Result<bool> {
    one_of(
        "target_session_attrs",
        text.unwrap_or("any"),
        &[("any", false), ("primary", true), ("read-write", true)],
    )
}

fn timeout(text: Option<&str>) -> Result<Duration> {
    let Some(text) = text else { return Ok(CONNECT_TIMEOUT) };
    match text.trim().parse::<f64>() {
        // libpq: zero or less waits for ever; a day is that, for a tool.
        Ok(seconds) if seconds <= 0.0 => Ok(Duration::from_secs(86_400)),
        Ok(seconds) if seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds).max(CONNECT_TIMEOUT_MIN)),
        _ => Err(bad("connect_timeout is not a number of seconds").hint("write connect_timeout=10")),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
