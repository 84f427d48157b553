//! Where PostgreSQL's programs are on this machine.
//!
//! Invariants: `SWITCHOVER_PG_BIN` wins over everything and is an error when it is wrong; of several
//! installed versions the newest is taken; a folder counts only when it holds the server's programs.
//! Absent on purpose: downloading a server. `./x` installs it with the system's own packages.

use std::cmp::Reverse;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{BINARIES_ENV, Error, Result};

/// What to do where there is no server.
const INSTALL_HINT: &str = "install the server: `apt-get install postgresql` (Debian, Ubuntu), \
`brew install postgresql@17` (macOS), or let `./x test` do it; \
or set SWITCHOVER_PG_BIN to the folder that holds initdb and postgres";

/// The programs a folder must hold to be used.
const NEEDED: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];

/// A folder with the programs of one PostgreSQL version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// Finds them: `SWITCHOVER_PG_BIN`, else the newest of `pg_config --bindir`, the distributions' usual
    /// folders, Homebrew's, and `PATH`.
    pub fn find() -> Result<Self> {
        if let Some(folder) = env::var_os(BINARIES_ENV).filter(|v| !v.is_empty()) {
            return Self::at(Path::new(&folder));
        }
        let mut found: Vec<Self> = candidates().iter().filter_map(|folder| Self::at(folder).ok()).collect();
        found.sort_by_key(|binaries| Reverse(binaries.major));
        found.into_iter().next().ok_or_else(|| {
            Error::new("PostgreSQL is not installed", "no folder holds initdb").hint(INSTALL_HINT)
        })
    }

    /// The programs in this folder.
    pub fn at(folder: &Path) -> Result<Self> {
        if let Some(missing) = NEEDED.iter().find(|name| !folder.join(name).is_file()) {
            let detail = format!("{} has no `{missing}`", folder.display());
            return Err(Error::new("not a folder of PostgreSQL's programs", detail).hint(INSTALL_HINT));
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Error::new(format!("cannot run {}/postgres", folder.display()), e))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let major = parse_major(&said)
            .ok_or_else(|| Error::new("cannot tell PostgreSQL's version", format!("it said: {said}")))?;
        Ok(Self { folder: folder.to_owned(), major })
    }

    /// The path of one program.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The major version: 15, 17.
    pub fn major(&self) -> u32 {
        self.major
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` → 15; `18beta1` → 18.
fn parse_major(said: &str) -> Option<u32> {
    let version = said.split(')').nth(1)?.trim_start();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Every folder worth a look.
fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    for parent in ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt", "/Library/PostgreSQL"] {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        folders.extend(entries.flatten().map(|entry| entry.path().join("bin")));
    }
    folders.extend(std::fs::read_dir("/usr").into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("pgsql").then(|| entry.path().join("bin"))
    }));
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    folders.retain(|folder| folder.join("initdb").is_file());
    folders
}

#[cfg(test)]
mod tests {
    //! The version's forms, and the error for a folder without programs.

    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_known_form() {
        for (said, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 17devel", Some(17)),
            ("something else", None),
        ] {
            assert_eq!(parse_major(said), major, "{said}");
        }
    }

    #[test]
    fn a_folder_without_the_programs_says_how_to_install_them() {
        let error = Binaries::at(Path::new("/nonexistent")).expect_err("there is nothing there");
        assert!(error.to_string().contains("apt-get install postgresql"), "{error}");
    }
}
