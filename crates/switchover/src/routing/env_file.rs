//! New values in the application's environment file, and the old ones again.
//!
//! Invariants: the file is replaced whole, with its mode and owner; before it is changed the first time, its bytes are kept in
//! `<file>.before-<run>`, for the same people to read; both ways may be repeated after a crash anywhere; values that somebody
//! else has set meanwhile are not overwritten but named; no message holds a value.

use super::env_text;
use super::replace::{Durable, beside, replace, resolved};
use secrecy::{ExposeSecret, SecretString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use switchover_core::failpoint;
use switchover_core::{Error, Kind, Result};

/// Largest environment file: it is held in memory, and what is larger is something else.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The file, and what is set in it while the target owns the data.
#[derive(Debug, Clone)]
pub struct EnvFile {
    /// The file.
    pub path: PathBuf,
    /// Names and values, in the order in which new ones are appended.
    pub set: Vec<(String, SecretString)>,
}

/// What the values in the file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// None of them is as it is set.
    Old,
    /// All of them are.
    New,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The file was changed.
    Changed,
    /// It was as it should be.
    Already,
}

impl EnvFile {
    /// All that can be known before anything is done: names, values, and whether the file can be replaced. Reads only.
    pub fn check(&self) -> Result<()> {
        for (name, value) in &self.set {
            let value = value.expose_secret();
            let wrong = if !env_text::is_name(name) {
                "it is no name of a variable: letters, digits and _ are"
            } else if value.contains(['\n', '\r', '\0']) {
                "its value has a line end or a NUL, which environment files cannot hold"
            } else {
                continue;
            };
            return Err(self.fail(Kind::Config, format!("{name}: {wrong}")));
        }
        self.read(&self.target()?).map(drop)
    }

    /// Sets the values.
    pub fn apply(&self, run: &str) -> Result<Done> {
        self.check()?;
        let path = self.target()?;
        let text = self.read(&path)?;
        let backup = backup_path(&path, run);
        let new = self.with_values(&text);
        if new == text {
            return Ok(Done::Already);
        }
        let reads = |(name, value): &&(String, SecretString)| {
            env_text::value(&new, name).as_deref() == Some(value.expose_secret().as_bytes())
        };
        if let Some((name, _)) = self.set.iter().find(|set| !reads(set)) {
            let detail =
                format!("a quote that is opened before {name} and not closed leaves open what it means");
            return Err(self.fail(Kind::Refused, detail).hint("close the quote"));
        }
        let kept = self.read_backup(&backup)?;
        if let Some(kept) = &kept {
            // This run has been here. Either all is as before it, or somebody else has changed what it set.
            self.found(&text, kept)?;
        }
        if kept.as_ref() != Some(&text) {
            failpoint::hit("live-env-before-backup");
            beside(&backup, &text, &path).map_err(|error| self.io(&backup, error))?;
        }
        failpoint::hit("live-env-before-file");
        replace(&path, &new, Durable::Yes).map_err(|error| self.io(&path, error))?;
        failpoint::hit("live-env-after-file");
        Ok(Done::Changed)
    }

    /// Sets the values that were there before, and removes what was not there. Lines that were changed by others since stay.
    pub fn restore(&self, run: &str) -> Result<Done> {
        let path = self.target()?;
        let text = self.read(&path)?;
        // Without a backup this run has changed nothing.
        let Some(kept) = self.read_backup(&backup_path(&path, run))? else { return Ok(Done::Already) };
        if self.found(&text, &kept)? == Found::Old {
            return Ok(Done::Already);
        }
        let old = if self.with_values(&kept) == text {
            kept
        } else {
            self.set.iter().fold(text, |text, (name, _)| {
                env_text::set(&text, name, env_text::value(&kept, name).as_deref())
            })
        };
        failpoint::hit("live-env-before-restore");
        replace(&path, &old, Durable::Yes).map_err(|error| self.io(&path, error))?;
        failpoint::hit("live-env-after-restore");
        Ok(Done::Changed)
    }

    fn with_values(&self, text: &[u8]) -> Vec<u8> {
        self.set.iter().fold(text.to_vec(), |text, (name, value)| {
            env_text::set(&text, name, Some(value.expose_secret().as_bytes()))
        })
    }

    /// Whether the values are those of the backup or those that are set; anything else is somebody else's.
    fn found(&self, text: &[u8], kept: &[u8]) -> Result<Found> {
        let mut found = Found::New;
        for (name, new) in &self.set {
            let (now, before) = (env_text::value(text, name), env_text::value(kept, name));
            let new = Some(new.expose_secret().as_bytes());
            if now.as_deref() == new && before.as_deref() != new {
                continue;
            }
            if now != before {
                let detail = format!("somebody else has changed {name} since this run did");
                return Err(self
                    .fail(Kind::Changed, detail)
                    .hint("set it by hand; the backup beside the file has the old value"));
            }
            if before.as_deref() != new {
                found = Found::Old;
            }
        }
        Ok(found)
    }

    fn target(&self) -> Result<PathBuf> {
        resolved(&self.path).map_err(|error| self.io(&self.path, error))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let about = fs::metadata(path).map_err(|error| self.io(path, error))?;
        if !about.is_file() {
            return Err(self.fail(Kind::Config, "it is not a file".into()));
        }
        if about.len() > BYTES_MAX {
            return Err(self.fail(Kind::Config, format!("it has more than {BYTES_MAX} bytes")));
        }
        fs::read(path).map_err(|error| self.io(path, error))
    }

    fn read_backup(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io(path, error)),
        }
    }

    fn fail(&self, kind: Kind, detail: String) -> Error {
        Error::new(kind, "change the environment file").store(self.path.display().to_string()).detail(detail)
    }

    fn io(&self, path: &Path, error: std::io::Error) -> Error {
        let (kind, hint) = match error.kind() {
            ErrorKind::NotFound => {
                (Kind::NotFound, "name the application's file with `env_file` in [cutover]")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Kind::Exhausted, "make room on its disk"),
            ErrorKind::PermissionDenied => (
                Kind::Permission,
                "run as the file's owner, with write permission on its folder: the file is replaced, not overwritten",
            ),
            // A single file that is mounted into a container.
            ErrorKind::ResourceBusy => {
                (Kind::Unsupported, "mount its folder, not the file alone: it has to be replaced")
            }
            _ => (Kind::Io, "look at the file and its folder"),
        };
        let detail = format!("{}: {error}", path.display());
        self.fail(kind, detail).hint(hint)
    }
}

/// Where the bytes are kept that were there before a run.
fn backup_path(path: &Path, run: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-{run}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    const BEFORE: &str = "# app\nexport DATABASE_URL=\"sqlite:app.db\" # here\nOTHER=1\n";
    const AFTER: &str =
        "# app\nexport DATABASE_URL=\"postgres://u:hunter2@h/d\" # here\nOTHER=1\nexport_ready=yes\n";

    fn file(path: &Path) -> EnvFile {
        let set = [("DATABASE_URL", "postgres://u:hunter2@h/d"), ("export_ready", "yes")];
        EnvFile {
            path: path.to_owned(),
            set: set.map(|(name, value)| (name.to_owned(), value.into())).into(),
        }
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn there_and_back_any_number_of_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        fs::write(&path, BEFORE).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let env = file(&path);
        assert_eq!(env.restore("r1").unwrap(), Done::Already);
        for _ in 0..2 {
            assert_eq!((env.apply("r1").unwrap(), text(&path).as_str()), (Done::Changed, AFTER));
            assert_eq!((env.apply("r1").unwrap(), text(&path).as_str()), (Done::Already, AFTER));
            assert_eq!(text(&backup_path(&path, "r1")), BEFORE);
            assert_eq!((env.restore("r1").unwrap(), text(&path).as_str()), (Done::Changed, BEFORE));
            assert_eq!((env.restore("r1").unwrap(), text(&path).as_str()), (Done::Already, BEFORE));
        }
        for path in [path.clone(), backup_path(&path, "r1")] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o640);
        }
        // Nothing is left beside the two.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_others_changed_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        fs::write(&path, BEFORE).unwrap();
        let env = file(&path);
        env.apply("r").unwrap();
        fs::write(&path, AFTER.replace("OTHER=1", "OTHER=2\nMORE=3")).unwrap();
        assert_eq!(env.apply("r").unwrap(), Done::Already);
        env.restore("r").unwrap();
        assert_eq!(text(&path), BEFORE.replace("OTHER=1", "OTHER=2\nMORE=3"));
        // Another value in a variable of ours is theirs to decide.
        env.apply("r").unwrap();
        let theirs = text(&path).replace("hunter2@h", "hunter2@elsewhere");
        fs::write(&path, &theirs).unwrap();
        for result in [env.apply("r"), env.restore("r")] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), Kind::Changed);
            assert!(
                error.to_string().contains("DATABASE_URL") && !error.to_string().contains("hunter2"),
                "{error}"
            );
        }
        assert_eq!(text(&path), theirs);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, BEFORE).unwrap();
        symlink(&real, &link).unwrap();
        file(&link).apply("r").unwrap();
        assert!(link.is_symlink());
        assert_eq!(text(&real), AFTER);
    }

    #[test]
    fn what_cannot_be_done_is_said_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        assert_eq!(file(&path).apply("r").unwrap_err().kind(), Kind::NotFound);
        assert_eq!(file(folder.path()).apply("r").unwrap_err().kind(), Kind::Config);
        fs::write(&path, BEFORE).unwrap();
        for (name, value) in [("A B", "1"), ("", "1"), ("1A", "1"), ("A", "hunter2\nB=1")] {
            let env = EnvFile { path: path.clone(), set: vec![(name.into(), value.into())] };
            let error = env.apply("r").unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{name}");
            assert!(!error.to_string().contains("hunter2") && !format!("{env:?}").contains("hunter2"));
        }
        assert_eq!(text(&path), BEFORE);
        let open = format!("TITLE='it\n{BEFORE}");
        fs::write(&path, &open).unwrap();
        let env = EnvFile {
            path: path.clone(),
            set: vec![("NEW".into(), " '".into()), ("NEW2".into(), " x".into())],
        };
        assert_eq!(env.apply("r").unwrap_err().kind(), Kind::Refused);
        assert_eq!(text(&path), open);
    }
}
