//! New values in the application's environment file, and the old ones again.
//!
//! Invariants: the file is replaced whole, with its mode and owner; before it is changed, its bytes are kept in
//! `<file>.before-<run>`, for the same people to read, and that file is there for as long as the run's values may be: going back
//! removes it, so that what is written into the file from then on is what the next going back brings; both ways may be repeated
//! after a crash anywhere; whether a change can be made is asked by making all of it but the last step; values that somebody
//! else has set meanwhile are not overwritten but named; no message holds a value.

use super::env_text;
use super::replace::{Durable, beside, remove, replace, resolved, try_out};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use switchover_core::failpoint;
use switchover_core::{Error, Kind, Result};

/// Largest environment file: it is held in memory, and what is larger is something else.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What texts in UTF-16 begin with.
const UTF16_MARKS: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// What to do about a file that is none.
const OTHER_FILE: &str = "name the application's file with `env_file` in [cutover]";

/// What to do about values that no such file can hold.
const OTHER_SET: &str = "change `set` in [cutover]";

/// The file, and what is set in it while the target owns the data.
#[derive(Debug, Clone)]
pub struct EnvFile {
    /// The file.
    pub path: PathBuf,
    /// Names and values, in the order in which new ones are appended.
    pub set: Vec<(String, SecretString)>,
}

/// A change of the file, computed and not made.
struct Change {
    /// The file, behind all links.
    path: PathBuf,
    backup: PathBuf,
    text: Vec<u8>,
    /// What it is to hold; the same where there is nothing to do.
    new: Vec<u8>,
    /// Whether what it holds is to be kept first.
    keeps: bool,
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
    /// Whether [`EnvFile::apply`] could be done now. Changes nothing.
    pub fn may_apply(&self, run: &str) -> Result<()> {
        self.could(&self.applied(run)?)
    }

    /// The names that have other values in the file than they are set to: what [`EnvFile::apply`] would change now.
    pub fn lacking(&self) -> Result<Vec<String>> {
        let text = self.read(&self.target()?)?;
        Ok(self.set.iter().filter(|set| !is_set(&text, set)).map(|(name, _)| name.clone()).collect())
    }

    /// That it is known what was there before the variables that the run has changed: asked before [`EnvFile::restore`], to which a
    /// backup that is not there means that there is nothing to do. Refuses where the file still has one of the run's values, as a
    /// file that was brought elsewhere without its backup. Changes nothing.
    pub fn knows_before(&self, run: &str, changed: &BTreeSet<String>) -> Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let path = self.target()?;
        let backup = backup_path(&path, run);
        if self.read_backup(&backup)?.is_some() {
            return Ok(());
        }
        let text = self.read(&path)?;
        let Some((name, _)) = self.set.iter().find(|set| changed.contains(&set.0) && is_set(&text, set))
        else {
            return Ok(());
        };
        let detail = format!(
            "{name} has the value that this run has set, and {}, which has what was there before, is not there",
            backup.display()
        );
        let hint = format!(
            "put that file back, or write what was there before into {} by hand; where it is to stay as it is, copy it to {}",
            path.display(),
            backup.display()
        );
        Err(self.fail(Kind::Changed, detail).hint(hint))
    }

    /// Whether what was in it before this run changed it is kept beside it.
    pub fn keeps_before(&self, run: &str) -> Result<bool> {
        Ok(self.read_backup(&backup_path(&self.target()?, run))?.is_some())
    }

    /// Whether [`EnvFile::restore`] could be done now. Changes nothing.
    pub fn may_restore(&self, run: &str) -> Result<()> {
        self.restored(run)?.map_or(Ok(()), |change| self.could(&change))
    }

    /// Sets the values.
    pub fn apply(&self, run: &str) -> Result<Done> {
        let Change { path, backup, text, new, keeps } = self.applied(run)?;
        if new == text {
            return Ok(Done::Already);
        }
        if keeps {
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
        let Some(Change { path, backup, text, new, .. }) = self.restored(run)? else {
            return Ok(Done::Already);
        };
        let done = if new == text { Done::Already } else { Done::Changed };
        if done == Done::Changed {
            failpoint::hit("live-env-before-restore");
            replace(&path, &new, Durable::Yes).map_err(|error| self.io(&path, error))?;
            failpoint::hit("live-env-after-restore");
        }
        // What the file holds from here on is the application's own, whoever changes it.
        remove(&backup).map_err(|error| self.io(&backup, error))?;
        failpoint::hit("live-env-forgotten");
        Ok(done)
    }

    /// The file with the values that are set.
    fn applied(&self, run: &str) -> Result<Change> {
        self.well_formed()?;
        let path = self.target()?;
        let text = self.read(&path)?;
        let backup = backup_path(&path, run);
        let new = self.with_values(&text);
        self.means(&new, |_, value| Some(value.to_vec()))?;
        if new == text {
            return Ok(Change { path, backup, text, new, keeps: false });
        }
        let kept = self.read_backup(&backup)?;
        let keeps = match &kept {
            None => true,
            Some(kept) => match self.holds_ours(&text, kept) {
                // What was there before one of the run's values stands in the backup alone.
                Ok(ours) => !ours && *kept != text,
                Err(name) => {
                    let other = format!(
                        ", or, where the value that it has now is right, remove {}",
                        backup.display()
                    );
                    return Err(self.edited(name, kept, &backup, &other));
                }
            },
        };
        Ok(Change { path, backup, text, new, keeps })
    }

    /// The file with the values that were there before. None without a backup: then it holds none of this run's, as far as
    /// [`EnvFile::knows_before`] was asked.
    fn restored(&self, run: &str) -> Result<Option<Change>> {
        let path = self.target()?;
        let backup = backup_path(&path, run);
        let Some(kept) = self.read_backup(&backup)? else { return Ok(None) };
        let text = self.read(&path)?;
        let ours = self
            .holds_ours(&text, &kept)
            .map_err(|name| self.edited(name, &kept, &backup, ", or as `set` in [cutover] has it"))?;
        let new = if !ours {
            text.clone()
        } else if self.with_values(&kept) == text {
            kept.clone()
        } else {
            self.set.iter().fold(text.clone(), |text, (name, _)| {
                env_text::set(&text, name, env_text::value(&kept, name).as_deref())
            })
        };
        self.means(&new, |name, _| env_text::value(&kept, name))?;
        Ok(Some(Change { path, backup, text, new, keeps: false }))
    }

    /// Makes all of a change but its last step.
    fn could(&self, change: &Change) -> Result<()> {
        if change.new == change.text {
            return Ok(());
        }
        try_out(&change.path, &change.new).map_err(|error| self.io(&change.path, error))
    }

    /// That names and values are some that environment files can hold.
    fn well_formed(&self) -> Result<()> {
        for (name, value) in &self.set {
            let value = value.expose_secret();
            let wrong = if !env_text::is_name(name) {
                "it is no name of a variable: letters, digits and _ are"
            } else if value.contains(['\n', '\r', '\0']) {
                "its value has a line end or a NUL, which environment files cannot hold"
            } else {
                continue;
            };
            return Err(self.fail(Kind::Config, format!("{name}: {wrong}")).hint(OTHER_SET));
        }
        Ok(())
    }

    fn with_values(&self, text: &[u8]) -> Vec<u8> {
        self.set.iter().fold(text.to_vec(), |text, (name, value)| {
            env_text::set(&text, name, Some(value.expose_secret().as_bytes()))
        })
    }

    /// That each name has the value in a text that is meant for it, to whoever reads it.
    fn means(&self, text: &[u8], meant: impl Fn(&str, &[u8]) -> Option<Vec<u8>>) -> Result<()> {
        let reads = |(name, value): &&(String, SecretString)| {
            env_text::value(text, name) == meant(name, value.expose_secret().as_bytes())
                && !env_text::is_behind_open_quote(text, name)
        };
        match self.set.iter().find(|set| !reads(set)) {
            None => Ok(()),
            Some((name, _)) => {
                let detail =
                    format!("a quote that is opened before {name} and not closed leaves open what it means");
                Err(self.fail(Kind::Refused, detail).hint("close the quote"))
            }
        }
    }

    /// Whether a text has one of the values that are set in the place of what the backup has. The name of one that has neither, as
    /// an error: it is somebody else's.
    fn holds_ours(&self, text: &[u8], kept: &[u8]) -> Result<bool, &str> {
        let mut ours = false;
        for (name, new) in &self.set {
            let (now, before) = (env_text::value(text, name), env_text::value(kept, name));
            if now == before {
                continue;
            }
            if now.as_deref() != Some(new.expose_secret().as_bytes()) {
                return Err(name);
            }
            ours = true;
        }
        Ok(ours)
    }

    /// Somebody else has changed what the run set; what there is to do, and what else would do.
    fn edited(&self, name: &str, kept: &[u8], backup: &Path, other: &str) -> Error {
        let detail = format!(
            "somebody else has changed {name} since this run set it; what was there before stands in {}",
            backup.display()
        );
        let hint = match env_text::value(kept, name) {
            Some(_) => format!("write {name} as it stands there{other}"),
            None => format!("remove {name}, which was not there before{other}"),
        };
        self.fail(Kind::Changed, detail).hint(hint)
    }

    fn target(&self) -> Result<PathBuf> {
        resolved(&self.path).map_err(|error| self.io(&self.path, error))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let about = fs::metadata(path).map_err(|error| self.io(path, error))?;
        if !about.is_file() {
            return Err(self.fail(Kind::Config, "it is not a file".into()).hint(OTHER_FILE));
        }
        if about.len() > BYTES_MAX {
            return Err(self
                .fail(Kind::Config, format!("it has more than {BYTES_MAX} bytes"))
                .hint(OTHER_FILE));
        }
        let text = fs::read(path).map_err(|error| self.io(path, error))?;
        if text.contains(&0) || UTF16_MARKS.iter().any(|mark| text.starts_with(mark)) {
            let detail = "it has NUL bytes or is UTF-16: who reads it would not find in it what is set";
            return Err(self.fail(Kind::Refused, detail.into()).hint("save it as UTF-8"));
        }
        Ok(text)
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
            ErrorKind::NotFound => (Kind::NotFound, OTHER_FILE),
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

/// Whether a text has the value that is set.
fn is_set(text: &[u8], (name, value): &(String, SecretString)) -> bool {
    env_text::value(text, name).as_deref() == Some(value.expose_secret().as_bytes())
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
            assert_eq!(fs::metadata(backup_path(&path, "r1")).unwrap().mode() & 0o777, 0o640);
            assert_eq!((env.restore("r1").unwrap(), text(&path).as_str()), (Done::Changed, BEFORE));
            assert_eq!((env.restore("r1").unwrap(), text(&path).as_str()), (Done::Already, BEFORE));
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn behind_a_going_back_the_file_is_the_applications_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        fs::write(&path, BEFORE).unwrap();
        let env = file(&path);
        env.apply("r").unwrap();
        env.restore("r").unwrap();
        for theirs in [BEFORE.replace("app.db", "moved.db"), String::new()] {
            fs::write(&path, &theirs).unwrap();
            env.may_apply("r").unwrap();
            assert_eq!(env.apply("r").unwrap(), Done::Changed);
            assert_eq!(text(&backup_path(&path, "r")), theirs);
            env.may_restore("r").unwrap();
            assert_eq!((env.restore("r").unwrap(), text(&path)), (Done::Changed, theirs));
        }
        // One that was killed in between has changed nothing, and goes back to what was kept.
        fs::write(&path, BEFORE).unwrap();
        fs::write(backup_path(&path, "r"), BEFORE).unwrap();
        assert_eq!(env.apply("r").unwrap(), Done::Changed);
        assert_eq!((env.restore("r").unwrap(), text(&path).as_str()), (Done::Changed, BEFORE));
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
        let nothing = |tried: Result<()>| tried.map(|()| Done::Already);
        let tried = [nothing(env.may_apply("r")), nothing(env.may_restore("r"))];
        for result in tried.into_iter().chain([env.apply("r"), env.restore("r")]) {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), Kind::Changed);
            let said = format!("{error:?}");
            assert!(said.contains("DATABASE_URL") && !said.contains("hunter2"), "{said}");
            assert!(said.contains("app.env.before-r") && said.contains("as it stands there"), "{said}");
        }
        assert_eq!(text(&path), theirs);
        // Put back in part by hand, the rest is as it was before, and not as it is.
        let half = text(&path).replace("postgres://u:hunter2@elsewhere/d", "sqlite:app.db");
        fs::write(&path, half).unwrap();
        assert_eq!(env.apply("r").unwrap(), Done::Changed);
        assert_eq!(env.restore("r").unwrap(), Done::Changed);
        assert_eq!(text(&path), BEFORE.replace("OTHER=1", "OTHER=2\nMORE=3"));
    }

    #[test]
    fn what_nobody_could_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        let env = file(&path);
        let utf16 = |mark: &str| format!("{mark}DATABASE_URL=old\n").encode_utf16().collect::<Vec<u16>>();
        let bytes = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            utf16(mark).into_iter().flat_map(order).collect()
        };
        let texts: [Vec<u8>; 4] = [
            bytes(u16::to_le_bytes, "\u{feff}"),
            bytes(u16::to_be_bytes, "\u{feff}"),
            bytes(u16::to_le_bytes, ""),
            b"DATABASE_URL=old\0\n".to_vec(),
        ];
        for odd in texts {
            fs::write(&path, &odd).unwrap();
            for error in [env.may_apply("r").unwrap_err(), env.apply("r").unwrap_err()] {
                assert!(error.kind() == Kind::Refused && error.what_to_do().contains("UTF-8"), "{error:?}");
            }
            assert_eq!(fs::read(&path).unwrap(), odd);
            // Nothing of the run's is in it, and so there is nothing to put back.
            env.may_restore("r").unwrap();
            assert_eq!(env.restore("r").unwrap(), Done::Already);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn values_without_a_backup_are_not_taken_for_the_applications() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        // One of them is right before.
        let before = format!("{BEFORE}export_ready=yes\n");
        fs::write(&path, &before).unwrap();
        let env = file(&path);
        let changed = BTreeSet::from_iter(env.lacking().unwrap());
        assert_eq!(changed, BTreeSet::from(["DATABASE_URL".to_owned()]));
        env.apply("r").unwrap();
        assert!(env.lacking().unwrap().is_empty());
        env.knows_before("r", &changed).unwrap();
        let backup = backup_path(&path, "r");
        let (set, kept) = (text(&path), text(&backup));
        fs::remove_file(&backup).unwrap();
        let error = env.knows_before("r", &changed).unwrap_err();
        let said = format!("{error:?}");
        assert!(error.kind() == Kind::Changed && !said.contains("hunter2"), "{said}");
        assert!(said.contains("DATABASE_URL has the value") && said.contains("app.env.before-r"), "{said}");
        // Each way out that it names: the backup, the old value by hand, the new one on purpose.
        for (now, backed) in [(&set, Some(&kept)), (&before, None), (&set, Some(&set))] {
            fs::write(&path, now).unwrap();
            if let Some(backed) = backed {
                fs::write(&backup, backed).unwrap();
            }
            env.knows_before("r", &changed).unwrap();
            env.restore("r").unwrap();
            assert_eq!(&text(&path), backed.unwrap_or(now));
            assert!(!backup.exists());
        }
        // What the run has not changed is nothing that it has to put back.
        env.knows_before("r", &BTreeSet::new()).unwrap();
    }

    #[test]
    fn a_variable_behind_a_quote_that_is_left_open_is_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        let env = file(&path);
        for open in ["A=\"open\nDATABASE_URL=old\n", "A=\"open\nDATABASE_URL=\"old\"\n", "A='open\n"] {
            fs::write(&path, open).unwrap();
            for error in [env.may_apply("r").unwrap_err(), env.apply("r").unwrap_err()] {
                assert!(error.kind() == Kind::Refused && error.what_to_do().contains("quote"), "{error:?}");
            }
            assert_eq!(text(&path), open);
        }
        // What stands behind the variables is others' concern, and a quote of their own goes with the value.
        for clear in ["DATABASE_URL=old\nexport_ready=no\nA=\"open\n", "DATABASE_URL=\"old\n"] {
            fs::write(&path, clear).unwrap();
            env.may_apply("r").unwrap();
        }
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
        assert_eq!(env.may_apply("r").unwrap_err().kind(), Kind::Refused);
        assert_eq!(env.apply("r").unwrap_err().kind(), Kind::Refused);
        assert_eq!(text(&path), open);
    }
}
