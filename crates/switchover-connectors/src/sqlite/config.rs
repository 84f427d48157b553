//! Which SQLite file is meant: the forms in which users already write it.
//!
//! | text | means |
//! |---|---|
//! | `app.db`, `./x/app.sqlite3` | that path, byte for byte |
//! | `sqlite:app.db`, `sqlite:/srv/app.db` | that path |
//! | `sqlite://app.db` | the path after the two slashes (as sqlx has it) |
//! | `sqlite:///app.db` | `app.db` in the working directory (as SQLAlchemy has it) |
//! | `sqlite:////srv/app.db` | `/srv/app.db` |
//! | `sqlite+aiosqlite:///app.db` | as without the driver |
//! | `file:app.db?mode=ro`, `file:///srv/app.db` | SQLite's own URI |
//!
//! Decision: three slashes are relative. SQLAlchemy and Django say so, and they wrote most of these URLs; sqlx
//! and JDBC mean `/app.db`. So where the relative file is missing and the absolute one is there, the error says it.
//!
//! Invariants: parsing touches no file; a bare path is never decoded, a URL always is (a `?` or a `%` in a
//! file's name is written `%3F`, `%25`); an unknown parameter is an error, because it may be one that matters.
//! Absent: opening, which is `open`; memory databases, which no other process can read.

use std::path::{Path, PathBuf};

use switchover_core::{Error, Kind, Result};

use crate::uri;

/// The endings that make a text without a scheme a path.
const BARE_ENDINGS: [&str; 4] = [".db", ".sqlite", ".sqlite3", ".db3"];

/// Parameters of SQLite and its drivers that do not change which data is read.
const HARMLESS: [&str; 9] = [
    "cache",
    "cached_statements",
    "check_same_thread",
    "detect_types",
    "isolation_level",
    "timeout",
    "uri",
    "psow",
    "autocommit",
];

/// Parameters with a meaning here.
const MEANINGFUL: [&str; 4] = ["mode", "immutable", "nolock", "vfs"];

const OPERATION: &str = "read the SQLite URL";

/// A SQLite file that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    path: PathBuf,
    immutable: bool,
    alternatives: Vec<PathBuf>,
}

impl SqliteConfig {
    /// Reads any of the forms in the module's table.
    pub fn parse(text: &str) -> Result<SqliteConfig> {
        let text = text.trim();
        if text.is_empty() {
            return Err(bad(text, "it is empty").hint("name a file, such as sqlite:app.db"));
        }
        if text == ":memory:" {
            return Err(memory(text));
        }
        if let Some(rest) = text.strip_prefix("file:") {
            return file_uri(text, rest);
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_sqlite_scheme(scheme)) else {
            return bare(text);
        };
        if let Some(driver) = scheme.split_once('+').map(|(_, driver)| driver)
            && !["aiosqlite", "pysqlite", "pysqlcipher"].contains(&driver)
        {
            return Err(bad(text, "the driver after 'sqlite+' is not known").hint(
                "write sqlite: without a driver; which one the application uses does not matter here",
            ));
        }
        if scheme.ends_with("pysqlcipher") {
            return Err(Error::new(Kind::Unsupported, OPERATION)
                .store(text)
                .detail("SQLCipher files are encrypted, and this program cannot decrypt them")
                .hint("export a plain copy first (SQLCipher's sqlcipher_export) and name that"));
        }
        let (path, query) = split_query(rest);
        if let Some((authority, _)) = path.strip_prefix("//").and_then(|after| after.split_once('@'))
            && authority.contains(':')
            && !authority.contains('/')
        {
            // The text is not shown: a password may stand in it.
            return Err(bad(scheme, "it names a user and a password, and a file has neither").hint(
                "name the file, such as sqlite:app.db; in a URL an '@' of a file's name is written %40",
            ));
        }
        // SQLAlchemy lets an SQLite URI stand as its database: sqlite:///file:app.db?uri=true
        if let Some(inner) = path.strip_prefix("///file:") {
            let whole = query.map_or_else(|| inner.to_owned(), |query| format!("{inner}?{query}"));
            return file_uri(text, &whole);
        }
        let (relative, absolute) = match path.strip_prefix("//") {
            Some(after) => match after.strip_prefix('/') {
                Some(third) => (third, Some(after)),
                None => (after, None),
            },
            None => (path, None),
        };
        if relative.is_empty() || relative == ":memory:" {
            return Err(memory(text));
        }
        let mut config = SqliteConfig::decoded(text, relative)?;
        if let Some(absolute) = absolute.filter(|_| !relative.starts_with('/')) {
            config.alternatives.push(PathBuf::from(absolute));
        }
        config.parameters(text, query.unwrap_or_default())?;
        Ok(config)
    }

    /// The file at `path`, taken as it is.
    pub fn from_path(path: impl Into<PathBuf>) -> SqliteConfig {
        SqliteConfig { path: path.into(), immutable: false, alternatives: Vec::new() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the user declared that nothing can change the file (`immutable=1`): SQLite then takes no locks.
    pub fn immutable(&self) -> bool {
        self.immutable
    }

    /// Other readings of the same text, worth a look (and a word) when the file is not there.
    pub fn alternatives(&self) -> &[PathBuf] {
        &self.alternatives
    }

    /// The store's name in messages, plans and reports. A file's URL holds no secret.
    pub fn label(&self) -> String {
        format!("sqlite:{}", uri::path_encode(&self.path.display().to_string()))
    }

    fn decoded(text: &str, path: &str) -> Result<SqliteConfig> {
        let decoded = uri::percent_decode(path, false).map_err(|why| {
            bad(text, why.why())
                .hint("percent-encode it, or give the bare path: that is taken byte for byte if it ends in .db or .sqlite")
        })?;
        let mut config = SqliteConfig::from_path(&decoded);
        if decoded != path {
            config.alternatives.push(PathBuf::from(path));
        }
        Ok(config)
    }

    fn parameters(&mut self, text: &str, query: &str) -> Result<()> {
        for (name, value) in uri::query_pairs(query, false).map_err(|why| bad(text, why.why()))? {
            match name.as_str() {
                "mode" if value == "memory" => return Err(memory(text)),
                "mode" if ["ro", "rw", "rwc"].contains(&value.as_str()) => {}
                "mode" => {
                    return Err(bad(text, "mode is none of ro, rw, rwc")
                        .hint("leave it out: the file is opened as each command needs it"));
                }
                "immutable" => self.immutable = is_true(&value),
                "nolock" if !is_true(&value) => {}
                "nolock" | "vfs" => {
                    return Err(Error::new(Kind::Unsupported, OPERATION)
                        .store(text)
                        .detail(format!("'{name}' would read a live file without SQLite's own locks"))
                        .hint("leave it out; copy the file to a local disk if its file system cannot lock"));
                }
                other if HARMLESS.contains(&other) => {}
                other => return Err(unknown_parameter(text, other)),
            }
        }
        Ok(())
    }
}

fn is_sqlite_scheme(scheme: &str) -> bool {
    scheme == "sqlite" || scheme == "sqlite3" || scheme.starts_with("sqlite+")
}

fn is_true(value: &str) -> bool {
    // SQLite's own reading (sqlite3_uri_boolean).
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
        || value.parse::<i64>().is_ok_and(|number| number != 0)
}

fn split_query(rest: &str) -> (&str, Option<&str>) {
    // A fragment means nothing to SQLite, but '#' in a file's name is likelier than a fragment: it stays.
    rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)))
}

fn bare(text: &str) -> Result<SqliteConfig> {
    let lower = text.to_ascii_lowercase();
    if BARE_ENDINGS.iter().any(|ending| lower.ends_with(ending)) && !text.contains("://") {
        return Ok(SqliteConfig::from_path(text));
    }
    Err(bad(text, "it is neither a sqlite: URL nor a path that ends in .db, .db3, .sqlite or .sqlite3")
        .hint(format!("write sqlite:{} if it is the path of a SQLite file", text.replace('%', "%25"))))
}

fn file_uri(text: &str, rest: &str) -> Result<SqliteConfig> {
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (path, query) = split_query(rest);
    let path = match path.strip_prefix("//") {
        None => path,
        Some(after) => match after.strip_prefix("localhost").unwrap_or(after) {
            local if local.starts_with('/') => local,
            _ => {
                return Err(bad(text, "a file: URI names a host other than localhost")
                    .hint("write file:/path, file:///path or file:path"));
            }
        },
    };
    if path.is_empty() || path == ":memory:" {
        return Err(memory(text));
    }
    let mut config = SqliteConfig::decoded(text, path)?;
    config.parameters(text, query.unwrap_or_default())?;
    Ok(config)
}

fn bad(text: &str, why: &str) -> Error {
    Error::new(Kind::Config, OPERATION).store(text).detail(why)
}

fn memory(text: &str) -> Error {
    bad(text, "a memory database lives inside one process, and no other process can read it")
        .hint("let the application write it to a file (VACUUM INTO 'app.db'), and name that")
}

fn unknown_parameter(text: &str, name: &str) -> Error {
    let shown = uri::shown_name(name).unwrap_or("…");
    let error = bad(text, &format!("there is no parameter '{shown}'"));
    match uri::near_match(name, HARMLESS.into_iter().chain(MEANINGFUL)) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error.hint("leave it out; a '?' in a file's name is written %3F"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_names_its_file() {
        for (text, path, alternatives) in [
            ("app.db", "app.db", &[][..]),
            ("./x y/100%.SQLITE3", "./x y/100%.SQLITE3", &[]),
            ("sqlite:app.db", "app.db", &[]),
            ("sqlite:data", "data", &[]),
            ("sqlite:/srv/app.db", "/srv/app.db", &[]),
            ("sqlite://app.db", "app.db", &[]),
            ("sqlite:///app.db", "app.db", &["/app.db"]),
            ("sqlite:////srv/app.db", "/srv/app.db", &[]),
            ("sqlite3:///a/b.db", "a/b.db", &["/a/b.db"]),
            ("sqlite+aiosqlite:///./data/app.db", "./data/app.db", &["/./data/app.db"]),
            ("sqlite+pysqlite:////srv/app.db?timeout=30&check_same_thread=False", "/srv/app.db", &[]),
            ("sqlite:///my%20app.db", "my app.db", &["my%20app.db", "/my%20app.db"]),
            ("sqlite:a%3Fb.db?mode=rwc", "a?b.db", &["a%3Fb.db"]),
            ("file:app.db?mode=ro#part", "app.db", &[]),
            ("file:///srv/app.db", "/srv/app.db", &[]),
            ("file://localhost/srv/app.db", "/srv/app.db", &[]),
            ("sqlite:///file:app.db?mode=ro&uri=true", "app.db", &[]),
        ] {
            let config = SqliteConfig::parse(text).expect(text);
            assert_eq!(config.path(), Path::new(path), "{text}");
            let want: Vec<_> = alternatives.iter().map(PathBuf::from).collect();
            assert_eq!(config.alternatives(), want, "{text}");
        }
        assert!(SqliteConfig::parse("file:/cd/app.db?immutable=1").is_ok_and(|config| config.immutable()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, part) in [
            ("", "empty"),
            (":memory:", "memory database"),
            ("sqlite://", "memory database"),
            ("sqlite:///:memory:", "memory database"),
            ("sqlite:x.db?mode=memory", "memory database"),
            ("file::memory:?cache=shared", "memory database"),
            ("sqlite:x.db?mode=fast", "none of ro, rw, rwc"),
            ("sqlite:x.db?tiemout=3", "no parameter 'tiemout'"),
            ("sqlite:x.db?vfs=unix-none", "without SQLite's own locks"),
            ("sqlite:x%.db", "two hexadecimal digits"),
            ("sqlite:x.db?mode", "no '='"),
            ("sqlite+oracle:///x.db", "driver"),
            ("file://server/share/x.db", "a host other than localhost"),
            ("postgres://host/app.db", "neither a sqlite: URL"),
            ("notes.txt", "neither a sqlite: URL"),
        ] {
            let error = SqliteConfig::parse(text).expect_err(text);
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert!(
                !error.what_to_do().is_empty() || text.contains("mode") || text.contains('%'),
                "{text}: no hint"
            );
        }
        let error = SqliteConfig::parse("sqlite:x.db?tiemout=3").expect_err("a near match");
        assert_eq!(error.what_to_do(), "did you mean 'timeout'?");
    }
}
