//! Expressions as PostgreSQL's own deparser writes them, into neutral ones that mean the same in a store
//! that keeps the values as numbers, truth values and texts.
//!
//! Understood are comparisons of columns with literals and with each other, `IN`, `IS NULL`, lengths of
//! texts, and what AND, OR and NOT make of them. Everything else becomes [`Expr::Opaque`] with the reason:
//! the order of texts (a collation's), times (compared as text elsewhere), patterns, arithmetic, functions.

mod default;
mod token;

use super::shape::Base;
pub(super) use default::default;
use switchover_core::decimal;
use switchover_core::expr::{BinaryOp, Expr, UnaryOp};
use switchover_core::reverse::FLOAT_DIGITS_MAX;
use token::{Token, tokens};

/// What a value is, as far as its comparison goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Integers.
    Int,
    /// Binary fractions.
    Float,
    /// Decimal numbers.
    Decimal,
    /// Truth values.
    Bool,
    /// Texts that are equal when their bytes are.
    Text,
    /// Labels of an enumeration.
    Label,
    /// NULL as a literal.
    Nothing,
    /// A type whose comparison is its own.
    Other,
}

impl Class {
    /// The class of a column; `plain` is false where its collation holds unequal texts for equal.
    pub(super) fn of(base: &Base, plain: bool) -> Class {
        match base.name.as_str() {
            _ if base.labels.is_some() => Class::Label,
            "int2" | "int4" | "int8" => Class::Int,
            "float4" | "float8" => Class::Float,
            "numeric" => Class::Decimal,
            "bool" => Class::Bool,
            "text" | "varchar" if plain => Class::Text,
            _ => Class::Other,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Class::Int | Class::Float | Class::Decimal)
    }
}

/// An expression with what it is.
#[derive(Debug, Clone)]
struct Typed {
    expr: Expr,
    class: Class,
    literal: bool,
}

/// What a name means.
pub(super) struct Scope<'a> {
    /// The class of a column; `None` when there is none of that name.
    pub(super) column: &'a dyn Fn(&str) -> Option<Class>,
    /// The column that `VALUE` stands for, in a domain's rule.
    pub(super) value: Option<&'a str>,
}

/// A condition, opaque with its reason where it is not understood exactly.
pub(super) fn condition(text: &str, scope: &Scope<'_>) -> Expr {
    let parsed = parse(text, scope).and_then(|typed| match typed.class {
        Class::Bool => Ok(typed.expr),
        _ => Err("it is no condition".to_owned()),
    });
    parsed.unwrap_or_else(|why| Expr::Opaque(text.to_owned(), why))
}

fn parse(text: &str, scope: &Scope<'_>) -> Result<Typed, String> {
    let tokens = tokens(text).ok_or("it is not understood")?;
    let mut parser = Parser { tokens: &tokens, at: 0, scope };
    let typed = parser.any_of()?;
    if parser.at < tokens.len() {
        return Err(parser.stuck());
    }
    Ok(typed)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    scope: &'a Scope<'a>,
}

type Answer = Result<Typed, String>;

impl Parser<'_> {
    fn peek_sign(&self) -> &str {
        match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) => sign,
            _ => "",
        }
    }

    fn peek_word(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Name { text, quoted: false }) if text.eq_ignore_ascii_case(word))
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = self.peek_sign() == sign;
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(self.stuck()) }
    }

    fn stuck(&self) -> String {
        match self.tokens.get(self.at) {
            Some(Token::Name { text, .. }) => format!("{text} is not translated"),
            Some(Token::Sign(sign)) => format!("the operator {sign} is not translated"),
            _ => "it is not understood".into(),
        }
    }

    fn any_of(&mut self) -> Answer {
        self.chain("OR", BinaryOp::Or, Self::all_of)
    }

    fn all_of(&mut self) -> Answer {
        self.chain("AND", BinaryOp::And, Self::negated)
    }

    fn chain(&mut self, word: &str, op: BinaryOp, next: fn(&mut Self) -> Answer) -> Answer {
        let mut left = next(self)?;
        while self.word(word) {
            let right = next(self)?;
            if left.class != Class::Bool || right.class != Class::Bool {
                return Err(format!("{word} of other than truth values"));
            }
            left = truth(Expr::Binary(op, Box::new(left.expr), Box::new(right.expr)));
        }
        Ok(left)
    }

    fn negated(&mut self) -> Answer {
        if !self.word("NOT") {
            return self.compared();
        }
        let inner = self.negated()?;
        if inner.class != Class::Bool {
            return Err("NOT of other than a truth value".into());
        }
        Ok(truth(Expr::Unary(UnaryOp::Not, Box::new(inner.expr))))
    }

    fn compared(&mut self) -> Answer {
        let left = self.cast()?;
        if self.word("IS") {
            let not = self.word("NOT");
            return if self.word("NULL") {
                Ok(truth(Expr::IsNull(Box::new(left.expr), not)))
            } else {
                Err(self.stuck())
            };
        }
        let op = match self.peek_sign() {
            "=" => BinaryOp::Eq,
            "<>" => BinaryOp::Ne,
            "<" => BinaryOp::Lt,
            "<=" => BinaryOp::Le,
            ">" => BinaryOp::Gt,
            ">=" => BinaryOp::Ge,
            _ => return Ok(left),
        };
        self.at += 1;
        let member = match op {
            BinaryOp::Eq if self.word("ANY") => Some(false),
            BinaryOp::Ne if self.word("ALL") => Some(true),
            _ => None,
        };
        if let Some(not) = member {
            self.expect("(")?;
            let items = self.list()?;
            self.expect(")")?;
            for item in &items {
                comparable(BinaryOp::Eq, &left, item)?;
            }
            let items = items.into_iter().map(|item| item.expr).collect();
            return Ok(truth(Expr::In(Box::new(left.expr), items, not)));
        }
        let right = self.cast()?;
        comparable(op, &left, &right)?;
        Ok(truth(Expr::Binary(op, Box::new(left.expr), Box::new(right.expr))))
    }

    /// `ARRAY[…]`, in brackets and with a cast of the whole perhaps.
    fn list(&mut self) -> Result<Vec<Typed>, String> {
        if self.sign("(") {
            let items = self.list()?;
            self.expect(")")?;
            if self.sign("::") {
                let ty = self.type_name()?;
                let same = items.iter().all(|item| item.class == Class::Text) && ty == "text[]"
                    || items.iter().all(|item| item.class == Class::Label);
                if !same {
                    return Err(format!("a list as {ty} is not translated"));
                }
            }
            return Ok(items);
        }
        if !self.word("ARRAY") {
            return Err(self.stuck());
        }
        self.expect("[")?;
        let mut items = vec![self.cast()?];
        while self.sign(",") {
            items.push(self.cast()?);
        }
        self.expect("]")?;
        if items.iter().any(|item| !item.literal) {
            return Err("a list of other than literals".into());
        }
        Ok(items)
    }

    fn cast(&mut self) -> Answer {
        let mut typed = self.primary()?;
        while self.sign("::") {
            let ty = self.type_name()?;
            typed = cast(typed, &ty)?;
        }
        Ok(typed)
    }

    fn primary(&mut self) -> Answer {
        if self.sign("(") {
            let inner = self.any_of()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let minus = self.sign("-");
        let token = self.tokens.get(self.at).cloned();
        if minus && !matches!(token, Some(Token::Number(_))) {
            return Err("arithmetic is not translated".into());
        }
        let stuck = self.stuck();
        self.at += 1;
        match token {
            Some(Token::Number(digits)) => number(&if minus { format!("-{digits}") } else { digits }),
            Some(Token::Text(text)) => Ok(literal(Expr::Text(text), Class::Text)),
            Some(Token::Name { text, quoted: false }) if text == "true" || text == "false" => {
                Ok(literal(Expr::Bool(text == "true"), Class::Bool))
            }
            Some(Token::Name { text, quoted: false }) if text == "NULL" => {
                Ok(literal(Expr::Null, Class::Nothing))
            }
            Some(Token::Name { text, quoted: false }) if self.peek_sign() == "(" => self.call(&text),
            Some(Token::Name { text, quoted: false }) if text == "VALUE" && self.scope.value.is_some() => {
                self.column(self.scope.value.unwrap_or_default())
            }
            Some(Token::Name { text, .. }) if self.peek_sign() != "." => self.column(&text),
            _ => Err(stuck),
        }
    }

    fn call(&mut self, name: &str) -> Answer {
        if !matches!(name, "length" | "char_length") {
            return Err(format!("the function {name} is not translated"));
        }
        self.expect("(")?;
        let inner = self.cast()?;
        self.expect(")")?;
        if inner.class != Class::Text {
            return Err(format!("{name} of other than a text is not translated"));
        }
        Ok(Typed { expr: Expr::Call("length".into(), vec![inner.expr]), class: Class::Int, literal: false })
    }

    fn column(&self, name: &str) -> Answer {
        let class = (self.scope.column)(name).ok_or_else(|| format!("{name} is not translated"))?;
        Ok(Typed { expr: Expr::Column(name.to_owned()), class, literal: false })
    }

    /// A type's name: words, a schema, a length, brackets of an array.
    fn type_name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        while let Some(Token::Name { text, quoted }) = self.tokens.get(self.at) {
            let goes_on = matches!(&**text, "varying" | "precision" | "without" | "with" | "time" | "zone");
            if !name.is_empty() && !name.ends_with('.') {
                if *quoted || !goes_on {
                    break;
                }
                name.push(' ');
            }
            name.push_str(text);
            self.at += 1;
            if self.sign(".") {
                name.push('.');
            }
            if self.sign("(") {
                // A length that cuts a value is no mere name.
                return Err(format!("a cast to {name} of a length is not translated"));
            }
        }
        while self.sign("[") {
            self.expect("]")?;
            name.push_str("[]");
        }
        if name.is_empty() { Err(self.stuck()) } else { Ok(name) }
    }
}

fn truth(expr: Expr) -> Typed {
    Typed { expr, class: Class::Bool, literal: false }
}

fn literal(expr: Expr, class: Class) -> Typed {
    Typed { expr, class, literal: true }
}

fn number(text: &str) -> Answer {
    if let Ok(whole) = text.parse() {
        return Ok(literal(Expr::Int(whole), Class::Int));
    }
    let mut canonical = Vec::new();
    let parsed = decimal::parse(text.as_bytes(), &mut canonical);
    let short = decimal::parts(&canonical).is_some_and(|parts| parts.digits.len() <= FLOAT_DIGITS_MAX);
    match text.parse::<f64>() {
        Ok(float) if parsed && short && float.is_finite() => Ok(literal(Expr::Float(float), Class::Decimal)),
        _ => Err(format!("{text} has more digits than a double holds")),
    }
}

fn cast(typed: Typed, ty: &str) -> Answer {
    let numbers = ["integer", "bigint", "smallint", "numeric", "double precision", "real"].contains(&ty);
    let texts = matches!(ty, "text" | "character varying");
    match (typed.class, typed.literal) {
        (Class::Text, true) if numbers => match &typed.expr {
            Expr::Text(text) => number(text),
            _ => Err("a number that is no literal".into()),
        },
        (Class::Text, _) if texts => Ok(typed),
        (Class::Text, true) if ty == "boolean" => match &typed.expr {
            Expr::Text(text) if text == "t" || text == "true" => Ok(literal(Expr::Bool(true), Class::Bool)),
            Expr::Text(text) if text == "f" || text == "false" => Ok(literal(Expr::Bool(false), Class::Bool)),
            _ => Err("a truth value that is no literal".into()),
        },
        // Of another type only an enumeration's labels are compared with it; see `comparable`.
        (Class::Text, true) if ty.contains('.') && !ty.ends_with(']') => {
            Ok(Typed { class: Class::Label, ..typed })
        }
        (Class::Int | Class::Decimal | Class::Float, true) if numbers && fits(&typed.expr, ty) => Ok(typed),
        (Class::Int, false) if matches!(ty, "integer" | "bigint" | "numeric") => Ok(typed),
        (Class::Nothing, true) => Ok(typed),
        _ => Err(format!("a cast to {ty} is not translated")),
    }
}

/// Whether a literal is the same number in the type.
fn fits(expr: &Expr, ty: &str) -> bool {
    match expr {
        Expr::Int(i) => match ty {
            "double precision" | "real" => i.unsigned_abs() <= 1 << 24,
            _ => true,
        },
        Expr::Float(_) => matches!(ty, "numeric" | "double precision"),
        _ => false,
    }
}

/// Whether the comparison means the same elsewhere.
fn comparable(op: BinaryOp, left: &Typed, right: &Typed) -> Result<(), String> {
    let equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
    match (left.class, right.class) {
        // A double column against a decimal literal is fine: the server compares doubles too.
        (a, b) if a.is_number() && b.is_number() => {
            let binary = a == Class::Float || b == Class::Float;
            if binary && !left.literal && !right.literal && a != b {
                return Err("a comparison of doubles with other numbers is not translated".into());
            }
            Ok(())
        }
        (Class::Bool, Class::Bool) | (Class::Label, Class::Label) if equality => Ok(()),
        (Class::Text, Class::Text) if equality => Ok(()),
        (Class::Text, Class::Text) => Err("the order of texts is a collation's".into()),
        (Class::Label, Class::Label) => Err("the order of an enumeration's labels is its own".into()),
        _ => Err("a comparison of such types is not translated".into()),
    }
}

#[cfg(test)]
mod tests;
