//! The text that each construct becomes, and the sentence that refuses it.
//!
//! The texts here were compared with SQLite over a grid of values on PostgreSQL 15; these tests hold
//! them where they are.

use super::*;
use switchover_core::expr::NowKind;

use crate::sqlite::ddl::{parse_default, parse_expression};

const COLUMNS: [&str; 14] = ["i", "j", "b", "s", "n", "d", "f", "m", "y", "u", "t", "js", "it", "bt"];

fn scope(name: &str) -> Option<ColumnRef> {
    let (ty, affinity) = match name {
        "i" | "j" => (Ty::Int, Affinity::Integer),
        "it" => (Ty::Int, Affinity::Text),
        "b" => (Ty::Bool, Affinity::Numeric),
        "bt" => (Ty::Bool, Affinity::Text),
        "s" => (Ty::Text { nocase: false }, Affinity::Text),
        "n" => (Ty::Text { nocase: true }, Affinity::Text),
        "d" => (Ty::Text { nocase: false }, Affinity::Numeric),
        "f" => (Ty::Float, Affinity::Real),
        "m" => (Ty::Numeric, Affinity::Numeric),
        "y" => (Ty::Bytes, Affinity::Blob),
        "u" => (Ty::Uuid, Affinity::Text),
        "t" => (Ty::Timestamp, Affinity::Numeric),
        "js" => (Ty::Json, Affinity::Text),
        _ => return None,
    };
    Some(ColumnRef { quoted: format!("\"{name}\""), ty, affinity })
}

fn parse(sql: &str) -> Expr {
    parse_expression(sql, &COLUMNS.map(str::to_owned))
}

fn check(sql: &str, postgres: &str) {
    assert_eq!(render_check(&parse(sql), &scope).as_deref(), Ok(postgres), "{sql}");
}

fn refuse(sql: &str, reason: &str) {
    let error = render_check(&parse(sql), &scope).expect_err(sql);
    assert!(error.contains(reason), "{sql}: {error}");
}

fn default(sql: &str, ty: Ty, affinity: Affinity, postgres: &str) {
    assert_eq!(render_default(&parse_default(sql), ty, affinity).as_deref(), Ok(postgres), "{sql} as {ty}");
}

fn no_default(sql: &str, ty: Ty, affinity: Affinity) {
    assert!(render_default(&parse_default(sql), ty, affinity).is_err(), "{sql} as {ty}");
}

const TEXT: Ty = Ty::Text { nocase: false };

#[test]
fn booleans_compare_with_zero_and_one_and_are_integers_beside_others() {
    check("b = 1", r#"("b" = true)"#);
    check("b IN (0, 1)", r#"("b" IN (false, true))"#);
    check("b > 0", r#"(("b")::int > 0)"#);
    check("b", r#""b""#);
    check("i", r#"("i" <> 0)"#);
    check("NOT b", r#"(NOT "b")"#);
    check("b IS NOT TRUE", r#"("b" IS NOT TRUE)"#);
    check("i IS TRUE", r#"(("i" <> 0) IS TRUE)"#);
    check("coalesce(b, 0)", r#"coalesce("b", false)"#);
    refuse("bt = 1", "holds text in SQLite");
}

#[test]
fn texts_are_equal_by_bytes_and_ordered_under_c() {
    check("s = 'a'", r#"("s" = 'a')"#);
    check("s < 'a'", r#"("s" COLLATE "C" < 'a')"#);
    check("s BETWEEN 'a' AND 'b'", r#"(("s" COLLATE "C" >= 'a') AND ("s" COLLATE "C" <= 'b'))"#);
    check("n = 'Ab'", r#"(lower("n" COLLATE "C") = 'ab')"#);
    check("'Ab' = n", r#"('ab' = lower("n" COLLATE "C"))"#);
    // The left column's collation holds, and COLLATE before any column's.
    check("s = n", r#"("s" = "n")"#);
    check("n = s COLLATE BINARY", r#"("n" = "s")"#);
    check("s = 'a ' COLLATE RTRIM", r#"(rtrim("s", ' ') = 'a')"#);
    check("s IN ('it''s', 'b\\', NULL)", r#"("s" IN ('it''s', E'b\\', NULL))"#);
    check("'A' IN (n)", r#"('A' IN ("n"))"#);
    check("s IN ()", "false");
    refuse("s = 'a' COLLATE unicase", "UNICASE");
}

#[test]
fn what_sqlite_would_coerce_is_refused() {
    refuse("s = 5", "mixed types");
    refuse("i = '5'", "mixed types");
    refuse("s", "a condition is expected");
    refuse("d = '10'", "read text beside it as a number");
    check("d >= '2020-01-01'", r#"("d" COLLATE "C" >= '2020-01-01')"#);
    refuse("d = s", "read text beside it as a number");
    refuse("it > 1", "holds no integers in SQLite");
    for column in ["u", "t", "js"] {
        refuse(&format!("{column} = 'x'"), "another value in SQLite");
        check(&format!("{column} IS NOT NULL"), &format!("(\"{column}\" IS NOT NULL)"));
    }
}

#[test]
fn numbers_are_compared_without_rounding() {
    check("i > -5", r#"("i" > (-5))"#);
    check("i > -9223372036854775808", r#"("i" > '-9223372036854775808'::int8)"#);
    check("i > 0.5", r#"("i" > (0.5)::numeric)"#);
    check("i < 9.2e18", r#"("i" < (9200000000000000000)::numeric)"#);
    check("f > 1", r#"("f" > (1)::float8)"#);
    check("f <= 0.1", r#"("f" <= '0.1'::float8)"#);
    refuse("f > 9007199254740993", "rounds an integer");
    refuse("f > i", "rounds an integer");
    check("m >= 0", r#"("m" >= 0)"#);
    check("m < 1.5", r#"("m" < (1.5)::numeric)"#);
    refuse("m < m", "±2^53");
    refuse("i < 9e999", "infinity");
}

#[test]
fn arithmetic_is_translated_where_nothing_can_stop() {
    check("i - j >= 0", r#"((("i")::int8::numeric - ("j")::int8::numeric) >= 0)"#);
    refuse("i + j > i", "within ±2^53");
    refuse("i + j + 1 > 0", "exceed 64 bits");
    check(
        "(i IS NULL) + (j IS NULL) = 1",
        r#"(((("i" IS NULL))::int::int8 + (("j" IS NULL))::int::int8) = 1)"#,
    );
    check("i % 2 = 0", r#"((("i")::int8 % (2)::int8) = 0)"#);
    refuse("i % 0 = 0", "other than 0 and -1");
    refuse("i / j = 0", "other than 0 and -1");
    check("i & 4", r#"((("i")::int8 & (4)::int8) <> 0)"#);
    refuse("i << j", "from 0 to 63");
    refuse("f * 2 > 1", "Infinity");
}

#[test]
fn like_and_glob_keep_their_cases() {
    check("s LIKE 'A%'", r#"(lower("s" COLLATE "C") LIKE 'a%' ESCAPE '')"#);
    check("s NOT LIKE '%@_%'", r#"("s" COLLATE "C" NOT LIKE '%@_%' ESCAPE '')"#);
    check("s LIKE '1!%' ESCAPE '!'", r#"("s" COLLATE "C" LIKE '1!%' ESCAPE '!')"#);
    refuse("s LIKE 'a!' ESCAPE '!'", "ends in its ESCAPE");
    refuse("s LIKE n", "no constant text");
    refuse("i LIKE '1%'", "LIKE on an integer");
    check("s GLOB 'A*_?'", r#"("s" COLLATE "C" LIKE 'A%!__' ESCAPE '!')"#);
    check("s NOT GLOB '*[^0-9]*'", r#"("s" COLLATE "C" !~ '^.*[^0-9].*$')"#);
    check("s GLOB '[A-Z].*'", r#"("s" COLLATE "C" ~ E'^[A-Z]\\..*$')"#);
    for odd in ["[", "[]a]", "[a-", "[z-a]", "[A-z]", "[[:x]", "[\\d]", "[^]"] {
        refuse(&format!("s GLOB '{odd}'"), "a set that is not translated");
    }
}

#[test]
fn functions_are_translated_one_by_one() {
    check("length(s) > 3", r#"(char_length("s") > 3)"#);
    check("length(y) = 16", r#"(octet_length("y") = 16)"#);
    check("lower(s) = s", r#"(lower("s" COLLATE "C") = "s")"#);
    check("trim(s) <> ''", r#"(btrim("s", ' ') <> '')"#);
    check("substr(s, 1, 2) = 'ab'", r#"(substr("s", 1, 2) = 'ab')"#);
    check("typeof(s) = 'text'", r#"((CASE WHEN "s" IS NULL THEN 'null' ELSE 'text' END) = 'text')"#);
    check("json_valid(js)", r#"(CASE WHEN "js" IS NULL THEN NULL ELSE true END)"#);
    check("iif(b, i, 0) > 1", r#"((CASE WHEN "b" THEN ("i")::int8 ELSE (0)::int8 END) > 1)"#);
    for (sql, reason) in [
        ("substr(s, -1) = 'a'", "constant start"),
        ("replace(s, n, 'x') = 'a'", "not empty"),
        ("length(i) > 1", "length() of an integer"),
        ("json_valid(s)", "no JSON"),
        ("typeof(m) = 'real'", "not known"),
        ("round(f) = 1", "round()"),
        ("date(s) = s", "date()"),
        ("js ->> '$.a' = 'b'", "other types"),
        ("upper(s COLLATE NOCASE) = 'A'", "COLLATE inside"),
        ("s < CURRENT_TIMESTAMP", "default alone"),
        ("zz > 1", "no column"),
        ("i IN (SELECT 1)", "subquery"),
    ] {
        refuse(sql, reason);
    }
}

#[test]
fn constants_become_what_the_column_would_store() {
    use Affinity::{Blob, Integer, Numeric, Real, Text};
    default("1", Ty::Bool, Numeric, "true");
    default("'0'", Ty::Bool, Numeric, "false");
    default("FALSE", Ty::Bool, Numeric, "false");
    default("'true'", Ty::Bool, Numeric, "true");
    no_default("2", Ty::Bool, Numeric);
    default("'7'", Ty::Int, Integer, "7");
    default("' 1e3 '", Ty::Int, Integer, "1000");
    no_default("''", Ty::Int, Integer);
    no_default("'7'", Ty::Int, Blob);
    default("5", TEXT, Text, "'5'");
    no_default("5", TEXT, Blob);
    no_default("1.5", TEXT, Text);
    default("active", TEXT, Text, "'active'");
    no_default("'10'", TEXT, Numeric);
    default("0", Ty::Float, Real, "0");
    default("0.1", Ty::Numeric, Numeric, "0.1");
    default("x'00ff'", Ty::Bytes, Blob, "'\\x00ff'::bytea");
    no_default("'a'", Ty::Bytes, Blob);
    default("'{}'", Ty::Json, Text, "'{}'");
    no_default("'{'", Ty::Json, Text);
    no_default("'\"\\u0000\"'", Ty::Json, Text);
    default("'2020-02-29'", Ty::Date, Numeric, "'2020-02-29'::date");
    no_default("'2021-02-29'", Ty::Date, Numeric);
    no_default("0", Ty::Timestamp, Numeric);
    default("NULL", Ty::Uuid, Text, "NULL");
    default("(1 + 2)", Ty::Int, Integer, "((1)::int8 + (2)::int8)");
}

#[test]
fn the_present_is_utc_and_the_statement_s() {
    use Affinity::{Integer, Numeric, Text};
    let utc = "timezone('utc', statement_timestamp())";
    let stamp = format!("to_char({utc}, 'YYYY-MM-DD HH24:MI:SS')");
    default("CURRENT_TIMESTAMP", TEXT, Numeric, &stamp);
    default("datetime('now')", TEXT, Text, &stamp);
    default("CURRENT_TIMESTAMP", Ty::Timestamp, Numeric, &format!("date_trunc('second', {utc})"));
    default("CURRENT_TIMESTAMP", Ty::TimestampTz, Numeric, "date_trunc('second', statement_timestamp())");
    default("date('now')", Ty::Date, Numeric, &format!("({utc})::date"));
    default(
        "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        TEXT,
        Text,
        &format!("to_char({utc}, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"),
    );
    let epoch = "floor(extract(epoch from statement_timestamp()))::int8";
    default("unixepoch()", Ty::Int, Integer, epoch);
    default("strftime('%s', 'now')", Ty::Int, Integer, epoch);
    default("strftime('%s', 'now')", TEXT, Text, &format!("({epoch})::text"));
    default("(CAST(strftime('%s', 'now') AS INT) * 1000)", Ty::Int, Integer, &format!("({epoch} * 1000)"));
    no_default("datetime('now', 'localtime')", TEXT, Text);
    no_default("strftime('%J', 'now')", TEXT, Text);
    no_default("julianday('now')", Ty::Float, Numeric);
    no_default("lower(hex(randomblob(16)))", TEXT, Text);
    no_default("CURRENT_TIMESTAMP", Ty::Int, Integer);
    no_default("unixepoch()", Ty::Timestamp, Integer);
    assert_eq!(parse_default("CURRENT_DATE"), Expr::Now(NowKind::Date));
}

#[test]
fn an_index_follows_the_column_s_collation_and_folds_nocase() {
    let part = |sql: &str, collation: Option<&str>, desc| {
        render_index_part(&parse(sql), collation, desc, &scope).expect(sql)
    };
    assert_eq!(part("s", None, false), r#""s""#);
    assert_eq!(part("n", None, true), r#"(lower("n" COLLATE "C")) DESC"#);
    assert_eq!(part("s", Some("NOCASE"), false), r#"(lower("s" COLLATE "C"))"#);
    assert_eq!(part("n", Some("BINARY"), false), r#""n""#);
    assert_eq!(part("i", Some("NOCASE"), true), r#""i" DESC"#);
    assert_eq!(part("lower(s)", None, false), r#"(lower("s" COLLATE "C"))"#);
    assert_eq!(part("i % 10", None, false), r#"((("i")::int8 % (10)::int8))"#);
    for (sql, collation) in
        [("js", None), ("'x'", None), ("s", Some("ODD")), ("i + j", None), ("date(s)", None)]
    {
        assert!(render_index_part(&parse(sql), collation, false, &scope).is_err(), "{sql}");
    }
}

#[test]
fn a_generated_column_has_the_type_of_its_expression() {
    let expr = parse("s || i");
    assert_eq!(render_generated(&expr, TEXT, &scope).as_deref(), Ok(r#"("s" || ("i")::text)"#));
    assert!(render_generated(&expr, Ty::Int, &scope).is_err());
}

struct Joined;

impl Scope for Joined {
    fn column(&self, table: Option<&str>, name: &str) -> Option<ColumnRef> {
        let column = scope(name)?;
        Some(ColumnRef { quoted: format!("\"{}\".{}", table?, column.quoted), ..column })
    }
}

fn view(select: &str) -> Result<String, String> {
    let columns_of = |_: &str| Some(COLUMNS.map(str::to_owned).to_vec());
    let view = crate::sqlite::ddl::parse_view(&format!("CREATE VIEW v AS {select}"), &columns_of)?;
    render_view(&view, &Joined, &|table| Some(format!("\"public\".\"{table}\"")))
}

#[test]
fn a_view_is_rendered_with_its_order_and_aggregates() {
    assert_eq!(
        view("SELECT a.s, a.t AS at FROM x a JOIN y ON y.i = a.i WHERE a.b ORDER BY a.s DESC").as_deref(),
        Ok(concat!(
            r#"SELECT "a"."s" AS "s", "a"."t" AS "at" FROM "public"."x" AS "a" JOIN "public"."y" AS "y" "#,
            r#"ON ("y"."i" = "a"."i") WHERE "a"."b" ORDER BY "a"."s" COLLATE "C" DESC NULLS LAST"#
        ))
    );
    assert_eq!(
        view("SELECT s, count(*) AS n, sum(i) AS total FROM x GROUP BY s").as_deref(),
        Ok(concat!(
            r#"SELECT "x"."s" AS "s", count(*) AS "n", (sum("x"."i"))::int8 AS "total" "#,
            r#"FROM "public"."x" AS "x" GROUP BY "x"."s""#
        ))
    );
    for (select, reason) in [
        ("SELECT s, count(*) AS n FROM x", "does not group by"),
        ("SELECT avg(i) AS a FROM x", "not exact"),
        ("SELECT n FROM x GROUP BY n", "NOCASE"),
        ("SELECT date(s) AS d FROM x", "date()"),
        ("SELECT count(*) + 1 AS n FROM x", "count()"),
        ("SELECT s AS a FROM x WHERE a = 'b'", "no column"),
    ] {
        let error = view(select).expect_err(select);
        assert!(error.contains(reason), "{select}: {error}");
    }
}
