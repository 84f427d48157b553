//! PostgreSQL's errors in the project's terms: by SQLSTATE and by type, never by text.
//!
//! Invariants: every SQLSTATE has an arm in `meaning` or falls to its class's; the server's table, column, constraint
//! and context are copied; its message is the detail, for it says what the code cannot.
//! The server's own DETAIL may quote values of rows: they are the user's data, shown as the design asks, and never
//! a password. Absent: retries.

use std::io;

use switchover_core::{Error, Kind};
use tokio_postgres::error::DbError;

use super::config::{Host, PgConfig};
use crate::handshake::{Handshake, cause_of};

/// Context longer than this is cut: a COPY's context may quote a whole row.
const CONTEXT_CHARS_MAX: usize = 300;

const CONNECT: &str = "connect to PostgreSQL";

/// What `error`, met while doing `operation`, means and what to do about it. The caller adds the store and the cause.
pub fn classify(error: &tokio_postgres::Error, operation: &str) -> Error {
    if let Some(server) = error.as_db_error() {
        return of_server(server, operation);
    }
    if error.is_closed() || cause_of::<io::Error>(error).is_some() {
        return Error::new(Kind::Unavailable, operation)
            .detail("the connection to the server was lost")
            .hint("the server may be restarting: see its log; the run can be resumed");
    }
    Error::new(Kind::Internal, operation)
        .detail("the client library could not send the request or read the answer")
        .hint("this is a defect of this program: please report it with the message below")
}

/// The SQLSTATE, if the server sent one.
pub fn sqlstate(error: &tokio_postgres::Error) -> Option<&str> {
    error.code().map(|code| code.code())
}

/// What a server's report means.
pub fn of_server(server: &DbError, operation: &str) -> Error {
    let (kind, hint) = meaning(server.code().code());
    let mut detail = format!("{} (SQLSTATE {})", server.message(), server.code().code());
    let more = [("", server.detail()), ("in: ", server.where_()), ("constraint ", server.constraint())];
    for (label, text) in more {
        if let Some(text) = text {
            let shown: String = text.chars().take(CONTEXT_CHARS_MAX).collect();
            detail.push_str(&format!("; {label}{}", shown.replace('\n', " ")));
        }
    }
    let mut error = Error::new(kind, operation).detail(detail);
    if let Some(table) = server.table() {
        error = error.table(match server.schema() {
            Some(schema) => format!("{schema}.{table}"),
            None => table.to_owned(),
        });
    }
    if let Some(column) = server.column() {
        error = error.column(column);
    }
    error.hint(match server.hint() {
        Some(server_hint) if hint.is_empty() => server_hint.to_owned(),
        Some(server_hint) => format!("{hint} (the server says: {server_hint})"),
        None => hint.to_owned(),
    })
}

/// SQLSTATE to kind and hint: single codes first, then classes.
fn meaning(code: &str) -> (Kind, &'static str) {
    match code {
        "57P01" | "57P02" | "57P03" => {
            (Kind::Unavailable, "the server is stopping or starting: try again soon")
        }
        "53300" => {
            (Kind::Unavailable, "the server has no connection free: close some, or raise max_connections")
        }
        "40001" | "40P01" => {
            (Kind::Unavailable, "another transaction was in the way: the same step may succeed now")
        }
        "55P03" => {
            (Kind::Unavailable, "another session holds the lock: see pg_locks; try again when it is done")
        }
        "25006" => (Kind::Unavailable, "the server or the role is read-only: connect to the primary server"),
        // No session here has a time-out for statements, so that it is an operator, who ends a statement and not the run. How often it is
        // tried again has an end, as with all of this kind.
        "57014" => {
            (Kind::Unavailable, "somebody canceled it, or a time-out ended it: the same step may succeed now")
        }
        "57P04" => (Kind::NotFound, "the database was dropped"),
        "28P01" => (
            Kind::Permission,
            "check the user and the password (PGPASSWORD, ~/.pgpass, or the URL, percent-encoded)",
        ),
        "28000" => (
            Kind::Permission,
            "the role may not log in so, from here, to this database: see the server's pg_hba.conf, and sslmode",
        ),
        "42501" => (Kind::Permission, "grant the role this right, or connect as the owner"),
        "3D000" => {
            (Kind::NotFound, "create the database first (createdb NAME), or check its name in the URL")
        }
        "3F000" | "42P01" | "42703" | "42704" | "42883" => {
            (Kind::NotFound, "something changed the target's schema, or the plan is not for this database")
        }
        "42P04" | "42P06" | "42P07" | "42710" | "42701" | "42723" => {
            (Kind::AlreadyExists, "choose another schema (--schema NAME), or remove what is there")
        }
        "53100" => (Kind::Exhausted, "the server's disk is full: free space there"),
        "53200" => {
            (Kind::Exhausted, "the server is out of memory, or of lock slots: see max_locks_per_transaction")
        }
        "55006" => (Kind::Busy, "another session is using it: end that session"),
        "XX001" | "XX002" => {
            (Kind::Corrupt, "the server found its own data damaged: see its log before anything else")
        }
        _ => class_meaning(code.get(..2).unwrap_or_default()),
    }
}

fn class_meaning(class: &str) -> (Kind, &'static str) {
    match class {
        "08" => (Kind::Unavailable, "the connection failed: try again"),
        "0A" => (Kind::Unsupported, "this server's version or extension does not have it"),
        "22" => {
            (Kind::Rejected, "the value does not fit the column's type: see the row and column named here")
        }
        "23" => {
            (Kind::Rejected, "the rows violate a constraint of the target: see the constraint named here")
        }
        "25" | "2D" | "3B" => (Kind::Internal, "this is a defect of this program: please report it"),
        "28" => (Kind::Permission, "check the user, the password and the server's pg_hba.conf"),
        "40" => (Kind::Unavailable, "the transaction was rolled back: the same step may succeed now"),
        "42" => {
            (Kind::Rejected, "the server does not accept the statement: this may be a defect of this program")
        }
        "53" => (Kind::Exhausted, "the server has run out of something: see its log"),
        "54" => (Kind::Rejected, "it is larger than PostgreSQL can hold"),
        "55" => (Kind::Busy, "the object is not in the state that this needs: see the server's log"),
        "57" => (Kind::Interrupted, "an operator or the server ended it: see the server's log"),
        "58" => (Kind::Io, "the server cannot read or write a file: see its log"),
        "XX" => (Kind::Rejected, "the server met a defect of its own: see its log"),
        _ => (Kind::Rejected, ""),
    }
}

/// A failure after the socket was open: TLS, password, database.
pub(super) fn connecting(error: &tokio_postgres::Error, config: &PgConfig, host: &Host) -> Error {
    if let Some(tls) = cause_of::<rustls::Error>(error) {
        return of_tls(tls, host).store(config.redacted());
    }
    if error.as_db_error().is_none()
        && !error.is_closed()
        && config.password_for(host).is_none()
        && cause_of::<io::Error>(error).is_none()
    {
        return Error::new(Kind::Permission, CONNECT)
            .store(config.redacted())
            .detail("the server asks for a password, and none was given")
            .hint("set PGPASSWORD, or add a line to ~/.pgpass (mode 0600), or put it in the URL, percent-encoded");
    }
    if error.as_db_error().is_none() && !error.is_closed() && cause_of::<io::Error>(error).is_none() {
        return Error::new(Kind::Permission, CONNECT)
            .store(config.redacted())
            .detail("the server and this program agree on no way to log in")
            .hint("this program knows trust, cert, password, md5 and scram-sha-256, with or without channel binding");
    }
    classify(error, CONNECT).store(config.redacted())
}

/// Whether TLS itself failed, rather than what was said over it.
pub(super) fn is_tls(error: &tokio_postgres::Error) -> bool {
    cause_of::<rustls::Error>(error).is_some()
}

fn of_tls(error: &rustls::Error, host: &Host) -> Error {
    let broken = Handshake::of(error);
    let hint = match broken {
        Handshake::Issuer => "name the root that did with sslrootcert=FILE",
        Handshake::Name => {
            "use the name that is in the certificate's subjectAltName (its common name alone does not count), or sslmode=verify-ca"
        }
        Handshake::Expired => "renew it on the server",
        Handshake::Early => "check this machine's clock",
        Handshake::Unusable => {
            "it must be X.509 version 3 and made for a server; a self-signed one must itself be the file of sslrootcert"
        }
        Handshake::Protocol | Handshake::Ended => {
            "the server may ask for a client certificate (sslcert, sslkey), or for another TLS version; see its log"
        }
        Handshake::Other => "the server must offer TLS 1.2 or 1.3; see the cause above",
    };
    Error::new(Kind::Config, CONNECT).detail(broken.detail(&host.name)).hint(hint)
}

/// A host name that leads nowhere.
pub(super) fn host_not_found(cause: io::Error, config: &PgConfig, host: &Host) -> Error {
    Error::new(Kind::NotFound, CONNECT)
        .store(config.redacted())
        .detail(format!("the host '{}' was not found", host.name))
        .hint("check the host's name; in a container, the name is the service's")
        .because(cause)
}

/// A socket that could not be opened.
pub(super) fn unreachable(cause: io::Error, config: &PgConfig, host: &Host) -> Error {
    let place = match host.socket_directory() {
        Some(directory) => format!("the socket {directory}/.s.PGSQL.{}", host.port),
        None => format!("{} port {}", host.name, host.port),
    };
    let (kind, why, hint) = match cause.kind() {
        io::ErrorKind::ConnectionRefused => (
            Kind::Unavailable,
            "nothing listens at",
            "start the server, or check the port and its listen_addresses",
        ),
        io::ErrorKind::NotFound => (
            Kind::Unavailable,
            "no server has",
            "start the server, or check host=DIRECTORY against its unix_socket_directories",
        ),
        io::ErrorKind::PermissionDenied => (
            Kind::Permission,
            "the operating system denies access to",
            "check the rights to the socket's directory",
        ),
        _ => (Kind::Unavailable, "cannot reach", "check the network, the host and the firewall"),
    };
    Error::new(kind, CONNECT)
        .store(config.redacted())
        .detail(format!("{why} {place}"))
        .hint(hint)
        .because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide() {
        for (code, kind) in [
            ("08006", Kind::Unavailable),
            ("57P01", Kind::Unavailable),
            ("53300", Kind::Unavailable),
            ("40001", Kind::Unavailable),
            ("55P03", Kind::Unavailable),
            ("28P01", Kind::Permission),
            ("42501", Kind::Permission),
            ("3D000", Kind::NotFound),
            ("53100", Kind::Exhausted),
            ("22P05", Kind::Rejected),
            ("23505", Kind::Rejected),
            ("42P07", Kind::AlreadyExists),
            ("0A000", Kind::Unsupported),
            ("57014", Kind::Unavailable),
            ("XX001", Kind::Corrupt),
            ("58030", Kind::Io),
            ("", Kind::Rejected),
        ] {
            assert_eq!(meaning(code).0, kind, "{code}");
        }
    }
}
