//! The password file `.pgpass`, as libpq reads it.
//!
//! Invariants: the first matching line wins; a file that others can read is ignored with a warning, as in libpq; a
//! missing file is no error; no message holds a line. Absent: Windows' `pgpass.conf`.

use std::fs;
use std::path::Path;

use secrecy::SecretString;

/// What a connection is looked up by. A Unix socket in the default directory is looked up as `localhost`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password for `wanted` in `file`, if any; and what was odd about the file.
pub(super) fn look_up(file: &Path, wanted: Wanted<'_>, warnings: &mut Vec<String>) -> Option<SecretString> {
    let meta = fs::metadata(file).ok()?;
    let mut warn = |why: &str| {
        let warning = format!("the password file {} was ignored: {why}", file.display());
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    };
    if !meta.is_file() {
        warn("it is not a regular file");
        return None;
    }
    if others_may_read(&meta) {
        warn("others can read it; make it private (chmod 600)");
        return None;
    }
    match fs::read_to_string(file) {
        Ok(text) => find(&text, wanted).map(SecretString::from),
        Err(cause) => {
            warn(&format!("it cannot be read ({})", cause.kind()));
            None
        }
    }
}

fn find(text: &str, wanted: Wanted<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for want in [wanted.host, &port, wanted.database, wanted.user] {
            let (field, after) = take_field(rest);
            // Only a bare star is the wildcard: `\*` is a name.
            let bare_star = rest.starts_with("*:");
            if !bare_star && field != want {
                return None;
            }
            rest = after?;
        }
        Some(unescape(rest))
    })
}

/// The field up to an unescaped colon, unescaped, and what follows the colon.
fn take_field(text: &str) -> (String, Option<&str>) {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return (unescape(&text[..at]), Some(&text[at + 1..])),
            _ => {}
        }
    }
    (unescape(text), None)
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(unix)]
fn others_may_read(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn others_may_read(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_match_as_in_libpq() {
        let text = "# a comment\n\
                    db:5432:app:ann:one\n\
                    db:*:app:ann:two\n\
                    \\*:5432:app:ann:star\n\
                    a\\:b:5432:*:ann:with\\:colon\\\\\n\
                    *:*:*:bob:any:kept\n\
                    short:line\n";
        for (host, port, database, user, want) in [
            ("db", 5432, "app", "ann", Some("one")),
            ("db", 5433, "app", "ann", Some("two")),
            ("*", 5432, "app", "ann", Some("star")),
            ("a:b", 5432, "x", "ann", Some("with:colon\\")),
            ("zz", 1, "x", "bob", Some("any:kept")),
            ("zz", 1, "x", "eve", None),
        ] {
            assert_eq!(find(text, Wanted { host, port, database, user }).as_deref(), want, "{host}:{port}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_ignored_with_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("pgpass");
        fs::write(&file, "*:*:*:*:hush").expect("write");
        let wanted = Wanted { host: "h", port: 1, database: "d", user: "u" };
        for (mode, found) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("mode");
            let mut warnings = Vec::new();
            assert_eq!(look_up(&file, wanted, &mut warnings).is_some(), found, "{mode:o}");
            assert_eq!(warnings.is_empty(), found);
            assert!(!format!("{warnings:?}").contains("hush"));
        }
        let mut warnings = Vec::new();
        assert!(look_up(&dir.path().join("none"), wanted, &mut warnings).is_none() && warnings.is_empty());
    }
}
