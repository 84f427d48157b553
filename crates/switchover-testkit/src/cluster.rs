//! A private PostgreSQL cluster: made, started, stopped, restarted, removed.
//!
//! Invariants: its folder and its socket are its own, so clusters never meet; the socket's path is short
//! (the system's limit is 107 bytes, 103 on macOS); a throwaway cluster ends with its process; a cluster
//! in a given folder (`Builder::persistent`) stays until it is stopped.
//! Absent on purpose: pooling of clusters. Tests that need nothing special share one server and take a
//! database each.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::account::Account;
use crate::options::Builder;
use crate::ports::free_port;
use crate::server::unique;
use crate::watchdog::Watchdog;
use crate::{Binaries, Error, Result, Server, TEST_SERVER_ENV};

/// The socket's number. The socket's folder is private, so that one number does for all.
const SOCKET_PORT: u16 = 5432;
/// Another process can take a free port between the look and the start: so often it is tried again.
const PORT_TRIES: usize = 5;
/// How long a start or a stop may take; crash recovery of a benchmark's cluster is the slowest.
const WAIT_SECONDS: &str = "120";
/// The superuser of every cluster.
const SUPERUSER: &str = "postgres";

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are ended, and the server shuts down in order.
    Fast,
    /// As by a crash: the next start recovers.
    Immediate,
}

impl Shutdown {
    fn mode(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

impl Builder {
    /// Makes the cluster where there is none yet, and starts it where it does not run.
    pub fn start(self) -> Result<Cluster> {
        let cluster = self.lay_out()?;
        if !cluster.data.join("PG_VERSION").is_file() {
            cluster.initdb()?;
        }
        let mut cluster = cluster;
        if !cluster.is_running() {
            cluster.start()?;
        }
        Ok(cluster)
    }

    /// The cluster as it is, neither made nor started: to ask for its state, or to stop it.
    pub fn attach(self) -> Result<Cluster> {
        self.lay_out()
    }

    fn lay_out(self) -> Result<Cluster> {
        let binaries = self.binaries.clone().map_or_else(Binaries::find, Ok)?;
        let account = Account::find()?;
        let (folder, data) = match &self.persistent {
            Some(wanted) => persistent_folders(account, wanted)?,
            None => {
                let root = if self.fsync { temp_root() } else { throwaway_root() };
                let folder = root.join(format!("swpg-{}", unique()));
                (folder.clone(), folder.join("data"))
            }
        };
        make_private(account, &folder)?;
        if data.parent() != Some(&*folder) {
            make_private(account, data.parent().unwrap_or(&folder))?;
        }
        let watchdog = match self.persistent {
            Some(_) => None,
            None => Some(Watchdog::start(account, &binaries.tool("pg_ctl"), &data, &folder)?),
        };
        let server = Server {
            host: folder.display().to_string(),
            port: SOCKET_PORT,
            user: SUPERUSER.to_owned(),
            password: None,
            binaries,
        };
        Ok(Cluster { server, account, folder, data, tcp_port: None, options: self, watchdog })
    }
}

/// A private PostgreSQL cluster. It is a [`Server`] too, by way of its socket.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    account: Account,
    folder: PathBuf,
    data: PathBuf,
    tcp_port: Option<u16>,
    options: Builder,
    watchdog: Option<Watchdog>,
}

impl Cluster {
    /// The options of a new cluster.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The server that tests share: the one that `SWITCHOVER_TEST_PG` names, else one started now, which
    /// ends with this process.
    pub fn shared() -> Result<&'static Server> {
        static SHARED: OnceLock<Result<(Server, Option<Cluster>)>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let Some(named) = std::env::var(TEST_SERVER_ENV).ok().filter(|v| !v.is_empty()) else {
                let cluster = Self::builder().start()?;
                return Ok((cluster.server.clone(), Some(cluster)));
            };
            let server = Server::from_conninfo(&named)?;
            server.psql("postgres", "SELECT 1").map_err(|e| {
                Error::new(format!("{TEST_SERVER_ENV} names a server that does not answer"), e)
                    .hint(format!("unset {TEST_SERVER_ENV}, or run the tests with `cargo xtask test`"))
            })?;
            Ok((server, None))
        });
        match shared {
            Ok((server, _)) => Ok(server),
            Err(error) => Err(error.clone()),
        }
    }

    /// The server by way of loopback, with its password, where [`Builder::tcp`] asked for that.
    pub fn tcp(&self) -> Option<Server> {
        let port = self.tcp_port?;
        let password = self.options.password.clone();
        Some(Server { host: "127.0.0.1".to_owned(), port, password, ..self.server.clone() })
    }

    /// The data folder.
    pub fn data_folder(&self) -> &Path {
        &self.data
    }

    /// Makes a folder that the server can read and write, and this process too, beside the data.
    pub fn shared_folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.data.parent().unwrap_or(&self.folder).join(name);
        make_private(self.account, &path)?;
        Ok(path)
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Whether the server runs.
    pub fn is_running(&self) -> bool {
        self.pg_ctl(&["status"]).is_ok()
    }

    /// Starts the server and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        let mut last = None;
        for _ in 0..PORT_TRIES {
            let port = match (self.options.tcp, self.tcp_port) {
                (false, _) => SOCKET_PORT,
                (true, Some(port)) => port,
                (true, None) => free_port()?,
            };
            self.write_settings(port)?;
            let log = self.log_file().display().to_string();
            match self.pg_ctl(&["-w", "-t", WAIT_SECONDS, "-l", &log, "start"]) {
                Ok(()) => {
                    self.server.port = port;
                    self.tcp_port = self.options.tcp.then_some(port);
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
            // A port once handed out is in other people's connection strings: it cannot change any more.
            if !self.options.tcp || self.tcp_port.is_some() {
                break;
            }
        }
        let log = self.log();
        let tail: Vec<&str> = log.lines().rev().take(8).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        let reason = last.map(|error| error.to_string()).unwrap_or_default();
        Err(Error::new("PostgreSQL does not start", format!("{reason}\n{}", tail.join("\n"))))
    }

    /// Stops the server; its data stays.
    pub fn stop(&mut self, how: Shutdown) -> Result<()> {
        self.pg_ctl(&["-w", "-t", WAIT_SECONDS, "-m", how.mode(), "stop"])
    }

    /// Stops and starts it again, on the same socket and port.
    pub fn restart(&mut self, how: Shutdown) -> Result<()> {
        self.stop(how)?;
        self.start()
    }

    /// Stops the server if it runs, and removes its folders.
    pub fn remove(mut self) -> Result<()> {
        if self.is_running() {
            self.stop(Shutdown::Immediate)?;
        }
        for path in [&self.data, &self.folder] {
            if path.exists() {
                fs::remove_dir_all(path)
                    .map_err(|e| Error::new(format!("cannot remove {}", path.display()), e))?;
            }
        }
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    fn initdb(&self) -> Result<()> {
        let mut command = self.account.command(&self.server.binaries.tool("initdb"));
        command.current_dir("/").arg("-D").arg(&self.data);
        command.args(["-U", SUPERUSER, "-A", "trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        let secret = self.folder.join("password");
        if let Some(password) = &self.options.password {
            self.account.write_private(&secret, password)?;
            command.arg("--pwfile").arg(&secret);
        }
        let output = command.output().map_err(|e| Error::new("cannot run initdb", e))?;
        if self.options.password.is_some() {
            fs::remove_file(&secret).map_err(|e| Error::new("cannot remove the password's file", e))?;
        }
        if !output.status.success() {
            return Err(Error::from_output("initdb failed", &output));
        }
        Ok(())
    }

    /// Writes the settings and the rules of access anew, so that the port of a restart can differ.
    fn write_settings(&self, port: u16) -> Result<()> {
        let on_off = |on: bool| if on { "on" } else { "off" }.to_owned();
        let listen = if self.options.tcp { "127.0.0.1" } else { "" };
        let mut lines = vec![
            ("listen_addresses".to_owned(), listen.to_owned()),
            ("port".to_owned(), port.to_string()),
            ("unix_socket_directories".to_owned(), self.server.host.clone()),
            ("max_connections".to_owned(), "200".to_owned()),
            ("password_encryption".to_owned(), "scram-sha-256".to_owned()),
            ("fsync".to_owned(), on_off(self.options.fsync)),
            ("full_page_writes".to_owned(), on_off(self.options.fsync)),
            ("synchronous_commit".to_owned(), on_off(self.options.fsync)),
        ];
        if let Some((certificate, key)) = &self.options.tls {
            self.account.write_private(&self.data.join("server.crt"), certificate)?;
            self.account.write_private(&self.data.join("server.key"), key)?;
            lines.push(("ssl".to_owned(), "on".to_owned()));
        }
        lines.extend(self.options.settings.iter().cloned());
        let quoted = |(name, value): &(String, String)| format!("{name} = '{}'\n", value.replace('\'', "''"));
        let text: String = lines.iter().map(quoted).collect();
        // postgresql.auto.conf is read last, and ALTER SYSTEM is not used by any test.
        self.account.write_private(&self.data.join("postgresql.auto.conf"), &text)?;
        let kind = if self.options.require_tls { "hostssl" } else { "host" };
        let method = if self.options.password.is_some() { "scram-sha-256" } else { "trust" };
        let rules = format!("local all all trust\n{kind} all all 127.0.0.1/32 {method}\n");
        self.account.write_private(&self.data.join("pg_hba.conf"), &rules)
    }

    fn pg_ctl(&self, args: &[&str]) -> Result<()> {
        let output = self
            .account
            .command(&self.server.binaries.tool("pg_ctl"))
            .current_dir("/")
            .arg("-D")
            .arg(&self.data)
            .args(args)
            .output()
            .map_err(|e| Error::new("cannot run pg_ctl", e))?;
        if !output.status.success() {
            let verb = args.last().copied().unwrap_or_default();
            return Err(Error::from_output(format!("pg_ctl {verb} failed"), &output));
        }
        Ok(())
    }
}

impl Deref for Cluster {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.finish();
        }
    }
}

/// The folder for sockets and throwaway data: short, and open to every account.
pub(crate) fn temp_root() -> PathBuf {
    let short = Path::new("/tmp");
    if short.is_dir() { short.to_owned() } else { std::env::temp_dir() }
}

/// A folder in memory, where the system has one.
const IN_MEMORY: &str = "/dev/shm";

/// What must be free there: a server's log alone grows to a gigabyte, and several run side by side.
const IN_MEMORY_FREE_BYTES: u64 = 4 << 30;

/// The folder for data that ends with a test and need not outlive a loss of power: in memory where there is room. On a disk the
/// making and dropping of databases, hundreds of files each, was a fifth of what the tests cost: the file system looks for
/// the place of a new file past all those that were just removed.
pub(crate) fn throwaway_root() -> PathBuf {
    let free =
        rustix::fs::statvfs(IN_MEMORY).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
    if free >= IN_MEMORY_FREE_BYTES { PathBuf::from(IN_MEMORY) } else { temp_root() }
}

/// The socket's folder and the data folder of a cluster that stays.
fn persistent_folders(account: Account, wanted: &Path) -> Result<(PathBuf, PathBuf)> {
    fs::create_dir_all(wanted).map_err(|e| Error::new(format!("cannot make {}", wanted.display()), e))?;
    let wanted =
        wanted.canonicalize().map_err(|e| Error::new(format!("cannot resolve {}", wanted.display()), e))?;
    // FNV-1a: the same place for the same folder, in every process and with every compiler.
    let hash = wanted.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folder = temp_root().join(format!("swpg-{hash:016x}"));
    let reachable = wanted.parent().is_none_or(|parent| account.can_reach(parent));
    let data = if reachable { wanted.join("data") } else { folder.join("data") };
    Ok((folder, data))
}

/// Makes a folder that only the server's user (and root) can enter.
fn make_private(account: Account, folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |e: std::io::Error| Error::new(format!("cannot make {}", folder.display()), e);
    fs::create_dir_all(folder).map_err(failed)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    account.own(folder)
}
