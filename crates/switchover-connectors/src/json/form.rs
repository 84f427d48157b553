//! The form of a dump that is written: one document, or a folder with a file for each table.
//!
//! The source reads a file of any name as a dump. A target is what its name says, or is refused: what is
//! written should not have to be guessed by whoever reads it.

use super::config::JsonConfig;
use super::input::Ending;
use std::path::Path;
use switchover_core::{Error, Kind, Result};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One object whose members are the tables, packed or not.
    Dump {
        /// Whether it is packed with gzip.
        packed: bool,
    },
    /// A folder with `TABLE.jsonl` for each table.
    Folder,
}

/// Bytes of the longest name of a file on the usual file systems, less the ending.
const FILE_NAME_BYTES_MAX: usize = 249;

impl Form {
    /// The form that a target's name asks for.
    ///
    /// # Errors
    /// `Config` for a name that says neither.
    pub(super) fn of(config: &JsonConfig) -> Result<Form> {
        let path = config.path();
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir() {
            return Ok(Form::Folder);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let error = |detail: &str| {
            Error::new(Kind::Config, "tell what dump to write")
                .store(config.label())
                .detail(detail)
                .hint("name json:dump.json, json:dump.json.gz, or a folder by a slash behind it: json:dump/")
        };
        match Ending::of(&name) {
            Some((_, Ending::Json)) => Ok(Form::Dump { packed: name.ends_with(".gz") }),
            Some((_, Ending::Lines)) => {
                Err(error("a file of JSON Lines holds one table, and a dump has many"))
            }
            None => Err(error("the name's ending says neither a document nor a folder")),
        }
    }

    /// Whether a table cannot have that name here.
    pub(super) fn refuses(self, name: &str) -> bool {
        match self {
            Form::Dump { .. } => false,
            Form::Folder => {
                name.len() > FILE_NAME_BYTES_MAX || name.starts_with('.') || name.contains(['/', '\\', '\0'])
            }
        }
    }

    /// The form in which names of tables are compared.
    pub(super) fn folded(self, name: &str) -> String {
        match self {
            Form::Dump { .. } => name.to_owned(),
            // Two files whose names differ in case are one on some file systems.
            Form::Folder => name.to_lowercase(),
        }
    }

    /// What stands before a row, and behind it.
    pub(super) fn around_row(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Form::Dump { .. } => (b",\n", b""),
            Form::Folder => (b"", b"\n"),
        }
    }
}

/// The file of a table in a folder.
pub(super) fn table_file(folder: &Path, table: &str) -> std::path::PathBuf {
    folder.join(table_name(table))
}

/// Its name there.
pub(super) fn table_name(table: &str) -> String {
    format!("{table}.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_form() {
        for (path, form) in [
            ("dump.json", Some(Form::Dump { packed: false })),
            ("/x/dump.json.gz", Some(Form::Dump { packed: true })),
            ("dump/", Some(Form::Folder)),
            ("/", Some(Form::Folder)),
            ("users.jsonl", None),
            ("users.ndjson.gz", None),
            ("dump", None),
            ("dump.txt", None),
            (".json", None),
        ] {
            assert_eq!(Form::of(&JsonConfig::from_path(path)).ok(), form, "{path}");
        }
    }
}
