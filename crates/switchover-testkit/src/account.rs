//! The system account that the server runs as.
//!
//! Invariant: `initdb` and `postgres` refuse to run as root, so as root every server program is started as
//! `postgres`, or as `nobody` where there is no such user; otherwise as the user who runs the tests.
//! Absent on purpose: `sudo` and unsafe calls; the switch is `Command::uid`, and `id` answers who is who.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// Who runs the server programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// The user who runs this process.
    Own,
    /// Another user, because this process is root's.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account to use on this machine.
    pub(crate) fn find() -> Result<Self> {
        if id(&["-u"])? != 0 {
            return Ok(Self::Own);
        }
        for name in ["postgres", "nobody"] {
            if let (Ok(uid), Ok(gid)) = (id(&["-u", name]), id(&["-g", name])) {
                return Ok(Self::Other { uid, gid });
            }
        }
        Err(Error::new("cannot start PostgreSQL as root", "there is no user `postgres` and no user `nobody`")
            .hint("run as an ordinary user, or create the user: useradd --system postgres"))
    }

    /// A command that will run as this account, with a predictable locale and no stray PG* variables.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        for name in
            ["PGHOST", "PGPORT", "PGUSER", "PGDATA", "PGOPTIONS", "PGSERVICE", "PGPASSWORD", "PGSSLMODE"]
        {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Makes `path` this account's.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid))
                .map_err(|e| Error::new(format!("cannot give {} to the server's user", path.display()), e)),
        }
    }

    /// Whether this account can reach `path`, which must exist.
    pub(crate) fn can_reach(self, path: &Path) -> bool {
        self.command(Path::new("test"))
            .arg("-x")
            .arg(path)
            .current_dir("/")
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Writes a file that only this account can read.
    pub(crate) fn write_private(self, path: &Path, text: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let name = path.display();
        fs::write(path, text).map_err(|e| Error::new(format!("cannot write {name}"), e))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|e| Error::new(format!("cannot protect {name}"), e))?;
        self.own(path)
    }
}

/// What `id` says, as a number.
fn id(args: &[&str]) -> Result<u32> {
    let output = Command::new("id")
        .args(args)
        .stderr(Stdio::null())
        .output()
        .map_err(|e| Error::new("cannot run `id`", e))?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .map_err(|e| Error::new(format!("`id {}` gave no number", args.join(" ")), e))
}
