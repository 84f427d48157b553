//! What is understood of the deparser's texts, and what is not.

use super::*;

fn class(name: &str) -> Option<Class> {
    Some(match name {
        "n" | "m" => Class::Int,
        "f" => Class::Float,
        "d" => Class::Decimal,
        "b" => Class::Bool,
        "t" | "Odd name" => Class::Text,
        "e" => Class::Label,
        "o" => Class::Other,
        _ => return None,
    })
}

fn understood(text: &str) -> Result<Expr, String> {
    match condition(text, &Scope { column: &class, value: Some("n") }) {
        Expr::Opaque(as_written, why) => {
            assert_eq!(as_written, text);
            Err(why)
        }
        expr => Ok(expr),
    }
}

#[test]
fn conditions_with_one_meaning_are_understood() {
    for text in [
        "(n >= 0)",
        "((n > 0) AND (m <= 10))",
        "((n < m) OR (NOT b))",
        "(b = true)",
        "b",
        "(t = 'a'::text)",
        "((t)::text <> 'it''s'::text)",
        "((t)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
        "(n = ANY (ARRAY[1, 2, '-3'::integer]))",
        "(t <> ALL (ARRAY['a'::text, E'b\\\\c'::text]))",
        "(e = 'new'::app.status)",
        "(e = ANY (ARRAY['new'::app.status, 'old'::app.status]))",
        "(d >= 0.05)",
        "(d >= (0)::numeric)",
        "((n)::numeric > 0.5)",
        "(f > (0)::double precision)",
        "(length(t) <= 10)",
        "(char_length((\"Odd name\")::text) > 0)",
        "((t IS NOT NULL) OR (n IS NULL))",
        "(VALUE > '-5'::integer)",
    ] {
        assert!(understood(text).is_ok(), "{text}: {:?}", understood(text));
    }
    assert_eq!(
        understood("(VALUE > 5)"),
        Ok(Expr::Binary(BinaryOp::Gt, Box::new(Expr::Column("n".into())), Box::new(Expr::Int(5))))
    );
}

#[test]
fn what_means_something_else_elsewhere_is_not() {
    for (text, why) in [
        ("(t > 'a'::text)", "collation"),
        ("(t ~ '^a'::text)", "operator ~"),
        ("(t ~~ 'a%'::text)", "operator ~~"),
        ("(lower(t) = 'a'::text)", "function lower"),
        ("((n + m) > 0)", "operator +"),
        ("((n - 1) > 0)", "operator -"),
        ("(o > '2020-01-01'::date)", "cast to date"),
        ("(o = 'x'::text)", "such types"),
        ("(d > 0.1234567890123456789)", "more digits"),
        ("((d)::double precision > 0.5)", "cast to double precision"),
        ("(f > d)", "doubles"),
        ("(n = ANY (ARRAY[m, 1]))", "literals"),
        ("(t = 'abc'::character varying(2))", "length"),
        ("(e > 'a'::app.status)", "labels"),
        ("(b IS TRUE)", "TRUE"),
        ("(absent > 1)", "absent"),
        ("(n > 1) EXTRA", "EXTRA"),
        ("n", "no condition"),
        ("(public.t = 1)", "public"),
        ("CASE WHEN b THEN true ELSE false END", "CASE"),
    ] {
        let found = understood(text).expect_err(text);
        assert!(found.contains(why), "{text}: {found}");
    }
}

#[test]
fn defaults_are_the_values_that_are_stored() {
    let check = |text: &str, name: &str, expected: Option<Expr>| {
        let base = Base { name: name.into(), modifier: -1, labels: None };
        let class = Class::of(&base, true);
        let found = match default(text, &base, class) {
            Expr::Opaque(..) => None,
            expr => Some(expr),
        };
        assert_eq!(found, expected, "{text} for {name}");
    };
    let text = |text: &str| Some(Expr::Text(text.into()));
    check("0", "int4", Some(Expr::Int(0)));
    check("'-1'::integer", "int4", Some(Expr::Int(-1)));
    check("(- 1)", "int4", Some(Expr::Int(-1)));
    check("0.00", "numeric", Some(Expr::Float(0.0)));
    check("1", "float8", Some(Expr::Float(1.0)));
    check("true", "bool", Some(Expr::Bool(true)));
    check("'new'::character varying", "varchar", text("new"));
    check("'{}'::jsonb", "jsonb", text("{}"));
    check("'{}'::text[]", "_text", text("[]"));
    check("'2020-01-01'::date", "date", text("2020-01-01"));
    check("'2020-01-01 10:00:00'::timestamp without time zone", "timestamp", text("2020-01-01 10:00:00"));
    check("NULL::character varying", "varchar", Some(Expr::Null));
    for (left_out, name) in [
        ("now()", "timestamptz"),
        ("CURRENT_TIMESTAMP", "timestamp"),
        ("nextval('app.t_id_seq'::regclass)", "int4"),
        ("gen_random_uuid()", "uuid"),
        ("'infinity'::date", "date"),
        ("'2020-01-01 10:00:00+00'::timestamp with time zone", "timestamptz"),
        ("'a'::bpchar", "bpchar"),
        ("0.123456789012345678", "numeric"),
        ("'a'::text || 'b'::text", "text"),
    ] {
        check(left_out, name, None);
    }
}
