//! Defaults as PostgreSQL's own deparser writes them: values that are stored elsewhere as they would be
//! carried over, and nothing that is computed.

use super::super::shape::Base;
use super::token::{Token, tokens};
use super::{Class, Scope, number, parse};
use switchover_core::datetime;
use switchover_core::expr::Expr;

/// A default, opaque with its reason where the value would be another one.
pub(in super::super) fn default(text: &str, base: &Base, class: Class) -> Expr {
    value(text, base, class).unwrap_or_else(|why| Expr::Opaque(text.to_owned(), why))
}

fn value(text: &str, base: &Base, class: Class) -> Result<Expr, String> {
    if text.starts_with("nextval(") {
        return Err("a sequence numbers it".into());
    }
    let words = tokens(text).ok_or("it is not understood")?;
    // A literal of the column's own type is written as that type's output: the text itself.
    if let [Token::Text(content), Token::Sign(cast), ..] = &words[..]
        && cast == "::"
        && words[2..].iter().all(|word| matches!(word, Token::Name { .. }) || is_type_sign(word))
    {
        return own_literal(content, base, class);
    }
    let scope = Scope { column: &|_| None, value: None };
    let typed = parse(text, &scope).map_err(|why| match why.as_str() {
        _ if text.contains("now()") || text.starts_with("CURRENT_") => {
            "the present time is written in another form elsewhere".to_owned()
        }
        _ => why,
    })?;
    match (typed.class, class) {
        (Class::Nothing, _) => Ok(Expr::Null),
        (Class::Bool, Class::Bool) | (Class::Text, Class::Text | Class::Label) => Ok(typed.expr),
        (from, to) if from.is_number() && to.is_number() => match (&typed.expr, to) {
            (Expr::Float(_), Class::Int) => Err("a fraction in a column of integers".into()),
            (Expr::Int(i), Class::Float) => Ok(Expr::Float(*i as f64)),
            _ => Ok(typed.expr),
        },
        _ => Err("a value of another type than the column's".into()),
    }
}

fn is_type_sign(word: &Token) -> bool {
    matches!(word, Token::Sign(sign) if matches!(&**sign, "." | "[" | "]"))
}

fn own_literal(content: &str, base: &Base, class: Class) -> Result<Expr, String> {
    let text = || Ok(Expr::Text(content.to_owned()));
    match (class, base.name.as_str()) {
        (Class::Text | Class::Label, _) => text(),
        (Class::Bool, _) => match content {
            "t" | "true" => Ok(Expr::Bool(true)),
            "f" | "false" => Ok(Expr::Bool(false)),
            _ => Err("it is no truth value".into()),
        },
        (number_class, _) if number_class.is_number() => match number(content)?.expr {
            Expr::Int(i) if class == Class::Float => Ok(Expr::Float(i as f64)),
            Expr::Float(_) if class == Class::Int => Err("a fraction in a column of integers".into()),
            expr => Ok(expr),
        },
        (_, "json" | "jsonb" | "citext" | "inet" | "cidr" | "interval" | "macaddr") => text(),
        (_, "uuid") if content.len() == 36 && !content.bytes().any(|b| b.is_ascii_uppercase()) => text(),
        (_, "date") if datetime::parse_date(content.as_bytes()).is_some() => text(),
        (_, "timestamp")
            if content.len() == 19 && datetime::parse_timestamp(content.as_bytes()).is_some() =>
        {
            text()
        }
        (_, "_text" | "_varchar" | "_int2" | "_int4" | "_int8" | "_bool" | "_uuid" | "_numeric")
            if content == "{}" =>
        {
            Ok(Expr::Text("[]".into()))
        }
        _ => Err("a literal of its type is written in another form elsewhere".into()),
    }
}
