//! The parser's expression tree, turned into the neutral one.
//!
//! The match over the parser's nodes is complete: a node without an exact neutral counterpart
//! becomes [`Expr::Opaque`] with its text and the reason.

use sqlite3_parser::ast::{
    Expr as Sql, FunctionTail, LikeOperator, Literal, Operator, Type, TypeSize, UnaryOperator,
};
use switchover_core::expr::{BinaryOp, Expr, NowKind, UnaryOp};

use super::name::{Quoting, collation, plain, plain_id, unquote};

/// Deepest nesting that is followed. SQLite's own limit is 1,000; this one keeps the recursion here,
/// in the renderer and in the plan's encoder small.
const DEPTH_MAX: usize = 200;

/// Most significant digits of a floating point literal that every correct reader agrees on.
const FLOAT_DIGITS_MAX: usize = 17;

/// What the names in an expression may mean.
pub(super) struct Names<'a> {
    tables: Vec<(&'a str, &'a [String])>,
    default: bool,
    qualify: bool,
    /// What a view calls its outputs.
    outputs: Vec<String>,
}

impl<'a> Names<'a> {
    /// The columns of a table without a name.
    pub(super) fn of_columns(columns: &'a [String]) -> Self {
        Self { tables: vec![("", columns)], default: false, qualify: false, outputs: Vec::new() }
    }

    /// The columns of a table, also as `table.column`.
    pub(super) fn of_table(table: &'a str, columns: &'a [String]) -> Self {
        Self { tables: vec![(table, columns)], default: false, qualify: false, outputs: Vec::new() }
    }

    /// Nothing, as in a default: a bare word is a string.
    pub(super) fn of_default() -> Self {
        Self { tables: Vec::new(), default: true, qualify: false, outputs: Vec::new() }
    }

    /// Several tables of a view, by the name that they have in it, and what it calls its outputs.
    pub(super) fn of_view(tables: Vec<(&'a str, &'a [String])>, outputs: Vec<String>) -> Self {
        Self { tables, default: false, qualify: true, outputs }
    }

    /// Resolves a name; `None` if no table has it, `Err` if more than one does.
    fn find(&self, table: Option<&str>, column: &str) -> Result<Option<Expr>, &'static str> {
        let mut found = None;
        for (name, columns) in &self.tables {
            if table.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(name)) {
                continue;
            }
            if let Some(exact) = columns.iter().find(|c| c.eq_ignore_ascii_case(column)) {
                if found.is_some() {
                    return Err("the column's name is ambiguous");
                }
                found = Some(if self.qualify {
                    Expr::Qualified((*name).to_owned(), exact.clone())
                } else {
                    Expr::Column(exact.clone())
                });
            }
        }
        Ok(found)
    }
}

/// Converts an expression.
pub(super) fn expr(sql: &Sql<'_>, names: &Names<'_>) -> Expr {
    node(sql, names, 0)
}

/// A declared type with its size, as `PRAGMA table_xinfo` spells it.
pub(super) fn type_text(declared: &Type<'_>) -> String {
    let words: Vec<String> = if declared.name.contains(['"', '\'', '`', '[']) && !declared.name.contains(' ')
    {
        vec![unquote(declared.name).0]
    } else {
        vec![declared.name.to_owned()]
    };
    let name = words.concat();
    match &declared.size {
        None => name,
        Some(TypeSize::MaxSize(size)) => format!("{name}({size})"),
        Some(TypeSize::TypeSize(precision, scale)) => format!("{name}({precision},{scale})"),
    }
}

fn opaque(sql: &Sql<'_>, reason: &str) -> Expr {
    Expr::Opaque(sql.to_string().trim().to_owned(), reason.to_owned())
}

fn node(sql: &Sql<'_>, names: &Names<'_>, depth: usize) -> Expr {
    if depth > DEPTH_MAX {
        return opaque(sql, "it is nested too deeply");
    }
    let go = |inner: &Sql<'_>| node(inner, names, depth + 1);
    let boxed = |inner: &Sql<'_>| Box::new(go(inner));
    match sql {
        Sql::Between { lhs, not, start, end } => Expr::Between(boxed(lhs), boxed(start), boxed(end), *not),
        Sql::Binary(left, operator, right) => binary(go(left), *operator, go(right)),
        Sql::Case { base, when_then_pairs, else_expr } => Expr::Case(
            base.map(boxed),
            when_then_pairs.iter().map(|(when, then)| (go(when), go(then))).collect(),
            else_expr.map(boxed),
        ),
        Sql::Cast { expr, type_name } => {
            Expr::Cast(boxed(expr), type_name.as_ref().map(type_text).unwrap_or_default())
        }
        Sql::Collate(inner, name) => Expr::Collate(boxed(inner), collation(name)),
        Sql::FunctionCall { name, distinctness, args, order_by, filter_over } => {
            if distinctness.is_some() || order_by.is_some() || has_tail(filter_over.as_ref()) {
                return opaque(sql, "an aggregate with DISTINCT, ORDER BY, FILTER or OVER is not translated");
            }
            let args = args.unwrap_or(&[]).iter().map(go).collect();
            Expr::Call(plain_id(name).to_ascii_lowercase(), args)
        }
        Sql::FunctionCallStar { name, filter_over } => {
            let name = plain_id(name).to_ascii_lowercase();
            if name == "count" && !has_tail(filter_over.as_ref()) {
                // An aggregate's only form without an argument: count(*).
                Expr::Call(name, Vec::new())
            } else {
                opaque(sql, "a call with * is not translated")
            }
        }
        Sql::Id(id) => identifier(sql, id.0, names),
        Sql::Name(name) => identifier(sql, name.0, names),
        Sql::Qualified(table, column) => match names.find(Some(&plain(table)), &plain(column)) {
            Ok(Some(found)) => found,
            Ok(None) => opaque(sql, "the name is no column of this table"),
            Err(reason) => opaque(sql, reason),
        },
        Sql::DoublyQualified(..) => opaque(sql, "a column named with its schema is not translated"),
        Sql::InList { lhs, not, rhs } => {
            Expr::In(boxed(lhs), rhs.unwrap_or(&[]).iter().map(go).collect(), *not)
        }
        Sql::IsNull(inner) => Expr::IsNull(boxed(inner), false),
        Sql::NotNull(inner) => Expr::IsNull(boxed(inner), true),
        Sql::Like { lhs, not, op, rhs, escape } => match op {
            LikeOperator::Like => Expr::Like(boxed(lhs), boxed(rhs), escape.map(boxed), *not),
            LikeOperator::Glob if escape.is_none() => Expr::Glob(boxed(lhs), boxed(rhs), *not),
            LikeOperator::Glob => opaque(sql, "GLOB with ESCAPE is not translated"),
            LikeOperator::Match => opaque(sql, "MATCH has no counterpart"),
            LikeOperator::Regexp => opaque(sql, "REGEXP means what the application registers for it"),
        },
        Sql::Literal(literal) => self::literal(sql, literal),
        Sql::Parenthesized(items) => match items.as_slice() {
            [one] => go(one),
            _ => opaque(sql, "a row value is not translated"),
        },
        Sql::Unary(operator, inner) => unary(*operator, inner, go(inner)),
        Sql::Exists(_) | Sql::InSelect { .. } | Sql::InTable { .. } | Sql::Subquery(_) => {
            opaque(sql, "a subquery is not translated")
        }
        Sql::Raise(..) => opaque(sql, "RAISE belongs in a trigger"),
        Sql::Variable(_) => opaque(sql, "a parameter has no value here"),
    }
}

fn has_tail(tail: Option<&FunctionTail<'_>>) -> bool {
    tail.is_some_and(|tail| tail.filter_clause.is_some() || tail.over_clause.is_some())
}

fn identifier(sql: &Sql<'_>, raw: &str, names: &Names<'_>) -> Expr {
    let (text, quoting) = unquote(raw);
    match names.find(None, &text) {
        Ok(Some(found)) => return found,
        Err(reason) => return opaque(sql, reason),
        Ok(None) => {}
    }
    if ["rowid", "oid", "_rowid_"].iter().any(|alias| text.eq_ignore_ascii_case(alias)) && !names.default {
        return opaque(sql, "the hidden rowid is no column of the target");
    }
    if quoting == Quoting::Bare && text.eq_ignore_ascii_case("true") {
        return Expr::Bool(true);
    }
    if quoting == Quoting::Bare && text.eq_ignore_ascii_case("false") {
        return Expr::Bool(false);
    }
    // SQLite looks there for a name before it takes double quotes for those of a text.
    if quoting == Quoting::Double && names.outputs.iter().any(|output| output.eq_ignore_ascii_case(&text)) {
        return opaque(sql, "the name is that of an output of the view");
    }
    if names.default || quoting == Quoting::Double {
        return Expr::Text(text);
    }
    opaque(sql, "the name is no column of this table")
}

fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    let op = match operator {
        Operator::Is | Operator::IsNot => {
            let not = operator == Operator::IsNot;
            // `x IS NULL` reaches here as an infix operator with a NULL.
            if right == Expr::Null {
                return Expr::IsNull(Box::new(left), not);
            }
            if not { BinaryOp::IsNot } else { BinaryOp::Is }
        }
        Operator::Add => BinaryOp::Add,
        Operator::And => BinaryOp::And,
        Operator::ArrowRight => BinaryOp::JsonGet,
        Operator::ArrowRightShift => BinaryOp::JsonGetText,
        Operator::BitwiseAnd => BinaryOp::BitAnd,
        Operator::BitwiseOr => BinaryOp::BitOr,
        Operator::Concat => BinaryOp::Concat,
        Operator::Equals => BinaryOp::Eq,
        Operator::Divide => BinaryOp::Div,
        Operator::Greater => BinaryOp::Gt,
        Operator::GreaterEquals => BinaryOp::Ge,
        Operator::LeftShift => BinaryOp::Shl,
        Operator::Less => BinaryOp::Lt,
        Operator::LessEquals => BinaryOp::Le,
        Operator::Modulus => BinaryOp::Rem,
        Operator::Multiply => BinaryOp::Mul,
        Operator::NotEquals => BinaryOp::Ne,
        Operator::Or => BinaryOp::Or,
        Operator::RightShift => BinaryOp::Shr,
        Operator::Subtract => BinaryOp::Sub,
    };
    Expr::Binary(op, Box::new(left), Box::new(right))
}

fn unary(operator: UnaryOperator, source: &Sql<'_>, inner: Expr) -> Expr {
    match operator {
        UnaryOperator::Negative => {
            // The one integer whose magnitude is no 64-bit integer.
            if matches!(source, Sql::Literal(Literal::Numeric("9223372036854775808"))) {
                return Expr::Int(i64::MIN);
            }
            match inner {
                Expr::Int(n) => n
                    .checked_neg()
                    .map_or_else(|| Expr::Unary(UnaryOp::Minus, Box::new(Expr::Int(n))), Expr::Int),
                // SQLite has no literal for the negative zero: -0.0 is stored and compared as 0.0.
                Expr::Float(0.0) => Expr::Float(0.0),
                Expr::Float(f) => Expr::Float(-f),
                other => Expr::Unary(UnaryOp::Minus, Box::new(other)),
            }
        }
        UnaryOperator::Positive => match inner {
            Expr::Int(_) | Expr::Float(_) => inner,
            other => Expr::Unary(UnaryOp::Plus, Box::new(other)),
        },
        UnaryOperator::Not => Expr::Unary(UnaryOp::Not, Box::new(inner)),
        UnaryOperator::BitwiseNot => Expr::Unary(UnaryOp::BitNot, Box::new(inner)),
    }
}

fn literal(sql: &Sql<'_>, literal: &Literal<'_>) -> Expr {
    match literal {
        Literal::Numeric(text) => {
            number(text).unwrap_or_else(|| opaque(sql, "the number is not read exactly"))
        }
        Literal::String(text) => Expr::Text(unquote(text).0),
        Literal::Blob(hex) => blob(hex).map_or_else(|| opaque(sql, "the blob is malformed"), Expr::Blob),
        Literal::Keyword(_) => opaque(sql, "a keyword stands where a value is expected"),
        Literal::Null => Expr::Null,
        Literal::CurrentDate => Expr::Now(NowKind::Date),
        Literal::CurrentTime => Expr::Now(NowKind::Time),
        Literal::CurrentTimestamp => Expr::Now(NowKind::Timestamp),
    }
}

fn number(text: &str) -> Option<Expr> {
    let digits = text.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        // SQLite reads up to sixteen hexadecimal digits as two's complement.
        return u64::from_str_radix(hex, 16).ok().map(|bits| Expr::Int(bits.cast_signed()));
    }
    if digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(n) = digits.parse::<i64>()
    {
        return Some(Expr::Int(n));
    }
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let significant = mantissa.replace('.', "");
    if significant.trim_matches('0').len() > FLOAT_DIGITS_MAX {
        return None;
    }
    digits.parse::<f64>().ok().map(Expr::Float)
}

fn blob(hex: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    hex.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
