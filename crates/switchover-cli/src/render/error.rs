//! Errors as users read them: what cannot be done, on what, why, the causes, and what to do.
//!
//! Invariants: whatever is printed went through [`scrub`], so that a cause's text with a URL in it
//! shows no password, and through [`shown_lines`], so that a value cannot steer the terminal.

use super::layout::{WIDTH, shown_lines, wrap};
use crate::config::scrub;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use std::error::Error as StdError;
use std::fmt;
use switchover_core::Error;

/// How to write an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// For a file, a pipe, or a terminal without colours.
    Plain,
    /// For a terminal.
    Terminal,
    /// One JSON object, for `--progress json`.
    Json,
}

/// The text of an error, ending in a line break.
pub(crate) fn render(error: &Error, style: Style) -> String {
    match style {
        Style::Plain => plain(error),
        Style::Terminal => terminal(error),
        Style::Json => json(error),
    }
}

fn clean(text: impl fmt::Display) -> String {
    shown_lines(&scrub(&text.to_string()))
}

fn headline(error: &Error) -> String {
    let subject = error.subject().to_string();
    let subject = if subject.is_empty() { subject } else { format!(" ({subject})") };
    clean(format!("cannot {}{subject}", error.operation()))
}

/// The texts below the error, from the nearest cause to the root; one that only repeats what was
/// said above it is left away.
fn causes(error: &Error) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = clean(cause);
        let said = found.last().map_or_else(|| clean(error), Clone::clone);
        if !text.is_empty() && !said.ends_with(&text) {
            found.push(text);
        }
        next = cause.source();
    }
    found
}

fn plain(error: &Error) -> String {
    let mut out = String::new();
    paragraph(&mut out, "error: ", &headline(error));
    if !error.why().is_empty() {
        paragraph(&mut out, "  ", &clean(error.why()));
    }
    for cause in causes(error) {
        paragraph(&mut out, "  because: ", &cause);
    }
    if !error.what_to_do().is_empty() {
        paragraph(&mut out, "hint: ", &clean(error.what_to_do()));
    }
    out
}

/// Text behind a label, wrapped; its further lines stand two blanks in, or under the label's end.
fn paragraph(out: &mut String, label: &str, text: &str) {
    let indent =
        if label.trim().is_empty() { label.len() } else { 2 + (label.len() - label.trim_start().len()) };
    let mut first = true;
    for line in text.lines() {
        for piece in wrap(line, WIDTH - label.len().max(indent)) {
            let before = if first { label.to_owned() } else { " ".repeat(indent) };
            out.push_str(format!("{before}{piece}").trim_end());
            out.push('\n');
            first = false;
        }
    }
}

fn terminal(error: &Error) -> String {
    let mut below: Option<Box<Shown>> = None;
    let detail = (!error.why().is_empty()).then(|| clean(error.why()));
    for text in causes(error).into_iter().rev().chain(detail) {
        below = Some(Box::new(Shown { text, hint: None, below }));
    }
    let hint = (!error.what_to_do().is_empty()).then(|| clean(error.what_to_do()));
    let top = Shown { text: headline(error), hint, below };
    let mut out = String::new();
    let mut theme = GraphicalTheme::unicode();
    theme.characters.error = "error:".into();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH);
    match handler.render_report(&mut out, &top) {
        Ok(()) => out.trim_start().to_owned(),
        Err(_) => plain(error),
    }
}

/// What miette draws: texts that are clean already.
#[derive(Debug)]
struct Shown {
    text: String,
    hint: Option<String>,
    below: Option<Box<Shown>>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Shown {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.below.as_deref().map(|below| below as &(dyn StdError + 'static))
    }
}

impl Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display + 'a>)
    }
}

fn json(error: &Error) -> String {
    let subject = error.subject();
    let value = serde_json::json!({
        "event": "error",
        "kind": error.kind(),
        "exit_code": error.kind().exit_code(),
        "operation": clean(error.operation()),
        "store": clean(&subject.store),
        "table": subject.table,
        "key": subject.key,
        "column": subject.column,
        "detail": clean(error.why()),
        "causes": causes(error),
        "hint": clean(error.what_to_do()),
    });
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchover_core::Kind;

    fn sample() -> Error {
        let root = std::io::Error::other("could not connect to postgres://app:s3cret@db/app\u{1b}[2J");
        let cause = Error::new(Kind::Unavailable, "open a connection").because(root);
        Error::new(Kind::Refused, "copy the rows")
            .store("postgres://app@db/app")
            .table("messages")
            .key("id=7")
            .column("body")
            .detail("the text holds a NUL character, which no text of the target can hold, and this sentence is long")
            .hint("choose --policy quarantine, or clean the row; password=s3cret")
            .because(cause)
    }

    #[test]
    fn plain_text() {
        insta::assert_snapshot!(render(&sample(), Style::Plain));
    }

    #[test]
    fn no_style_shows_a_secret_or_steers_the_terminal() {
        for style in [Style::Plain, Style::Terminal, Style::Json] {
            let text = render(&sample(), style);
            assert!(!text.contains("s3cret") && !text.contains("\u{1b}[2J"), "{text}");
            assert!(text.contains("messages") && text.contains("quarantine"), "{text}");
        }
        assert_eq!(render(&sample(), Style::Json).lines().count(), 1);
    }
}
