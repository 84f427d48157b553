//! A connection to PostgreSQL: socket, TLS as `sslmode` says, session settings, and the task that drives it.
//!
//! This module makes the socket and asks for TLS itself, and gives tokio-postgres the stream. So it knows at which
//! step a connection failed (name, socket, TLS, password) by where it stands, and not by reading messages.
//!
//! Invariants: every session has the same settings, whatever the role's or the database's defaults are; everything
//! sent over it must name its schema, for `search_path` is empty unless tables that are there are written (`path_of_application`); dropping a [`Connection`] ends its task.
//! A wrong password is not tried again without TLS (libpq does under `prefer`): it would not become right, only visible.
//! Absent: pools and retries, which are the caller's.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use switchover_core::{Error, Kind, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode as WireTls, SslNegotiation};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::config::{Host, PgConfig, SslMode};
use super::error::{self, classify, sqlstate};
use super::liveness::Liveness;
use super::quote::{ident, literal};
use super::tls;

const OPERATION: &str = "connect to PostgreSQL";

/// What every session is set to, before anything else. Zero time-outs: a server's default must not cut a long copy.
/// `lock_timeout` stays the server's: who waits for a lock, and how long, is the caller's to say.
const SESSION: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';
    SET extra_float_digits = 3; SET standard_conforming_strings = on; SET bytea_output = 'hex';
    SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET search_path = '';
    SHOW server_version_num; SHOW transaction_read_only;";

/// The server finds out within a minute that this end is gone without a word, as where a machine died or a link broke, and lets go
/// of the session's locks: else the run's advisory lock would keep the next process away for the two hours of the system's default.
/// Without effect on a Unix socket.
const SERVER_LOOKS: &str =
    "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;";

/// What a Unix socket may hold of what the server has not read yet. The usual 208 KiB are read within a millisecond, less than it
/// takes until the one who sends has a processor again. TCP's own buffers grow by themselves.
const SEND_BUFFER_BYTES: usize = 2 << 20;

/// libpq's request code for TLS, with its length: version 1234.5679.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Where a path of the application's own holds: to the end of the session, or of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Session,
    Transaction,
}

/// Sets `search_path` to what the application's sessions have by default, and the schema of its tables behind that. What its own tables
/// run when they are written (functions in indexes, checks, defaults, triggers) may name things as they are named there.
pub(super) fn path_of_application(schema: &str, holds: Holds) -> String {
    format!(
        "SELECT pg_catalog.set_config('search_path',
            (SELECT pg_catalog.concat_ws(', ', nullif(nullif(reset_val, ''), '\"\"'), {})
                FROM pg_catalog.pg_settings WHERE name = 'search_path'), {})",
        literal(&ident(schema)),
        holds == Holds::Transaction
    )
}

type Socket = Either<TcpStream, UnixStream>;

/// What a session is read through: the client asks for a few kilobytes at a time, and the server, which sends as
/// many, wakes it for each; so all that has come is taken at once.
type Wire = BufReader<Socket>;

/// About what a Unix socket holds between two looks (`net.core.wmem_default`).
const READ_BYTES: usize = 128 << 10;

/// A live session. Dropping it closes the socket.
pub struct Connection {
    client: Client,
    driver: JoinHandle<()>,
    failure: Arc<Mutex<Option<tokio_postgres::Error>>>,
    server_version_num: u32,
    encrypted: bool,
    label: String,
    host: Host,
    config: PgConfig,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}, encrypted: {})", self.label, self.encrypted)
    }
}

impl Connection {
    /// The client to send queries with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client, to begin a transaction with.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The server's version, such as 150004 for 15.4.
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }

    /// Whether TLS is in use.
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// The URL without its password.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Says what a failed call means. If the session itself broke, the cause is why it broke, which the
    /// client's own error ("connection closed") leaves out.
    pub fn classify(&self, error: tokio_postgres::Error, operation: &str) -> Error {
        let broke = self.failure.lock().ok().and_then(|mut failure| failure.take());
        match broke {
            Some(why) if error.is_closed() => classify(&why, operation).store(&self.label).because(why),
            _ => classify(&error, operation).store(&self.label).because(error),
        }
    }

    /// Asks the server to cancel what the session is doing; the running call then fails with SQLSTATE 57014.
    pub async fn cancel(&self) -> Result<()> {
        let token = self.client.cancel_token();
        let attempt = async {
            let socket = open_socket(&self.config, &self.host).await?;
            let canceled = if self.encrypted {
                let (socket, _) = request_tls(&self.config, socket, true).await?;
                let connector = tls_connector(&self.config, &self.host)?;
                token.cancel_query_raw(socket, connector).await
            } else {
                token.cancel_query_raw(socket, NoTls).await
            };
            canceled.map_err(|cause| classify(&cause, "cancel the running statement").because(cause))
        };
        tokio::time::timeout(self.config.connect_timeout, attempt)
            .await
            .unwrap_or_else(|_| Err(timed_out(&self.config)))
    }

    /// Says goodbye to the server and waits until the socket is closed.
    pub async fn close(mut self) {
        let driver = std::mem::replace(&mut self.driver, tokio::spawn(async {}));
        drop(self);
        let _ = driver.await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Without this the task would wait for the answer to a statement that nobody waits for any more.
        self.driver.abort();
    }
}

/// Connects to the first host that answers, and sets the session up.
///
/// The future is boxed: a caller's own future stays small, and `Send` is decided here, where the types are known.
pub fn connect(config: &PgConfig) -> BoxFuture<'_, Result<Connection>> {
    Box::pin(connect_any(config))
}

async fn connect_any(config: &PgConfig) -> Result<Connection> {
    let mut last = None;
    for host in &config.hosts {
        match connect_host(config, host).await {
            Ok(connection) => return Ok(connection),
            // A refused login ends the search, as in libpq; a database that one host lacks may be on the next.
            Err(error) if error.kind() == Kind::Unavailable || error.kind() == Kind::NotFound => {
                last = Some(error)
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(Kind::Internal, OPERATION).detail("no host is configured")))
}

async fn connect_host(config: &PgConfig, host: &Host) -> Result<Connection> {
    let on_socket = host.socket_directory().is_some();
    let ways: &[bool] = match config.sslmode {
        // As in libpq, a Unix socket never uses TLS, whatever sslmode says.
        _ if on_socket => &[false],
        SslMode::Disable => &[false],
        SslMode::Allow => &[false, true],
        SslMode::Prefer => &[true, false],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[true],
    };
    let mut first = None;
    for encrypted in ways {
        let attempt = tokio::time::timeout(config.connect_timeout, attempt(config, host, *encrypted));
        match attempt.await.unwrap_or_else(|_| Err(Failed::For(timed_out(config)))) {
            Ok(connection) => return Ok(connection),
            Err(Failed::For(error)) => return Err(first.unwrap_or(error)),
            // The other way may do; if it does not, the first refusal is the one that the user's mode meant.
            Err(Failed::OtherWayMayDo(error)) => first = Some(first.unwrap_or(error)),
        }
    }
    Err(first.unwrap_or_else(|| Error::new(Kind::Internal, OPERATION).detail("no way to connect is allowed")))
}

/// How an attempt failed: for good, or so that the other of TLS and plain may succeed.
enum Failed {
    For(Error),
    OtherWayMayDo(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::For(error)
    }
}

async fn attempt(config: &PgConfig, host: &Host, encrypt: bool) -> std::result::Result<Connection, Failed> {
    let socket = open_socket(config, host).await?;
    if !encrypt {
        return session(config, host, socket, NoTls, false).await;
    }
    let (socket, offered) = request_tls(config, socket, config.sslmode > SslMode::Prefer).await?;
    if !offered {
        return session(config, host, socket, NoTls, false).await;
    }
    session(config, host, socket, tls_connector(config, host)?, true).await
}

fn tls_connector(
    config: &PgConfig,
    host: &Host,
) -> Result<<MakeRustlsConnect as MakeTlsConnect<Wire>>::TlsConnect> {
    let mut maker = MakeRustlsConnect::new(tls::client_config(config)?);
    MakeTlsConnect::<Wire>::make_tls_connect(&mut maker, &host.name)
        .map_err(|cause| Error::new(Kind::Internal, OPERATION).because(cause))
}

async fn session<T>(
    config: &PgConfig,
    host: &Host,
    socket: Socket,
    tls: T,
    encrypted: bool,
) -> std::result::Result<Connection, Failed>
where
    T: tokio_postgres::tls::TlsConnect<Wire>,
    T::Stream: Send + 'static,
{
    let failed = |cause: tokio_postgres::Error| {
        let other_way = error::is_tls(&cause) || sqlstate(&cause) == Some("28000");
        let error = error::connecting(&cause, config, host).because(cause);
        if other_way { Failed::OtherWayMayDo(error) } else { Failed::For(error) }
    };
    let (client, link) = wire_config(config, host, encrypted)
        .connect_raw(BufReader::with_capacity(READ_BYTES, socket), tls)
        .await
        .map_err(failed)?;
    let failure = Arc::new(Mutex::new(None));
    let driver = tokio::spawn(Driver { link, failure: Arc::clone(&failure) });
    let mut connection = Connection {
        client,
        driver,
        failure,
        server_version_num: 0,
        encrypted,
        label: config.redacted(),
        host: host.clone(),
        config: config.clone(),
    };
    connection.server_version_num = set_up(&connection, config.writable).await?;
    Ok(connection)
}

/// Moves the session's messages until it ends; keeps why it broke.
struct Driver<S> {
    link: tokio_postgres::Connection<Wire, S>,
    failure: Arc<Mutex<Option<tokio_postgres::Error>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Driver<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.link.poll_message(context)) {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    tracing::debug!(code = notice.code().code(), "{}", notice.message());
                }
                Some(Ok(_)) => {}
                Some(Err(cause)) => {
                    if let Ok(mut failure) = self.failure.lock() {
                        *failure = Some(cause);
                    }
                    return Poll::Ready(());
                }
                None => return Poll::Ready(()),
            }
        }
    }
}

/// Sets the session and returns the server's version.
async fn set_up(connection: &Connection, must_write: bool) -> Result<u32> {
    let operation = "set up the PostgreSQL session";
    let messages = connection
        .client
        .simple_query(&format!("{SERVER_LOOKS} {SESSION}"))
        .await
        .map_err(|cause| connection.classify(cause, operation))?;
    let shown: Vec<&str> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    let [version, read_only] = shown[..] else {
        return Err(Error::new(Kind::Unsupported, operation)
            .store(&connection.label)
            .detail("the server does not answer as PostgreSQL does")
            .hint("connect to the server itself, not through a proxy that rewrites statements"));
    };
    if must_write && read_only == "on" {
        return Err(Error::new(Kind::Unavailable, OPERATION)
            .store(&connection.label)
            .detail("the server is read-only (a standby, or default_transaction_read_only)")
            .hint("name the primary server, or several hosts of which one is the primary"));
    }
    version.parse().map_err(|cause: std::num::ParseIntError| {
        Error::new(Kind::Unsupported, operation)
            .store(&connection.label)
            .detail("the server's version is not a number")
            .because(cause)
    })
}

fn wire_config(config: &PgConfig, host: &Host, encrypted: bool) -> tokio_postgres::Config {
    let mut wire = tokio_postgres::Config::new();
    wire.user(&config.user)
        .dbname(&config.database)
        .application_name(&config.application_name)
        .channel_binding(config.channel_binding)
        // Only so that tokio-postgres knows a host's name for TLS; the socket is open already.
        .host(&host.name)
        // The request for TLS is answered already, so the handshake begins at once.
        .ssl_negotiation(if encrypted { SslNegotiation::Direct } else { SslNegotiation::Postgres })
        .ssl_mode(if encrypted { WireTls::Require } else { WireTls::Disable });
    if !config.options.is_empty() {
        wire.options(&config.options);
    }
    if let Some(password) = config.password_for(host) {
        wire.password(password.expose_secret());
    }
    wire
}

async fn open_socket(config: &PgConfig, host: &Host) -> Result<Socket> {
    let failed = |cause: io::Error| error::unreachable(cause, config, host);
    if let Some(directory) = host.socket_directory() {
        let path = Path::new(directory).join(format!(".s.PGSQL.{}", host.port));
        let stream = UnixStream::connect(path).await.map_err(failed)?;
        // A wish: the system gives as much as it allows (`net.core.wmem_max`).
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
        return Ok(Either::Right(stream));
    }
    let addresses: Vec<std::net::SocketAddr> = match host.address {
        Some(address) => vec![(address, host.port).into()],
        None => tokio::net::lookup_host((host.name.clone(), host.port))
            .await
            .map_err(|cause| error::host_not_found(cause, config, host))?
            .collect(),
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match open_tcp(address, &config.liveness).await {
            Ok(stream) => return Ok(Either::Left(stream)),
            Err(cause) => last = cause,
        }
    }
    Err(failed(last))
}

async fn open_tcp(address: std::net::SocketAddr, liveness: &Liveness) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    liveness.set(&socket)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for TLS. `false` if the server has none and the mode does not insist.
async fn request_tls(config: &PgConfig, mut socket: Socket, insist: bool) -> Result<(Socket, bool)> {
    let mut answer = [0];
    let asked = async {
        socket.write_all(&SSL_REQUEST).await?;
        socket.read_exact(&mut answer).await
    };
    let asked = asked.await;
    asked.map_err(|cause| {
        Error::new(Kind::Unavailable, OPERATION)
            .store(config.redacted())
            .detail("the server closed the connection when it was asked for TLS")
            .hint("check that a PostgreSQL server listens there, and not another service")
            .because(cause)
    })?;
    match answer[0] {
        b'S' => Ok((socket, true)),
        b'N' if !insist => Ok((socket, false)),
        b'N' => Err(Error::new(Kind::Config, OPERATION)
            .store(config.redacted())
            .detail("sslmode asks for TLS, and the server does not offer it")
            .hint("switch on ssl in the server's postgresql.conf; or, on a network you trust, use sslmode=prefer")),
        _ => Err(Error::new(Kind::Config, OPERATION)
            .store(config.redacted())
            .detail("what listens there does not answer as PostgreSQL does")
            .hint("check the host and the port")),
    }
}

fn timed_out(config: &PgConfig) -> Error {
    Error::new(Kind::Unavailable, OPERATION)
        .store(config.redacted())
        .detail(format!("no answer within {} s", config.connect_timeout.as_secs()))
        .hint("check the host, the port and the firewall; connect_timeout=SECONDS waits longer")
}
