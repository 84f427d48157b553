//! Neutral expressions as SQLite's SQL: the way back of `ddl`.
//!
//! Invariants: what is rendered means the same as what was read, because the trees came from this very
//! grammar; every operand stands in brackets, so that no precedence matters; what the tree could not say
//! ([`Expr::Opaque`]) is kept as it is written, and only where no name in it can have changed.

use super::quote::{ident, literal};
use std::collections::BTreeSet;
use switchover_core::expr::{BinaryOp, Expr, NowKind, UnaryOp};
use switchover_core::view::{View, ViewJoin};

/// What the names of an expression mean on the target.
pub(super) struct Scope<'a> {
    /// The column of that name, of that table of a view where it names one, quoted.
    pub(super) column: &'a dyn Fn(Option<&str>, &str) -> Option<String>,
    /// Whether every name is on the target what it is on the source.
    pub(super) kept: bool,
    /// The functions that this SQLite has; empty where that is not known.
    pub(super) functions: &'a BTreeSet<String>,
}

/// An expression.
pub(super) fn render(expr: &Expr, scope: &Scope<'_>) -> Result<String, String> {
    let go = |inner: &Expr| operand(inner, scope);
    let not = |not: bool| if not { "NOT " } else { "" };
    Ok(match expr {
        Expr::Null => "NULL".into(),
        Expr::Int(i) => i.to_string(),
        Expr::Float(f) => float(*f),
        Expr::Text(text) if text.contains('\0') => return Err("a text with a NUL is no literal".into()),
        Expr::Text(text) => literal(text),
        Expr::Blob(bytes) => blob(bytes),
        Expr::Bool(b) => if *b { "TRUE" } else { "FALSE" }.into(),
        Expr::Column(name) => {
            (scope.column)(None, name).ok_or_else(|| format!("the column {name} is not moved"))?
        }
        Expr::Qualified(table, name) => (scope.column)(Some(table), name)
            .ok_or_else(|| format!("the column {name} of {table} is not moved"))?,
        Expr::Now(NowKind::Timestamp) => "CURRENT_TIMESTAMP".into(),
        Expr::Now(NowKind::Date) => "CURRENT_DATE".into(),
        Expr::Now(NowKind::Time) => "CURRENT_TIME".into(),
        Expr::Unary(op, inner) => {
            let sign = match op {
                UnaryOp::Minus => "-",
                UnaryOp::Plus => "+",
                UnaryOp::Not => "NOT ",
                UnaryOp::BitNot => "~",
            };
            format!("{sign}{}", go(inner)?)
        }
        Expr::Binary(op, left, right) => format!("{} {} {}", go(left)?, word(*op), go(right)?),
        Expr::IsNull(inner, no) => format!("{} IS {}NULL", go(inner)?, not(*no)),
        Expr::In(inner, list, no) => {
            format!("{} {}IN ({})", go(inner)?, not(*no), renders(list, scope)?)
        }
        Expr::Between(inner, low, high, no) => {
            format!("{} {}BETWEEN {} AND {}", go(inner)?, not(*no), go(low)?, go(high)?)
        }
        Expr::Like(inner, pattern, escape, no) => {
            let escape = match escape {
                Some(escape) => format!(" ESCAPE {}", go(escape)?),
                None => String::new(),
            };
            format!("{} {}LIKE {}{escape}", go(inner)?, not(*no), go(pattern)?)
        }
        Expr::Glob(inner, pattern, no) => format!("{} {}GLOB {}", go(inner)?, not(*no), go(pattern)?),
        Expr::Case(operand, arms, otherwise) => {
            let mut sql = "CASE".to_owned();
            if let Some(operand) = operand {
                sql.push_str(&format!(" {}", go(operand)?));
            }
            for (when, then) in arms {
                sql.push_str(&format!(" WHEN {} THEN {}", go(when)?, go(then)?));
            }
            if let Some(otherwise) = otherwise {
                sql.push_str(&format!(" ELSE {}", go(otherwise)?));
            }
            sql + " END"
        }
        Expr::Cast(inner, ty) => format!("CAST({} AS {})", render(inner, scope)?, ident(ty)),
        Expr::Call(name, arguments) => call(name, arguments, scope)?,
        Expr::Collate(inner, name) => format!("{} COLLATE {}", go(inner)?, collation(name)?),
        Expr::Opaque(text, _) if scope.kept => format!("({text})"),
        Expr::Opaque(text, why) => {
            return Err(format!("names change, or the language does, and in {text}, {why}"));
        }
    })
}

/// An expression as a part of another.
fn operand(expr: &Expr, scope: &Scope<'_>) -> Result<String, String> {
    let sql = render(expr, scope)?;
    Ok(match expr {
        Expr::Int(0..)
        | Expr::Null
        | Expr::Text(_)
        | Expr::Blob(_)
        | Expr::Bool(_)
        | Expr::Column(_)
        | Expr::Qualified(..)
        | Expr::Now(_)
        | Expr::Cast(..)
        | Expr::Call(..) => sql,
        _ => format!("({sql})"),
    })
}

fn renders(list: &[Expr], scope: &Scope<'_>) -> Result<String, String> {
    let all: Result<Vec<String>, String> = list.iter().map(|expr| render(expr, scope)).collect();
    Ok(all?.join(", "))
}

fn call(name: &str, arguments: &[Expr], scope: &Scope<'_>) -> Result<String, String> {
    if !scope.functions.is_empty() && !scope.functions.contains(name) {
        return Err(format!("it calls {name}(), which only the application has"));
    }
    // An aggregate's only form without an argument.
    let arguments = match (name, arguments) {
        ("count", []) => "*".to_owned(),
        _ => renders(arguments, scope)?,
    };
    Ok(format!("{}({arguments})", plain_or_quoted(name)))
}

/// A collation that every SQLite has.
pub(super) fn collation(name: &str) -> Result<&str, String> {
    match name {
        "BINARY" | "NOCASE" | "RTRIM" => Ok(name),
        _ => Err(format!("the collation {name} is the application's own")),
    }
}

fn plain_or_quoted(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        name.to_owned()
    } else {
        ident(name)
    }
}

fn word(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::And => "AND",
        BinaryOp::Or => "OR",
        BinaryOp::Eq => "=",
        BinaryOp::Ne => "<>",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::Is => "IS",
        BinaryOp::IsNot => "IS NOT",
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Rem => "%",
        BinaryOp::Concat => "||",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::Shl => "<<",
        BinaryOp::Shr => ">>",
        BinaryOp::JsonGet => "->",
        BinaryOp::JsonGetText => "->>",
    }
}

fn float(f: f64) -> String {
    match f {
        f64::INFINITY => "9e999".into(),
        f64::NEG_INFINITY => "-9e999".into(),
        // The shortest digits that read back as the same number, with a point or an exponent.
        _ => format!("{f:?}"),
    }
}

fn blob(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut sql = String::with_capacity(bytes.len() * 2 + 3);
    sql.push_str("x'");
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(sql, "{byte:02x}");
    }
    sql.push('\'');
    sql
}

/// A view's query under changed names.
pub(super) fn view(
    query: &View,
    scope: &Scope<'_>,
    table: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let outputs: Result<Vec<String>, String> = (query.outputs.iter())
        .map(|output| Ok(format!("{} AS {}", render(&output.expr, scope)?, ident(&output.name))))
        .collect();
    let mut sql = format!("SELECT {}", outputs?.join(", "));
    for (at, part) in query.tables.iter().enumerate() {
        let name =
            table(&part.table).ok_or_else(|| format!("it reads {}, which is not moved", part.table))?;
        let join = match (at, part.join) {
            (0, _) => " FROM",
            (_, ViewJoin::Inner) => " JOIN",
            (_, ViewJoin::Left) => " LEFT JOIN",
        };
        sql.push_str(&format!("{join} {name} AS {}", ident(&part.alias)));
        if let Some(on) = &part.on {
            sql.push_str(&format!(" ON {}", render(on, scope)?));
        }
    }
    if let Some(filter) = &query.filter {
        sql.push_str(&format!(" WHERE {}", render(filter, scope)?));
    }
    if !query.group_by.is_empty() {
        sql.push_str(&format!(" GROUP BY {}", renders(&query.group_by, scope)?));
    }
    let orders: Result<Vec<String>, String> = (query.order_by.iter())
        .map(|(expr, descending)| {
            Ok(format!("{}{}", render(expr, scope)?, if *descending { " DESC" } else { "" }))
        })
        .collect();
    let orders = orders?;
    if !orders.is_empty() {
        sql.push_str(&format!(" ORDER BY {}", orders.join(", ")));
    }
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::ddl::parse_expression;

    /// What is rendered reads as the same tree, and gives what the original gives.
    fn check(text: &str) {
        let columns = vec!["a".to_owned(), "b c".to_owned()];
        let functions = BTreeSet::new();
        let scope = Scope { column: &|_, name| Some(ident(name)), kept: true, functions: &functions };
        let tree = parse_expression(text, &columns);
        let sql = render(&tree, &scope).expect(text);
        assert_eq!(parse_expression(&sql, &columns), tree, "{text} became {sql}");
        let db = rusqlite::Connection::open_in_memory().expect("memory");
        db.execute_batch("CREATE TABLE t(a TEXT COLLATE NOCASE, \"b c\"); INSERT INTO t VALUES ('X1', 2.5)")
            .expect("a table");
        let value = |sql: &str| -> String {
            let sql = format!("SELECT quote({sql}) || typeof({sql}) FROM t");
            db.query_row(&sql, [], |row| row.get(0)).expect(&sql)
        };
        assert_eq!(value(text), value(&sql), "{text} became {sql}");
    }

    #[test]
    fn expressions_come_back() {
        for text in [
            "a = 'x1'",
            "a || \"b c\" * 2 + 1",
            "-9223372036854775808",
            "- -3",
            "1e300 > .5",
            "9e999",
            "x'00ff'",
            "NOT a IS NULL",
            "a IN ('a', 'X1') AND \"b c\" NOT BETWEEN 1 AND 2",
            "a LIKE 'x\\_%' ESCAPE '\\' OR a GLOB '[A-Z]*'",
            "CASE a WHEN 'X1' THEN 1 ELSE 2 END",
            "CASE WHEN a > 'b' THEN NULL END",
            "CAST(a AS VARCHAR(10))",
            "lower(a) COLLATE BINARY = 'x1'",
            "coalesce(NULL, \"b c\", TRUE)",
            "a IS NOT 'y' COLLATE NOCASE",
            "~1 << 2 | 3 & 4 >> 1 % 5",
            "(a, 1) = ('x1', 1)",
            "'it''s'",
        ] {
            check(text);
        }
    }

    #[test]
    fn what_is_not_understood_is_kept_only_under_its_own_names() {
        let functions: BTreeSet<String> = ["lower".to_owned()].into();
        let scope = |kept| Scope { column: &|_, name| Some(ident(name)), kept, functions: &functions };
        let tree = parse_expression("(a, 1) = ('x', 1)", &["a".to_owned()]);
        assert!(render(&tree, &scope(true)).is_ok() && render(&tree, &scope(false)).is_err());
        let own = parse_expression("my_fn(a)", &["a".to_owned()]);
        assert!(render(&own, &scope(true)).expect_err("unknown").contains("only the application has"));
    }
}
