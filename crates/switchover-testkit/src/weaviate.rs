//! A private Weaviate server: made, started, killed, started again, removed.
//!
//! ```no_run
//! use switchover_testkit::Weaviate;
//!
//! # fn main() -> Result<(), switchover_testkit::Error> {
//! let server = Weaviate::shared()?;
//! assert_eq!(server.rest("GET", "/v1/.well-known/ready", "")?.0, 200);
//! println!("switchover migrate --to '{}'", server.url());
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: every port is free and its own, and every folder too, so servers never meet; a throwaway server ends
//! with its process, even when that is killed; once a port was handed out, a restart uses it again; what tests send
//! goes over plain HTTP/1.0, so that a test's own look shares no code with what it tests.
//! Absent on purpose: gRPC, which is what is tested; a graceful stop, because tests are about what survives the other.

mod binary;
mod client;
mod liar;
mod look;
mod nodes;
mod rest;
mod seen;
mod wire;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, thread};

pub use binary::{BINARY_ENV, VERSION, cached, find};
pub use client::{CLIENT_VERSION, PYTHON_ENV, cached_environment, python};
pub use liar::{Liar, Lie};
pub use look::Object;
pub use nodes::Nodes;
pub use seen::{Read, Sent};

use crate::cluster::{temp_root, throwaway_root};
use crate::ports::{free_port, is_free};
use crate::server::unique;
use crate::watchdog::Watchdog;
use crate::{Error, Result};

/// The environment variable that names a running server for [`Weaviate::shared`], as a URL.
pub const TEST_SERVER_ENV: &str = "SWITCHOVER_TEST_WEAVIATE";

/// Another process can take a free port between the look and the start: so often it is tried again.
const PORT_TRIES: usize = 5;
/// How long a start may take. Two seconds are usual; after a kill, with much to recover on a busy machine, a minute.
const START_MAX: Duration = Duration::from_secs(120);
/// How often a starting server is asked whether it is ready; it has no event to wait for.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How much of the log an error shows.
const LOG_LINES: usize = 12;
/// What the server listens at, each on a port of its own.
const PORTS: usize = 6;

/// A server that somebody else may have started: where it is, and asking it over plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    http_port: u16,
    grpc_port: u16,
    api_key: Option<String>,
}

impl Address {
    /// Where REST is answered: `http://127.0.0.1:PORT`.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// The port of gRPC.
    pub fn grpc_port(&self) -> u16 {
        self.grpc_port
    }

    /// The port of REST.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The URL that the connector takes. It holds no API key: that one goes by way of the environment or a file.
    pub fn url(&self) -> String {
        format!("weaviate://127.0.0.1:{}?grpc={}", self.http_port, self.grpc_port)
    }

    /// The API key, where the server asks for one.
    pub fn api_key(&self) -> Option<&str> {
        self.api_key.as_deref()
    }

    /// Sends one request, and returns the status and the body.
    pub fn rest(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        rest::send(self.http_port, self.api_key.as_deref(), method, path, body)
    }

    /// Whether the server answers and says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.rest("GET", "/v1/.well-known/ready", "").is_ok_and(|(status, _)| status == 200)
    }

    /// A collection's name that no other test has; it begins with `prefix`, which begins with a capital letter.
    pub fn fresh_collection(&self, prefix: &str) -> String {
        format!("{prefix}_{}", unique())
    }

    /// The server of a URL of this kit's form, as `SWITCHOVER_TEST_WEAVIATE` has it.
    pub fn from_url(url: &str) -> Result<Self> {
        let ports = url.strip_prefix("weaviate://127.0.0.1:").and_then(|rest| rest.split_once("?grpc="));
        let number = |text: &str| text.parse().ok();
        ports
            .and_then(|(http, grpc)| {
                Some(Self { http_port: number(http)?, grpc_port: number(grpc)?, api_key: None })
            })
            .ok_or_else(|| {
                Error::new("this is no URL of a private Weaviate", url)
                    .hint("write weaviate://127.0.0.1:PORT?grpc=PORT")
            })
    }
}

/// What a server shall be like.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    api_key: Option<String>,
    persistent: Option<PathBuf>,
    on_disk: bool,
    settings: Vec<(String, String)>,
    /// Which node of a cluster it is, of several.
    member: Option<nodes::Member>,
}

impl Builder {
    /// Ask for this API key, and let nobody in without.
    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        self.api_key = Some(key.to_owned());
        self
    }

    /// One more environment variable of the server's; it wins over the kit's own.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keep the server's data on a disk also where there is room for it in memory, as what is measured is.
    #[must_use]
    pub fn on_disk(mut self) -> Self {
        self.on_disk = true;
        self
    }

    /// Keep the server's data in `folder`, and the server running when this process ends.
    #[must_use]
    pub fn persistent(mut self, folder: &Path) -> Self {
        self.persistent = Some(folder.to_owned());
        self
    }

    /// Starts it, and waits until it is ready.
    pub fn start(self) -> Result<Weaviate> {
        let mut server = self.unstarted()?;
        let mut last = None;
        for _ in 0..PORT_TRIES {
            server.use_ports(free_ports()?);
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(error) if server.lost_a_port() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::new("Weaviate does not start", "no port was free")))
    }

    /// A server with a folder, and without ports and process.
    fn unstarted(self) -> Result<Weaviate> {
        let binary = find()?;
        let root = if self.on_disk { temp_root() } else { throwaway_root() };
        let folder = self.persistent.clone().unwrap_or_else(|| root.join(format!("swwv-{}", unique())));
        fs::create_dir_all(&folder)
            .map_err(|e| Error::new(format!("cannot make {}", folder.display()), e))?;
        let watchdog = match self.persistent {
            Some(_) => None,
            None => Some(Watchdog::of_process(&folder)?),
        };
        let address = Address { http_port: 0, grpc_port: 0, api_key: self.api_key.clone() };
        Ok(Weaviate { address, ports: Vec::new(), folder, binary, options: self, watchdog, process: None })
    }
}

/// A private server. It is an [`Address`] too.
#[derive(Debug)]
pub struct Weaviate {
    address: Address,
    ports: Vec<u16>,
    folder: PathBuf,
    binary: PathBuf,
    options: Builder,
    watchdog: Option<Watchdog>,
    process: Option<Child>,
}

impl Weaviate {
    /// A server of this test's own.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// The options of a new server.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The server that tests share: the one that `SWITCHOVER_TEST_WEAVIATE` names, else one started now, which ends
    /// with this process. Collections in it are told apart by [`Address::fresh_collection`].
    pub fn shared() -> Result<&'static Address> {
        static SHARED: OnceLock<Result<(Address, Option<Weaviate>)>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let Some(named) = env::var(TEST_SERVER_ENV).ok().filter(|v| !v.is_empty()) else {
                let server = Self::start()?;
                return Ok((server.address.clone(), Some(server)));
            };
            let address = Address::from_url(&named)?;
            if !address.is_ready() {
                return Err(Error::new(
                    format!("{TEST_SERVER_ENV} names a server that does not answer"),
                    named,
                )
                .hint(format!("unset {TEST_SERVER_ENV}, or run the tests with `cargo xtask test`")));
            }
            Ok((address, None))
        });
        match shared {
            Ok((address, _)) => Ok(address),
            Err(error) => Err(error.clone()),
        }
    }

    /// Ends the server as a crash does (SIGKILL): nothing is flushed.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill().map_err(|e| Error::new("cannot kill the server", e))?;
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.tell(None)?;
        }
        process.wait().map(drop).map_err(|e| Error::new("cannot wait for the server's end", e))
    }

    /// Starts it again, on the same ports and folder, and waits until it is ready. Kills it first where it runs.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch()
    }

    /// The process's number, for measurements.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The data folder.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn lost_a_port(&self) -> bool {
        self.log().contains("address already in use")
    }

    fn use_ports(&mut self, ports: Vec<u16>) {
        self.address.http_port = ports[0];
        self.address.grpc_port = ports[1];
        self.ports = ports;
    }

    fn launch(&mut self) -> Result<()> {
        self.spawn()?;
        self.await_ready()
    }

    fn spawn(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .map_err(|e| Error::new(format!("cannot write {}", self.log_file().display()), e))?;
        let errors = log.try_clone().map_err(|e| Error::new("cannot share the log", e))?;
        let mut command = Command::new(&self.binary);
        command
            .args(["--scheme", "http", "--host", "127.0.0.1", "--port", &self.ports[0].to_string()])
            .args(["--read-timeout=600s", "--write-timeout=600s"])
            .envs(self.environment())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        // A group of its own, so that Ctrl-C at a test does not end the server before the watchdog does.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let process = command.spawn().map_err(|e| Error::new("cannot run weaviate-server", e))?;
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.tell(Some(process.id()))?;
        }
        self.process = Some(process);
        Ok(())
    }

    fn await_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !self.address.is_ready() {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            if ended.is_some() || begun.elapsed() > START_MAX {
                let why = ended.map_or_else(|| "it is not ready".to_owned(), |status| status.to_string());
                let log = self.log();
                let tail: Vec<&str> = log.lines().rev().take(LOG_LINES).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                self.kill()?;
                return Err(Error::new("Weaviate does not start", format!("{why}\n{}", tail.join("\n"))));
            }
            thread::sleep(ASK_EVERY);
        }
        Ok(())
    }

    fn environment(&self) -> Vec<(String, String)> {
        let port = |at: usize| self.ports[at].to_string();
        let mut pairs: Vec<(String, String)> = [
            ("PERSISTENCE_DATA_PATH", self.data_folder().display().to_string()),
            ("GRPC_PORT", port(1)),
            ("CLUSTER_IN_LOCALHOST", "true".into()),
            ("CLUSTER_BIND_ADDR", "127.0.0.1".into()),
            ("CLUSTER_ADVERTISE_ADDR", "127.0.0.1".into()),
            ("CLUSTER_GOSSIP_BIND_PORT", port(2)),
            ("CLUSTER_DATA_BIND_PORT", port(3)),
            ("RAFT_PORT", port(4)),
            ("RAFT_INTERNAL_RPC_PORT", port(5)),
            // Of its default, five, a single server has only a slow start.
            ("RAFT_TIMEOUTS_MULTIPLIER", "1".into()),
            ("GO_PROFILING_DISABLE", "true".into()),
            ("DISABLE_TELEMETRY", "true".into()),
            ("AUTOSCHEMA_ENABLED", "false".into()),
            ("DEFAULT_VECTORIZER_MODULE", "none".into()),
            // A developer's disk is often nine tenths full, and the server would then refuse to write.
            ("DISK_USE_READONLY_PERCENTAGE", "0".into()),
            ("LOG_LEVEL", "warning".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let access: &[(&str, &str)] = match &self.options.api_key {
            None => &[("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")],
            Some(key) => &[
                ("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "false"),
                ("AUTHENTICATION_APIKEY_ENABLED", "true"),
                ("AUTHENTICATION_APIKEY_ALLOWED_KEYS", key),
                ("AUTHENTICATION_APIKEY_USERS", "tester"),
                ("AUTHORIZATION_ADMINLIST_ENABLED", "true"),
                ("AUTHORIZATION_ADMINLIST_USERS", "tester"),
            ],
        };
        pairs.extend(nodes::settings(self.options.member.as_ref()));
        pairs.extend(access.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        pairs.extend(self.options.settings.iter().cloned());
        pairs
    }
}

impl std::ops::Deref for Weaviate {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.address
    }
}

impl Drop for Weaviate {
    fn drop(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            // The watchdog ends it, removes the folder, and is waited for; the process is then only to be reaped.
            watchdog.finish();
            if let Some(mut process) = self.process.take() {
                drop(process.wait());
            }
        }
    }
}

/// Distinct free ports. The last two are neighbours: a server of a local cluster looks for its internal calls at the
/// port behind Raft's, whatever it was told.
fn free_ports() -> Result<Vec<u16>> {
    let mut ports = Vec::with_capacity(PORTS);
    for _ in 0..PORT_TRIES * PORTS {
        let port = free_port()?;
        let last = ports.len() == PORTS - 2;
        if ports.contains(&port)
            || (last && (ports.contains(&(port.saturating_add(1))) || !is_free(port.saturating_add(1))))
        {
            continue;
        }
        ports.push(port);
        if last {
            ports.push(port.saturating_add(1));
            return Ok(ports);
        }
    }
    Err(Error::new("no two neighbouring ports are free", "of many that were tried"))
}
