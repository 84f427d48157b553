//! The error of the test kit: what failed, the detail, and what to do about it.
//!
//! Invariant: it is `Clone`, because one failure to start the shared cluster is told to every test.
//! Absent on purpose: kinds. Nobody acts on these errors but the developer who reads them.

use std::fmt;
use std::process::Output;

/// Something that the harness could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    what: String,
    detail: String,
    hint: Option<String>,
}

impl Error {
    /// An error with its detail.
    pub fn new(what: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self { what: what.into(), detail: detail.to_string().trim().to_owned(), hint: None }
    }

    /// The same error with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A program that ended badly: its standard error is the detail.
    pub(crate) fn from_output(what: impl Into<String>, output: &Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let said = if stderr.trim().is_empty() { stdout } else { stderr };
        Self::new(what, format!("{} ({})", said.trim(), output.status))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
