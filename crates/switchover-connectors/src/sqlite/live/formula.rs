//! Expressions that indexes, generated columns and CHECKs compute of a row: which columns they name, whether they compare,
//! and whether they may fail. What is not understood does all of it.

use super::super::ddl;
use super::super::fragment::closing;
use super::super::inspect::Info;
use super::super::quote::literal;
use switchover_core::expr::{BinaryOp, Expr};

/// What a statement may call the row's own number, where no column is called so.
const OWN_NUMBER: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// Functions that no value makes fail. Any other may, as those of JSON do for a text that is none.
const NEVER_FAILING: &[&str] = &[
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "format",
    "hex",
    "ifnull",
    "iif",
    "instr",
    "json_valid",
    "length",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "octet_length",
    "printf",
    "quote",
    "replace",
    "round",
    "rtrim",
    "sign",
    "substr",
    "substring",
    "trim",
    "typeof",
    "unicode",
    "upper",
];

/// An expression over a row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Formula {
    /// As it is written, with its texts in single quotes.
    pub(super) text: String,
    /// The columns that it names.
    pub(super) columns: Vec<String>,
    /// Whether it compares, which is where a column's affinity and collation count.
    pub(super) compares: bool,
    /// Whether there may be rows of which it cannot be computed, so that SQLite ends the statement.
    pub(super) may_fail: bool,
}

impl Formula {
    /// Of its text, over a table of these columns.
    pub(super) fn new(text: &str, columns: &[Info]) -> Formula {
        let mut all: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        all.extend(own_number(columns).map(str::to_owned));
        let text = &single_quoted(text, &all);
        let (mut named, mut compares, mut may_fail, mut known) = (Vec::new(), false, false, true);
        ddl::parse_expression(text, &all).visit(&mut |part| match part {
            Expr::Column(name) => named.push(name.clone()),
            Expr::Binary(
                BinaryOp::Eq
                | BinaryOp::Ne
                | BinaryOp::Lt
                | BinaryOp::Le
                | BinaryOp::Gt
                | BinaryOp::Ge
                | BinaryOp::Is
                | BinaryOp::IsNot,
                ..,
            )
            | Expr::In(..)
            | Expr::Between(..)
            | Expr::Case(Some(_), ..) => compares = true,
            Expr::Binary(BinaryOp::JsonGet | BinaryOp::JsonGetText, ..) => may_fail = true,
            Expr::Call(name, _) => {
                compares |= matches!(name.as_str(), "max" | "min" | "nullif");
                may_fail |= !NEVER_FAILING.contains(&name.as_str());
            }
            Expr::Opaque(..) => known = false,
            _ => {}
        });
        named.sort_unstable();
        named.dedup();
        if known {
            Formula { text: text.to_owned(), columns: named, compares, may_fail }
        } else {
            let named = all.into_iter().filter(|name| may_name(text, name)).collect();
            Formula { text: text.to_owned(), columns: named, compares: true, may_fail: true }
        }
    }

    /// Whether it names one of these columns.
    pub(super) fn names_one_of(&self, columns: &[String]) -> bool {
        self.columns.iter().any(|column| columns.contains(column))
    }
}

/// An expression without a text in double quotes. SQLite takes a word there that is no column's name for a text in any schema that it
/// reads, and in a trigger's program only where it is built or set so (`SQLITE_DQS`), which the application's need not be. The
/// parser printed the expression, so it holds no comments.
fn single_quoted(expression: &str, columns: &[String]) -> String {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
    let (mut written, mut rest, mut before) = (String::new(), expression, String::new());
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' | '`' => closing(rest, first),
            '[' => rest.find(']').map(|at| at + 1),
            c if is_word(c) => rest.find(|c| !is_word(c)),
            c => Some(c.len_utf8()),
        };
        let (token, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let word = token
            .strip_prefix('"')
            .and_then(|word| word.strip_suffix('"'))
            .map(|word| word.replace("\"\"", "\""));
        // A function's, a table's, a type's and a collation's name can be in quotes too.
        let is_other =
            behind.trim_start().starts_with(['(', '.']) || matches!(&*before, "." | "as" | "collate");
        match word {
            Some(word) if !is_other && !columns.iter().any(|name| name.eq_ignore_ascii_case(&word)) => {
                written.push_str(&literal(&word));
            }
            _ => written.push_str(token),
        }
        if !first.is_whitespace() {
            before = token.to_ascii_lowercase();
        }
        rest = behind;
    }
    written
}

/// Whether a text may name a column: it does not where the name is no word of it.
fn may_name(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_ascii_lowercase(), name.to_ascii_lowercase());
    let goes_on = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || next == '_');
    // In quotes it may be written otherwise.
    let quoted = name.contains(['"', '`', '\'']);
    quoted
        || text.match_indices(&name).any(|(at, _)| {
            !goes_on(text[..at].chars().next_back()) && !goes_on(text[at + name.len()..].chars().next())
        })
}

/// The names by which a statement reaches the row's own number beside a column's.
pub(super) fn own_number(columns: &[Info]) -> impl Iterator<Item = &'static str> {
    let taken = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    OWN_NUMBER.into_iter().filter(move |name| !taken(name))
}
