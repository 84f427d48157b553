//! The one error of the project: a kind, what was being done, on what, why, and what to do.
//!
//! Invariants: [`Kind::remedy`] is an exhaustive match, so a new kind must say what its remedy is;
//! `Display` never prints causes (the renderer walks `source`); no field ever holds a secret.
//! Absent on purpose: classification of a database's errors, which is the connector's, by code.

use std::error::Error as StdError;
use std::fmt;

/// The project's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms a caller can act on. At most twenty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The command line, a URL or the configuration is not valid.
    Config,
    /// A file, database, table or run that was named does not exist.
    NotFound,
    /// The thing to be created is there already.
    AlreadyExists,
    /// The store refused the credentials, or the role lacks a right.
    Permission,
    /// The store could not be reached, or went away: trying again may help.
    Unavailable,
    /// Somebody else holds a lock, or another run is under way.
    Busy,
    /// The store is damaged, encrypted, or not a database at all.
    Corrupt,
    /// A version or a feature that this tool or the store does not have.
    Unsupported,
    /// A value, or the schema, that the target cannot hold exactly. Nothing was guessed.
    Refused,
    /// The stores were compared and differ.
    Different,
    /// Something else changed since it was planned or journalled.
    Changed,
    /// No space, memory or file handles are left.
    Exhausted,
    /// The store rejected a statement or a row for good.
    Rejected,
    /// Reading or writing a local file failed.
    Io,
    /// The user or the system asked to stop.
    Interrupted,
    /// It is unclear who owns the data or the run. Never retried.
    Ambiguous,
    /// The program contradicts itself: a defect.
    Internal,
}

/// What can be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same call may succeed later.
    Retry,
    /// The user can change something; the error's hint says what.
    Fix,
    /// Nothing will help at this place: stop and report.
    Halt,
    /// Ownership is unclear: a person must look. Never retried.
    Investigate,
}

impl Kind {
    /// What to do about an error of this kind.
    pub fn remedy(self) -> Remedy {
        match self {
            Kind::Unavailable => Remedy::Retry,
            Kind::Config
            | Kind::NotFound
            | Kind::AlreadyExists
            | Kind::Permission
            | Kind::Busy
            | Kind::Unsupported
            | Kind::Refused
            | Kind::Changed
            | Kind::Exhausted => Remedy::Fix,
            Kind::Corrupt
            | Kind::Different
            | Kind::Rejected
            | Kind::Io
            | Kind::Interrupted
            | Kind::Internal => Remedy::Halt,
            Kind::Ambiguous => Remedy::Investigate,
        }
    }

    /// The process exit code: 1 is a definite no, 2 is failed or unproven.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Refused | Kind::Different | Kind::Changed => 1,
            Kind::Config
            | Kind::NotFound
            | Kind::AlreadyExists
            | Kind::Permission
            | Kind::Unavailable
            | Kind::Busy
            | Kind::Corrupt
            | Kind::Unsupported
            | Kind::Exhausted
            | Kind::Rejected
            | Kind::Io
            | Kind::Interrupted
            | Kind::Ambiguous
            | Kind::Internal => 2,
        }
    }
}

/// What an error is about. Empty parts are not printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Subject {
    /// The store, file or URL (without its password).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub store: String,
    /// The table.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub table: String,
    /// The row's key, as `name=value`, escaped and shortened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The column.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub column: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A row without a key says itself that it is one: its number follows.
        let row = if self.key.starts_with("row ") { "" } else { "row " };
        let parts = [("", &self.store), ("table ", &self.table), (row, &self.key), ("column ", &self.column)];
        let mut first = true;
        for (label, part) in parts {
            if !part.is_empty() {
                write!(f, "{}{label}{part}", if first { "" } else { ", " })?;
                first = false;
            }
        }
        Ok(())
    }
}

/// The one error type. Build it with [`Error::new`] and the `with`-like methods.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: Kind,
    operation: String,
    subject: Subject,
    detail: String,
    hint: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` met while doing `operation` (a verb phrase, such as "open the source").
    pub fn new(kind: Kind, operation: impl Into<String>) -> Error {
        Error {
            inner: Box::new(Inner {
                kind,
                operation: operation.into(),
                subject: Subject::default(),
                detail: String::new(),
                hint: String::new(),
                source: None,
            }),
        }
    }

    /// Says which store, file or URL it was.
    pub fn store(mut self, store: impl Into<String>) -> Error {
        self.inner.subject.store = store.into();
        self
    }

    /// Says which table it was.
    pub fn table(mut self, table: impl Into<String>) -> Error {
        self.inner.subject.table = table.into();
        self
    }

    /// Says which row it was.
    pub fn key(mut self, key: impl Into<String>) -> Error {
        self.inner.subject.key = key.into();
        self
    }

    /// Says which column it was.
    pub fn column(mut self, column: impl Into<String>) -> Error {
        self.inner.subject.column = column.into();
        self
    }

    /// Says why, in a sentence.
    pub fn detail(mut self, detail: impl Into<String>) -> Error {
        self.inner.detail = detail.into();
        self
    }

    /// Says what the user can do.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.inner.hint = hint.into();
        self
    }

    /// Keeps the cause.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.inner.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// What was being done.
    pub fn operation(&self) -> &str {
        &self.inner.operation
    }

    /// What it was done on.
    pub fn subject(&self) -> &Subject {
        &self.inner.subject
    }

    /// Why it failed; may be empty.
    pub fn why(&self) -> &str {
        &self.inner.detail
    }

    /// What to do; may be empty.
    pub fn what_to_do(&self) -> &str {
        &self.inner.hint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.inner.operation)?;
        let subject = self.inner.subject.to_string();
        if !subject.is_empty() {
            write!(f, " ({subject})")?;
        }
        if !self.inner.detail.is_empty() {
            write!(f, ": {}", self.inner.detail)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.inner.kind)?;
        if !self.inner.hint.is_empty() {
            write!(f, " (hint: {})", self.inner.hint)?;
        }
        if let Some(source) = &self.inner.source {
            write!(f, " [cause: {source}]")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_ref().map(|cause| cause.as_ref() as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_its_key_or_by_its_number() {
        let named = |key: &str| Error::new(Kind::Refused, "read rows").table("t").key(key).to_string();
        assert_eq!(named("id=4"), "cannot read rows (table t, row id=4)");
        assert_eq!(named("row 4"), "cannot read rows (table t, row 4)");
    }
}
