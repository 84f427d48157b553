//! The traps of SQLite's DDL, each by name, and the parser against real SQLite.

use super::*;
use switchover_core::expr::{BinaryOp, NowKind, UnaryOp};

fn table(sql: &str) -> TableDdl {
    // What SQLite itself refuses proves nothing here.
    let db = rusqlite::Connection::open_in_memory().expect("in memory");
    db.execute_batch(sql).expect(sql);
    let stored: String =
        db.query_row("SELECT sql FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0)).expect(sql);
    parse_table(&stored).expect(sql)
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn column(name: &str) -> Box<Expr> {
    Box::new(Expr::Column(name.to_owned()))
}

fn text(value: &str) -> Expr {
    Expr::Text(value.to_owned())
}

fn is_opaque(expr: &Expr, reason: &str) -> bool {
    matches!(expr, Expr::Opaque(_, why) if why.contains(reason))
}

#[test]
fn a_double_quoted_name_that_is_no_column_is_a_string() {
    let ddl = table(r#"CREATE TABLE t(kind TEXT CHECK(kind IN ("a", "KIND", 'b')), "b" INT)"#);
    let in_list = Expr::In(column("kind"), vec![text("a"), *column("kind"), text("b")], false);
    assert_eq!(ddl.checks[0].expr, in_list);
    assert_eq!(parse_expression("\"b\" = \"B\"", &columns(&["x"])), {
        Expr::Binary(BinaryOp::Eq, Box::new(text("b")), Box::new(text("B")))
    });
}

#[test]
fn every_kind_of_quotes_names_a_column() {
    let ddl = table("CREATE TABLE [odd \"name](`a``b` INT, [c d] TEXT, \"e\"\"f\" REAL, 'g' BLOB)");
    assert_eq!(ddl.name, "odd \"name");
    let names: Vec<&str> = ddl.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["a`b", "c d", "e\"f", "g"]);
    assert_eq!(parse_expression("[C D] == `c d`", &columns(&["c d"])), {
        Expr::Binary(BinaryOp::Eq, column("c d"), column("c d"))
    });
    assert!(is_opaque(&parse_expression("[x] > 0", &columns(&["y"])).first(), "no column"));
}

#[test]
fn true_and_false_are_words_unless_a_column_has_the_name() {
    let x = columns(&["x"]);
    assert_eq!(parse_expression("TRUE", &x), Expr::Bool(true));
    assert_eq!(parse_expression("False", &x), Expr::Bool(false));
    assert_eq!(parse_expression("true", &columns(&["True"])), *column("True"));
    assert_eq!(parse_expression("\"true\"", &x), text("true"));
    assert_eq!(parse_default("true"), Expr::Bool(true));
    assert_eq!(parse_default("\"true\""), text("true"));
}

#[test]
fn a_default_s_bare_word_is_a_string() {
    let ddl = table(
        "CREATE TABLE t(a DEFAULT active, b DEFAULT -5, c DEFAULT (1 + 1), d DEFAULT +.5, e DEFAULT x'00fF',
         f DEFAULT CURRENT_TIMESTAMP, g DEFAULT NULL, h DEFAULT 1 DEFAULT 2, i DEFAULT 'it''s')",
    );
    let defaults: Vec<Expr> = ddl.columns.into_iter().filter_map(|c| c.default).collect();
    assert_eq!(
        defaults,
        [
            text("active"),
            Expr::Int(-5),
            Expr::Binary(BinaryOp::Add, Box::new(Expr::Int(1)), Box::new(Expr::Int(1))),
            Expr::Float(0.5),
            Expr::Blob(vec![0, 255]),
            Expr::Now(NowKind::Timestamp),
            Expr::Null,
            Expr::Int(2),
            text("it's"),
        ]
    );
}

#[test]
fn defaults_read_the_same_from_the_pragma() {
    let sql = "CREATE TABLE t(a DEFAULT active, b DEFAULT -5, c DEFAULT (1 + 1 /* two */), d DEFAULT +.5,
        e DEFAULT x'00fF', f DEFAULT CURRENT_TIMESTAMP, g DEFAULT NULL, h DEFAULT (strftime('%s', 'now')),
        i DEFAULT \"dq\", j DEFAULT ( 'x' -- closes\n ), k DEFAULT 0x10)";
    let db = rusqlite::Connection::open_in_memory().expect("in memory");
    db.execute_batch(sql).expect(sql);
    let mut statement =
        db.prepare("SELECT dflt_value FROM pragma_table_xinfo('t') ORDER BY cid").expect("pragma");
    let pragma: Vec<Expr> = statement
        .query_map([], |row| row.get::<_, String>(0))
        .expect("rows")
        .map(|text| parse_default(&text.expect("text")))
        .collect();
    let parsed: Vec<Expr> = table(sql).columns.into_iter().filter_map(|c| c.default).collect();
    assert_eq!(pragma, parsed);
    assert!(parsed.iter().all(|expr| !matches!(expr, Expr::Opaque(..))), "{parsed:?}");
}

#[test]
fn odd_types_and_comments_are_read_as_the_pragma_reads_them() {
    let sql = "CREATE TABLE t ( -- the table
        a UNSIGNED BIG INT, /* b, */ b VARCHAR ( 20 ), c DECIMAL(10,2), d, e 'my type', f \"X\" NOT NULL,
        g DOUBLE PRECISION DEFAULT 0, h [weird], i INT(-3), j NATIVE CHARACTER(70))";
    let db = rusqlite::Connection::open_in_memory().expect("in memory");
    db.execute_batch(sql).expect(sql);
    let mut statement = db.prepare("SELECT name, type FROM pragma_table_xinfo('t')").expect("pragma");
    let pragma: Vec<(String, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("texts");
    let squeeze = |s: &str| s.replace([' ', '\'', '"', '[', ']'], "").to_ascii_uppercase();
    for (column, (name, declared)) in table(sql).columns.iter().zip(&pragma) {
        assert_eq!(&column.name, name);
        assert_eq!(squeeze(&column.declared_type), squeeze(declared), "{name}");
    }
}

#[test]
fn constraints_keep_their_names_columns_and_clauses() {
    let ddl = table(
        "CREATE TABLE t(id INTEGER CONSTRAINT pk PRIMARY KEY AUTOINCREMENT,
           email TEXT COLLATE nocase NOT NULL ON CONFLICT REPLACE CONSTRAINT u UNIQUE ON CONFLICT IGNORE,
           n INT CONSTRAINT positive CHECK (n > 0) CHECK (t.n < 9),
           p INT REFERENCES p DEFERRABLE INITIALLY DEFERRED,
           g INT GENERATED ALWAYS AS (n * 2) STORED, v AS (n + 1),
           CONSTRAINT both UNIQUE (n DESC, 'email' COLLATE BINARY),
           CHECK (length(email) > 3),
           CONSTRAINT f FOREIGN KEY (n, P) REFERENCES q(x, y) ON DELETE CASCADE ON UPDATE SET NULL MATCH FULL)",
    );
    let key = ddl.primary_key.expect("a key");
    assert_eq!((key.name.as_deref(), key.columns[0].name.as_str()), (Some("pk"), "id"));
    assert!(ddl.columns[0].autoincrement);
    assert_eq!(ddl.columns[1].collation.as_deref(), Some("NOCASE"));
    assert_eq!(ddl.columns[1].not_null, Some(NotNullDdl { conflict: Some("REPLACE".to_owned()) }));
    assert_eq!(ddl.uniques[0].conflict.as_deref(), Some("IGNORE"));
    assert_eq!(ddl.uniques[1].name.as_deref(), Some("both"));
    assert_eq!(ddl.uniques[1].columns[1].collation.as_deref(), Some("BINARY"));
    assert!(ddl.uniques[1].columns[0].desc);
    let named: Vec<Option<&str>> = ddl.checks.iter().map(|c| c.name.as_deref()).collect();
    assert_eq!(named, [Some("positive"), None, None]);
    assert_eq!(ddl.checks[1].expr, Expr::Binary(BinaryOp::Lt, column("n"), Box::new(Expr::Int(9))));
    assert_eq!(ddl.checks[2].text, "length (email) > 3");
    assert_eq!(ddl.columns[4].generated.as_ref().map(|g| g.stored), Some(true));
    assert_eq!(ddl.columns[4].declared_type, "INT");
    assert_eq!(ddl.columns[5].generated.as_ref().map(|g| g.stored), Some(false));
    assert_eq!(ddl.foreign_keys.len(), 2);
    let (one, two) = (&ddl.foreign_keys[0], &ddl.foreign_keys[1]);
    assert_eq!((one.deferrable, one.initially_deferred, one.parent_columns.len()), (true, true, 0));
    assert_eq!(two.columns, ["n", "p"]);
    assert_eq!((two.on_delete.as_str(), two.on_update.as_str()), ("CASCADE", "SET NULL"));
    assert_eq!((two.deferrable, two.name.as_deref()), (false, Some("f")));
}

#[test]
fn table_options_are_read() {
    let ddl = table("CREATE TABLE t(a TEXT, b INT, PRIMARY KEY (b, a)) STRICT, WITHOUT ROWID");
    assert!(ddl.strict && ddl.without_rowid);
    assert_eq!(ddl.primary_key.expect("a key").columns.len(), 2);
}

#[test]
fn a_table_made_from_a_select_and_altered_is_read() {
    let ddl =
        table("CREATE TABLE t AS SELECT 1 AS a, 'x' AS \"b c\"; ALTER TABLE t ADD COLUMN d INT DEFAULT 7");
    assert_eq!(ddl.columns.len(), 3);
    assert_eq!(ddl.columns[2].default, Some(Expr::Int(7)));
}

#[test]
fn what_is_no_table_is_refused_with_its_reason() {
    for (sql, reason) in [
        ("CREATE VIRTUAL TABLE f USING fts5(a, b)", "module fts5"),
        ("CREATE TABLE t AS SELECT 1", "AS SELECT"),
        ("CREATE VIEW v AS SELECT 1", "no CREATE TABLE"),
        ("CREATE TABLE t(a INT", "grammar"),
        ("CREATE TABLE t(a); DROP TABLE t", "more than one"),
        ("", "no statement"),
        ("CREATE TABLE t(a)\0", "NUL"),
    ] {
        let error = parse_table(sql).expect_err(sql);
        assert!(error.contains(reason), "{sql}: {error}");
    }
}

#[test]
fn an_index_keeps_collation_order_expression_and_predicate() {
    let sql = "CREATE UNIQUE INDEX i ON t(a COLLATE nocase DESC, lower(b), 'a', \"zz\") WHERE b IS NOT NULL";
    let ddl = parse_index(sql, &columns(&["a", "b"])).expect(sql);
    assert!(ddl.unique);
    assert_eq!((ddl.name.as_str(), ddl.table.as_str()), ("i", "t"));
    assert_eq!(ddl.parts[0].expr, *column("a"));
    assert_eq!((ddl.parts[0].collation.as_deref(), ddl.parts[0].desc), (Some("NOCASE"), true));
    assert_eq!(ddl.parts[1].expr, Expr::Call("lower".to_owned(), vec![*column("b")]));
    assert_eq!(ddl.parts[2].expr, *column("a"));
    assert_eq!(ddl.parts[3].expr, text("zz"));
    assert_eq!(ddl.predicate, Some(Expr::IsNull(column("b"), true)));
    assert!(parse_index("CREATE TABLE t(a)", &[]).is_err());
}

#[test]
fn numbers_are_exact_or_opaque() {
    let x = columns(&[]);
    assert_eq!(parse_expression("-9223372036854775808", &x), Expr::Int(i64::MIN));
    assert_eq!(parse_expression("0xFFFFFFFFFFFFFFFF", &x), Expr::Int(-1));
    assert_eq!(parse_expression("1_000", &x), Expr::Int(1000));
    assert_eq!(parse_expression("1e3", &x), Expr::Float(1000.0));
    assert_eq!(
        parse_expression("18446744073709551616000", &x),
        Expr::Opaque("18446744073709551616000".to_owned(), "the number is not read exactly".to_owned())
    );
    assert_eq!(parse_expression("- (3)", &x), Expr::Int(-3));
    assert_eq!(parse_expression("NOT 1", &x), Expr::Unary(UnaryOp::Not, Box::new(Expr::Int(1))));
}

#[test]
fn what_has_no_counterpart_is_opaque_where_it_stands() {
    let x = columns(&["x"]);
    for (sql, reason) in [
        ("x IN (SELECT 1)", "subquery"),
        ("EXISTS (SELECT 1)", "subquery"),
        ("x REGEXP 'a'", "REGEXP"),
        ("x MATCH 'a'", "MATCH"),
        ("rowid > 0", "rowid"),
        ("(x, 1) = (1, 2)", "row value"),
        ("count(DISTINCT x)", "DISTINCT"),
        ("x > :y", "parameter"),
        ("main.t.x > 1", "schema"),
        ("1)), d CHECK ((1", "one expression"),
        ("1)) CHECK ((1", "one expression"),
        ("1; DROP TABLE t", "grammar"),
    ] {
        let expr = parse_expression(sql, &x);
        assert!(is_opaque(&expr.first(), reason), "{sql}: {expr:?}");
    }
}

#[test]
fn nesting_has_a_limit_and_no_overflow() {
    let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(is_opaque(&parse_expression(&deep, &[]), "nested too deeply"));
    let wide = vec!["1"; 5_000].join(" + ");
    assert!(format!("{:?}", parse_expression(&wide, &[])).contains("nested too deeply"));
}

trait First {
    /// The expression, or the first opaque one on its left edge.
    fn first(&self) -> Expr;
}

impl First for Expr {
    fn first(&self) -> Expr {
        match self {
            Expr::Binary(_, left, right)
                if matches!(**right, Expr::Opaque(..)) && !matches!(**left, Expr::Opaque(..)) =>
            {
                (**right).clone()
            }
            Expr::Binary(_, left, _) => (**left).clone(),
            other => other.clone(),
        }
    }
}

fn columns_of(table: &str) -> Option<Vec<String>> {
    match table {
        "users" => Some(columns(&["id", "name", "active"])),
        "orders" => Some(columns(&["id", "user_id", "total"])),
        _ => None,
    }
}

#[test]
fn a_view_over_tables_is_read() {
    let sql = "CREATE VIEW v AS SELECT u.*, count(o.id) AS n, total t2 FROM users AS u
        LEFT JOIN orders o ON o.user_id = u.id WHERE active GROUP BY u.id, t2 ORDER BY n DESC, 2, u.NAME";
    let view = parse_view(sql, &columns_of).expect(sql);
    let names: Vec<&str> = view.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "active", "n", "t2"]);
    let qualified = |table: &str, name: &str| Expr::Qualified(table.to_owned(), name.to_owned());
    assert_eq!(view.group_by, [qualified("u", "id"), qualified("o", "total")]);
    let count = Expr::Call("count".to_owned(), vec![qualified("o", "id")]);
    assert_eq!(
        view.order_by,
        [(count, true), (qualified("u", "name"), false), (qualified("u", "name"), false)]
    );
    assert_eq!(view.filter, Some(qualified("u", "active")));
    assert_eq!((view.tables[1].alias.as_str(), view.tables.len()), ("o", 2));
}

#[test]
fn a_view_of_another_shape_is_refused_with_its_reason() {
    for (select, reason) in [
        ("SELECT id FROM users UNION SELECT id FROM orders", "UNION"),
        ("SELECT DISTINCT name FROM users", "DISTINCT"),
        ("SELECT id FROM users LIMIT 1", "LIMIT"),
        ("SELECT id FROM (SELECT id FROM users)", "subquery"),
        ("SELECT name || 'x' FROM users", "without a name"),
        ("SELECT u.id, o.id FROM users u JOIN orders o ON o.user_id = u.id", "called id"),
        ("SELECT users.id FROM users NATURAL JOIN orders", "NATURAL"),
        ("SELECT users.id FROM users JOIN orders USING (id)", "USING"),
        ("SELECT id FROM other", "no table"),
        ("SELECT 1 AS one", "no table"),
    ] {
        let error = parse_view(&format!("CREATE VIEW v AS {select}"), &columns_of).expect_err(select);
        assert!(error.contains(reason), "{select}: {error}");
    }
    let view = parse_view("CREATE VIEW v AS SELECT users.id FROM users, orders WHERE id = 1", &columns_of);
    assert!(is_opaque(&view.expect("a view").filter.expect("a filter").first(), "ambiguous"));
}
