//! Which JSON is meant: a dump, a file of JSON Lines, or a folder with a file for each table.
//!
//! | text | means |
//! |---|---|
//! | `json:dump.json`, `json:/srv/dump.json.gz` | that path |
//! | `json://dump.json` | the path after the two slashes |
//! | `json:///srv/dump.json` | `/srv/dump.json` |
//! | `json:dump/` | the folder: `TABLE.jsonl`, `TABLE.ndjson` or `TABLE.json`, each also with `.gz` |
//!
//! Invariants: parsing touches no file; the text is percent-decoded as a URL is (a `?` or a `%` in a name is
//! written `%3F`, `%25`); there are no parameters, so any is an error.
//! Absent on purpose: looking at what lies there, which is `input`.

use crate::uri;
use std::path::{Path, PathBuf};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "read the JSON URL";

/// A file or folder of JSON that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonConfig {
    path: PathBuf,
}

impl JsonConfig {
    /// Reads any of the forms in the module's table.
    ///
    /// # Errors
    /// `Config` for a text that is none of them.
    pub fn parse(text: &str) -> Result<JsonConfig> {
        let text = text.trim();
        let bad = |why: &str| Error::new(Kind::Config, OPERATION).store(text).detail(why);
        let Some(rest) = text.strip_prefix("json:") else {
            return Err(bad("it does not begin with json:").hint("write json:dump.json"));
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        if query.is_some_and(|query| !query.is_empty()) {
            return Err(bad("a json: URL has no parameters")
                .hint("leave them out; a '?' in a file's name is written %3F"));
        }
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(bad("it names no file").hint("name a file or a folder, such as json:dump.json"));
        }
        let path = uri::percent_decode(path, false).map_err(|why| bad(why.why()))?;
        Ok(JsonConfig { path: PathBuf::from(path) })
    }

    /// The file or folder at `path`, taken as it is.
    pub fn from_path(path: impl Into<PathBuf>) -> JsonConfig {
        JsonConfig { path: path.into() }
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store as messages name it.
    pub fn label(&self) -> String {
        format!("json:{}", uri::path_encode(&self.path.display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_names_its_file() {
        for (text, path) in [
            ("json:dump.json", "dump.json"),
            ("json:/srv/dump.json.gz", "/srv/dump.json.gz"),
            ("json://dump.json", "dump.json"),
            ("json:///srv/my%20dump.json", "/srv/my dump.json"),
            ("json:dump/", "dump/"),
            (" json:a%3Fb%25.json? ", "a?b%.json"),
        ] {
            assert_eq!(JsonConfig::parse(text).expect(text).path(), Path::new(path), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, part) in [
            ("dump.json", "does not begin with json:"),
            ("json:", "names no file"),
            ("json://", "names no file"),
            ("json:a.json?mode=ro", "no parameters"),
            ("json:a%.json", "two hexadecimal digits"),
        ] {
            let error = JsonConfig::parse(text).expect_err(text);
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }
}
