//! A backup of a PostgreSQL database by PostgreSQL's own `pg_dump -Fc` and `pg_restore`.
//!
//! The same verbs, files and note as SQLite's. Invariants: the program's major version is not below the server's
//! (an older `pg_dump` leaves out what it does not know); the password reaches it in a temporary password file of
//! mode 0600, never in its arguments and never in its environment, which `ps e` shows; nothing is overwritten; a file
//! with a note was listed by `pg_restore` without a complaint; a Ctrl-C in the terminal does
//! not reach the program: it ends with the call that waits for it, and what was written of a backup goes with it. Absent:
//! parallel and directory dumps, roles, clusters.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::ExposeSecret;
use switchover_core::{Error, Kind, Result};
use tokio::process::Command;
use tokio_postgres::config::ChannelBinding;

use super::config::{PgConfig, RootCert, SslMode};
use super::connect::connect;
use crate::sidecar::{self, Listed, Sidecar};

/// `store` in the notes of these backups.
pub const STORE: &str = "postgres";

/// Where Debian, Red Hat and Homebrew put the programs of each major version.
const INSTALLED_UNDER: [&str; 4] = ["/usr/lib/postgresql", "/usr", "/opt/homebrew/opt", "/usr/local/opt"];

/// As much of a program's complaint as a message can hold.
const COMPLAINT_CHARS_MAX: usize = 1000;

/// A finished backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupInfo {
    /// The backup file, in `pg_dump`'s custom format.
    pub path: PathBuf,
    /// What its note says.
    pub sidecar: Sidecar,
}

/// Dumps the database into `directory/name`.
pub async fn create(config: &PgConfig, directory: &Path, name: &str) -> Result<BackupInfo> {
    let operation = "dump the PostgreSQL database";
    let server = server_major(config).await?;
    let program = find("pg_dump", server).await?;
    let path = sidecar::place(directory, name)?;
    let (partial, claim) = sidecar::claim_partial(&path)?;
    let partial = Partial(partial);
    let passwords = password_file(config)?;
    let mut command = client_command(&program, config, passwords.as_ref());
    command.args(["--format=custom", "--no-password", "--file"]).arg(&partial.0);
    run(command, operation, &config.redacted()).await?;
    list_contents(&partial.0, server).await?;
    let file = partial.0.clone();
    let (bytes, blake3) = off_the_runtime(move || {
        claim.sync_all().map_err(|cause| sidecar::io_error("sync the backup", &file, cause))?;
        sidecar::hash_file(&file)
    })
    .await?;
    let mut note = Sidecar::new(STORE, &config.redacted(), bytes, blake3);
    note.integrity = "ok".to_owned();
    note.store_version = server.to_string();
    sidecar::publish(&note, &partial.0, &path)?;
    Ok(BackupInfo { path, sidecar: note })
}

/// A backup that is being written: whatever ends that, nothing of it stays. One that was published has another name.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The backup of a run, whose name is its own: made now, or by an attempt of the run that was killed.
pub(crate) async fn ensure(config: &PgConfig, directory: &Path, name: &str) -> Result<BackupInfo> {
    let path = sidecar::place(directory, name)?;
    let there = path.clone();
    if off_the_runtime(move || sidecar::was_finished(&there)).await? {
        return verify(&path).await;
    }
    create(config, directory, name).await
}

/// Whether the file is still what its note says, and whether `pg_restore` can read its table of contents.
pub async fn verify(path: &Path) -> Result<BackupInfo> {
    let sidecar = Sidecar::read(path)?;
    if sidecar.store != STORE {
        return Err(Error::new(Kind::Config, "verify the backup")
            .store(path.display().to_string())
            .detail(format!("its note says that it is a backup of {}", sidecar.store))
            .hint("name a backup of a PostgreSQL database"));
    }
    let (note, file) = (sidecar.clone(), path.to_path_buf());
    off_the_runtime(move || note.check_file(&file)).await?;
    list_contents(path, sidecar.store_version.parse().unwrap_or(0)).await?;
    Ok(BackupInfo { path: path.to_path_buf(), sidecar })
}

/// Restores the backup into the database of `to`, in one transaction. With `force`, what the backup holds and the
/// database has is dropped first; without, anything of the same name makes the whole restore fail and change nothing.
pub async fn restore(path: &Path, to: &PgConfig, force: bool) -> Result<BackupInfo> {
    let info = verify(path).await?;
    let server = server_major(to).await?;
    let program = find("pg_restore", server.max(info.sidecar.store_version.parse().unwrap_or(0))).await?;
    let passwords = password_file(to)?;
    let mut command = client_command(&program, to, passwords.as_ref());
    command.args(["--no-password", "--single-transaction", "--exit-on-error"]);
    if force {
        command.args(["--clean", "--if-exists"]);
    }
    // pg_restore takes the database from its arguments alone; as a connection string, so that an odd name stays a name.
    let name = to.database.replace('\\', "\\\\").replace('\'', "\\'");
    command.arg(format!("--dbname=dbname='{name}'")).arg(path);
    run(command, "restore the PostgreSQL database", &to.redacted()).await?;
    Ok(info)
}

/// The finished PostgreSQL backups in `directory`, oldest first.
pub fn list(directory: &Path) -> Result<Vec<Listed>> {
    sidecar::list(directory, STORE)
}

async fn server_major(config: &PgConfig) -> Result<u32> {
    let connection = connect(config).await?;
    let major = connection.server_version_num() / 10_000;
    connection.close().await;
    Ok(major)
}

/// The newest `program` that is not older than `server`; else an error that names both versions.
async fn find(program: &str, server: u32) -> Result<PathBuf> {
    let mut candidates: Vec<PathBuf> = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|dir| dir.join(program))
        .collect();
    for root in INSTALLED_UNDER {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_version =
                root.ends_with("/postgresql") || name.starts_with("pgsql-") || name.starts_with("postgresql");
            if is_version {
                candidates.push(entry.path().join("bin").join(program));
            }
        }
    }
    let mut best: Option<(u32, PathBuf)> = None;
    for candidate in candidates.into_iter().filter(|candidate| candidate.is_file()) {
        if let Some(version) = program_major(&candidate).await
            && best.as_ref().is_none_or(|(known, _)| version > *known)
        {
            best = Some((version, candidate));
        }
    }
    let operation = format!("find {program}");
    let hint = format!(
        "install the client programs of PostgreSQL {server} or newer (Debian: postgresql-client-{server})"
    );
    match best {
        Some((version, path)) if version >= server => Ok(path),
        Some((version, path)) => Err(Error::new(Kind::Unsupported, operation)
            .store(path.display().to_string())
            .detail(format!("its version is {version}, and the server's is {server}: an older program cannot read a newer server"))
            .hint(hint)),
        None => Err(Error::new(Kind::NotFound, operation)
            .detail("it is not on the PATH, nor where PostgreSQL's packages put it")
            .hint(hint)),
    }
}

async fn program_major(program: &Path) -> Option<u32> {
    let mut command = Command::new(program);
    apart(command.arg("--version"));
    let output = command.output().await.ok()?;
    major_of(&String::from_utf8_lossy(&output.stdout))
}

/// `pg_dump (PostgreSQL) 15.4 (Debian 15.4-1)` → 15. Also `17beta1`.
fn major_of(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Everything but the password by libpq's environment variables, so that the arguments hold nothing of interest.
fn client_command(program: &Path, config: &PgConfig, passwords: Option<&tempfile::NamedTempFile>) -> Command {
    let mut command = Command::new(program);
    let joined = |each: &dyn Fn(&super::config::Host) -> String| {
        config.hosts.iter().map(each).collect::<Vec<_>>().join(",")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command
        .env("PGHOST", joined(&|host| host.name.clone()))
        .env("PGPORT", joined(&|host| host.port.to_string()));
    if config.hosts.iter().any(|host| host.address.is_some()) {
        command.env("PGHOSTADDR", joined(&|host| host.address.map(|a| a.to_string()).unwrap_or_default()));
    }
    command.env("PGUSER", &config.user).env("PGDATABASE", &config.database);
    command.env("PGAPPNAME", &config.application_name).env("PGOPTIONS", &config.options);
    command.env("PGCONNECT_TIMEOUT", config.connect_timeout.as_secs().to_string());
    command.env(
        "PGSSLMODE",
        match config.sslmode {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        },
    );
    match &config.sslrootcert {
        Some(RootCert::File(file)) => command.env("PGSSLROOTCERT", file),
        Some(RootCert::System) => command.env("PGSSLROOTCERT", "system"),
        None => &mut command,
    };
    command.env("PGTARGETSESSIONATTRS", if config.writable { "read-write" } else { "any" });
    command.env(
        "PGCHANNELBINDING",
        match config.channel_binding {
            ChannelBinding::Disable => "disable",
            ChannelBinding::Require => "require",
            _ => "prefer",
        },
    );
    if let Some((certificate, key)) = &config.client_cert {
        command.env("PGSSLCERT", certificate).env("PGSSLKEY", key);
    }
    // No file at all rather than the user's: what `config` found there is in ours.
    let file =
        passwords.map_or_else(|| OsString::from("/dev/null"), |file| file.path().as_os_str().to_owned());
    command.env("PGPASSFILE", file);
    apart(&mut command);
    command
}

/// In a process group of its own, and ended when nobody waits for it any more.
fn apart(command: &mut Command) {
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
}

/// A password file for one child, mode 0600, gone when dropped.
fn password_file(config: &PgConfig) -> Result<Option<tempfile::NamedTempFile>> {
    let operation = "write the temporary password file";
    let mut lines = String::new();
    for host in &config.hosts {
        let Some(password) = config.password_for(host).map(ExposeSecret::expose_secret) else { continue };
        if password.contains(['\n', '\r']) {
            return Err(Error::new(Kind::Unsupported, operation)
                .store(config.redacted())
                .detail("the password holds a line break, which PostgreSQL's password file cannot hold")
                .hint("change the role's password, or back the database up by hand"));
        }
        // libpq looks a socket in its own default directory up as localhost: both lines.
        let names = match host.socket_directory() {
            Some(directory) => vec![directory, "localhost"],
            None => vec![host.name.as_str()],
        };
        for name in names {
            lines.push_str(&format!("{}:{}:*:*:{}\n", escape(name), host.port, escape(password)));
        }
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let written = tempfile::Builder::new().prefix("switchover-pgpass-").tempfile().and_then(|mut file| {
        file.write_all(lines.as_bytes())?;
        file.flush()?;
        Ok(file)
    });
    written.map(Some).map_err(|cause| sidecar::io_error(operation, &std::env::temp_dir(), cause))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

/// Runs what blocks on the disk where it holds no connection up.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|cause| {
        Err(Error::new(Kind::Internal, "read the backup")
            .detail("the thread that does it ended early")
            .hint("this is a defect of this program: please report it")
            .because(cause))
    })
}

async fn list_contents(path: &Path, major: u32) -> Result<()> {
    let program = find("pg_restore", major).await?;
    let mut command = Command::new(program);
    apart(command.arg("--list").arg(path));
    run(command, "read the backup's table of contents", &path.display().to_string()).await
}

async fn run(mut command: Command, operation: &str, subject: &str) -> Result<()> {
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().await.map_err(|cause| {
        Error::new(Kind::Io, operation)
            .store(subject)
            .detail("PostgreSQL's program could not be started")
            .hint("check its installation")
            .because(cause)
    })?;
    if output.status.success() {
        return Ok(());
    }
    let complaint: String =
        String::from_utf8_lossy(&output.stderr).trim().chars().take(COMPLAINT_CHARS_MAX).collect();
    Err(Error::new(Kind::Rejected, operation)
        .store(subject)
        .detail(format!("{}: {}", output.status, complaint.replace('\n', "; ")))
        .hint("the message is that of PostgreSQL's own program; nothing was changed by halves"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, want) in [
            ("pg_dump (PostgreSQL) 15.4 (Debian 15.4-1.pgdg120+1)\n", Some(15)),
            ("pg_restore (PostgreSQL) 18beta2", Some(18)),
            ("something else", None),
        ] {
            assert_eq!(major_of(text), want, "{text}");
        }
    }

    #[test]
    fn the_child_gets_no_password_in_arguments_or_environment() {
        let config = PgConfig::parse("postgres://ann:s3:cr%5Cet@h1,h2:6/app", &|_| None).expect("parse");
        let file = password_file(&config).expect("file").expect("a password");
        let text = std::fs::read_to_string(file.path()).expect("read");
        assert_eq!(text, "h1:5432:*:*:s3\\:cr\\\\et\nh2:6:*:*:s3\\:cr\\\\et\n");
        let command = client_command(Path::new("pg_dump"), &config, Some(&file));
        assert!(!format!("{command:?}").contains("s3:cr"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(file.path()).expect("meta").permissions().mode() & 0o777, 0o600);
        }
    }
}
