//! Values that break when SQLite data moves to PostgreSQL: a test a line of the list of hazards.
//!
//! Each says what becomes of the value under `--policy refuse` (the row is named, nothing is written)
//! and under `--policy quarantine` (the exact value comes back from the quarantine).
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use rusqlite::Connection;
use rusqlite::types::Value;
use support::{check, check_with, real, text};
use switchover_core::value::OwnedValue::{Bytes, Int, Null, TextBytes};

/// Inserts values that SQL cannot write into `t(id, v)`, from 1 on.
fn insert(source: &Connection, values: &[&dyn rusqlite::ToSql]) {
    for (id, value) in (1..).zip(values) {
        source.execute("INSERT INTO t(id, v) VALUES (?1, ?2)", (id, value)).unwrap();
    }
}

#[test]
fn declared_type_against_stored_class() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER);
        INSERT INTO t VALUES (1, 7), (2, '12abc'), (3, '1e3'), (5, x'00ff'), (6, ''), (7, '9');";
    check(sql).refuses(&[
        ("t", "id=2", "n", "text in a column of integers"),
        ("t", "id=5", "n", "blob in a column of integers"),
        ("t", "id=6", "n", "text in a column of integers"),
    ]);
    check(sql)
        .quarantine()
        .quarantines()
        .types("t", "id bigint, n bigint")
        .shows("SELECT * FROM t ORDER BY id", "1|7\n2|NULL\n3|1000\n5|NULL\n6|NULL\n7|9")
        .holds(&[
            ("t", 2, "n", text("12abc"), false),
            ("t", 5, "n", Bytes(vec![0, 255]), false),
            ("t", 6, "n", text(""), false),
        ]);
    check("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, '12abc'), (2, 'x')")
        .moves()
        .types("t", "id bigint, n text");
}

#[test]
fn odd_or_empty_type_names_follow_affinity() {
    let moved = check(
        "CREATE TABLE t(a, b BLOB SUB_TYPE TEXT, c FLOATING POINT, d STRING, e \"any thing(1,2,3)\", f INT8 UNSIGNED,
            g CHARINT, h DOUBLE PRECISION, i LONGVARCHAR, j TINYINT(1), k 'quoted type');
         INSERT INTO t VALUES ('5', 5, 5, 5, '5', '5', '5', 5, 5, 2, '5');",
    )
    .moves();
    moved
        .types(
            "t",
            "a text, b text, c bigint, d bigint, e bigint, f bigint, g bigint, h double precision, i text, j bigint, k bigint",
        )
        .shows("SELECT * FROM t", "5|5|5|5|5|5|5|5|5|2|5");
}

#[test]
fn integer_auto_increment_primary_key_is_no_rowid_alias_and_may_hold_null() {
    let sql = "CREATE TABLE t(id integer auto_increment primary key, v TEXT);
        INSERT INTO t VALUES (1, 'a'), (NULL, 'b'), (NULL, 'c');";
    check(sql).refuses(&[("t", "rowid=2", "id", "NULL"), ("t", "rowid=3", "id", "NULL")]);
    check(sql).quarantine().quarantines().shows("SELECT * FROM t", "1|a").holds(&[
        ("t", 2, "id", Null, true),
        ("t", 2, "v", text("b"), true),
        ("t", 3, "id", Null, true),
        ("t", 3, "v", text("c"), true),
    ]);
}

#[test]
fn real_is_float8() {
    check("CREATE TABLE t(v REAL); INSERT INTO t VALUES (0.30000000000000004), (5e-324), (1.7976931348623157e308), (1)")
        .moves()
        .types("t", "v double precision")
        .shows("SELECT v FROM t ORDER BY v", "5e-324\n0.30000000000000004\n1\n1.7976931348623157e+308");
}

#[test]
fn numeric_is_compared_by_value_and_its_digits_are_measured() {
    check(
        "CREATE TABLE t(a NUMERIC(5,2), b NUMERIC(5,2), c DECIMAL, d NUMERIC(2,5));
         INSERT INTO t VALUES (123.45, 123.456, 1e15, 0.5), (-999.99, 1, 0.1, 2), (NULL, 2, 3, 7), (7, 7, 9007199254740993, 1);",
    )
    .moves()
    .types("t", "a numeric(5,2), b numeric, c numeric, d numeric")
    .shows(
        "SELECT * FROM t ORDER BY b",
        "-999.99|1|0.1|2\nNULL|2|3|7\n7.00|7|9007199254740993|1\n123.45|123.456|1000000000000000|0.5",
    );
}

#[test]
fn integers_are_int8_and_beyond_them_sqlite_holds_a_real() {
    check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER, w INT2);
         INSERT INTO t VALUES (-9223372036854775808, 9223372036854775807, 32768), (9223372036854775807, -9223372036854775808, 0)",
    )
    .moves()
    .types("t", "id bigint, v bigint, w bigint")
    .shows("SELECT * FROM t ORDER BY id", "-9223372036854775808|9223372036854775807|32768\n9223372036854775807|-9223372036854775808|0");
    check("CREATE TABLE t(v INTEGER); INSERT INTO t VALUES (9223372036854775808), (1)")
        .moves()
        .types("t", "v double precision")
        .chosen("t", "v", "of integers beyond 64 bits SQLite keeps reals, to 15 to 17 digits (1 here)")
        .shows("SELECT v FROM t ORDER BY v", "1\n9.223372036854776e+18");
    // No type holds an infinity and integers beyond 2^53.
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v NUMBER); INSERT INTO t VALUES (1, 9007199254740993), (2, 9e999), (3, 1)";
    check(sql).refuses(&[("t", "id=1", "v", "beyond 2^53")]);
    check(sql)
        .quarantine()
        .quarantines()
        .shows("SELECT v FROM t ORDER BY id", "NULL\nInfinity\n1")
        .holds(&[("t", 1, "v", Int(9_007_199_254_740_993), false)]);
}

#[test]
fn infinities_nan_and_negative_zero() {
    check_with(|source| {
        source.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v REAL, w)").unwrap();
        insert(source, &[&f64::INFINITY, &f64::NEG_INFINITY, &f64::NAN, &-0.0]);
        source.execute("UPDATE t SET w = v WHERE id <> 4", []).unwrap();
        source.execute("UPDATE t SET w = ?1 WHERE id = 4", [-0.0]).unwrap();
    })
    .moves()
    .types("t", "id bigint, v double precision, w double precision")
    .shows("SELECT * FROM t ORDER BY id", "1|Infinity|Infinity\n2|-Infinity|-Infinity\n3|NULL|NULL\n4|0|-0");
}

#[test]
fn booleans_are_0_1_t_f_true_false_exactly() {
    check(
        "CREATE TABLE t(a BOOLEAN, b BOOL, c BOOLEAN, d BOOLEAN, e BOOLEAN, f TINYINT, g BOOLEAN);
         INSERT INTO t VALUES (0, 't', 'true', 2, '', 1, 't'), (1, 'f', 'false', 1, 't', 0, 'true'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    )
    .moves()
    .types("t", "a boolean, b boolean, c boolean, d bigint, e text, f bigint, g text")
    .shows("SELECT * FROM t ORDER BY a", "f|t|t|2||1|t\nt|f|f|1|t|0|true\nNULL|NULL|NULL|NULL|NULL|NULL|NULL");
}

#[test]
fn dates_of_every_form() {
    check(
        "CREATE TABLE t(seconds DATETIME, millis TIMESTAMP, micros DATETIME, julian DATE, naive DATETIME, utc DATETIME,
            shifted DATETIME, go DATETIME, zero DATETIME, nanos DATETIME, day DATE, t_ms DATETIME, mixed DATETIME, leap DATE, clock TIME);
         INSERT INTO t VALUES (1700000000, 1700000000000, 1700000000000000, 2460000.5, '2024-02-29 12:34:56', '2024-02-29T12:34:56Z',
            '2024-02-29T12:34:56+02:00', '2024-02-29 12:34:56.5 +0000 UTC', '0000-00-00 00:00:00', '2024-02-29 12:34:56.123456789',
            '2024-02-29', '2024-02-29T12:34:56.120', '2024-02-29', '2023-02-29', '12:34');
         INSERT INTO t SELECT seconds, millis, micros, julian, '2024-02-29 24:00:00', '0001-01-01T00:00:00Z', shifted,
            '9999-12-31 23:59:59.123456 +0000 UTC', zero, nanos, '9999-12-31', '1969-12-31T23:59:59.999', '2024-02-29 12:34:56', leap, clock FROM t;",
    )
    .moves()
    .types(
        "t",
        "seconds bigint, millis bigint, micros bigint, julian double precision, naive text, \
         utc timestamp with time zone, shifted text, go timestamp with time zone, zero text, nanos text, day date, \
         t_ms timestamp without time zone, mixed text, leap text, clock text",
    )
    .shows(
        "SET TimeZone = 'Asia/Tokyo'; SELECT utc AT TIME ZONE 'UTC', go AT TIME ZONE 'UTC', zero, nanos, t_ms FROM t ORDER BY t_ms",
        "0001-01-01 00:00:00|9999-12-31 23:59:59.123456|0000-00-00 00:00:00|2024-02-29 12:34:56.123456789|1969-12-31 23:59:59.999\n\
         2024-02-29 12:34:56|2024-02-29 12:34:56.5|0000-00-00 00:00:00|2024-02-29 12:34:56.123456789|2024-02-29 12:34:56.12",
    );
}

#[test]
fn a_declared_time_keeps_the_time_of_day_and_the_zone_of_later_values() {
    let sql = "CREATE TABLE e(id INTEGER PRIMARY KEY, at DATETIME DEFAULT CURRENT_TIMESTAMP, z TIMESTAMPTZ, day DATE);
         INSERT INTO e VALUES (1, '2024-01-01', '2024-01-01 10:30:00', '2024-01-01')";
    check(sql)
        .moves()
        .types("e", "id bigint, at text, z text, day date")
        .chosen("e", "at", "declared DATETIME, but they are dates")
        .chosen("e", "z", "declared TIMESTAMPTZ, but they are times without a zone")
        .runs(
            "INSERT INTO e(id) VALUES (2); INSERT INTO e VALUES (3, '2024-05-01 10:30:00', '2024-05-01T10:30:00+02:00', '2024-05-01')",
        )
        .shows("SELECT * FROM e WHERE id = 3", "3|2024-05-01 10:30:00|2024-05-01T10:30:00+02:00|2024-05-01")
        .shows("SELECT length(at) FROM e WHERE id = 2", "19");
    check(sql)
        .mapped("[table.e.column]\nat.type = 'date'\nz.type = 'timestamp'")
        .moves()
        .types("e", "id bigint, at date, z timestamp without time zone, day date");
}

#[test]
fn zone_a_naive_time_stays_naive_whatever_the_sessions_zone() {
    check("CREATE TABLE t(v DATETIME); INSERT INTO t VALUES ('2024-03-31 02:30:00')")
        .moves()
        .types("t", "v timestamp without time zone")
        .shows("SET TimeZone = 'Europe/Berlin'; SELECT v FROM t", "2024-03-31 02:30:00");
}

#[test]
fn a_database_with_a_zone_and_forms_of_its_own_changes_nothing() {
    let case = check(
        "CREATE TABLE t(n DATETIME, z TIMESTAMPTZ, d DATE);
         INSERT INTO t VALUES ('2024-03-31 02:30:00', '2024-03-31T02:30:00Z', '2024-03-31')",
    );
    let name = case.database.name();
    let own = format!(
        "ALTER DATABASE \"{name}\" SET TimeZone = 'Asia/Kathmandu'; ALTER DATABASE \"{name}\" SET DateStyle = 'German, DMY';
         ALTER DATABASE \"{name}\" SET bytea_output = 'escape'; ALTER DATABASE \"{name}\" SET extra_float_digits = 0"
    );
    case.database.psql(&own).unwrap();
    case.moves().shows(
        "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SELECT * FROM t",
        "2024-03-31 02:30:00|2024-03-31 02:30:00+00|2024-03-31",
    );
}

#[test]
fn nul_in_text() {
    let fill = |source: &Connection| {
        source.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)").unwrap();
        insert(source, &[&"a", &"a\0b", &"\0", &""]);
    };
    check_with(fill).refuses(&[("t", "id=2", "v", "NUL"), ("t", "id=3", "v", "NUL")]);
    check_with(fill)
        .quarantine()
        .quarantines()
        .shows("SELECT * FROM t ORDER BY id", "1|a\n2|NULL\n3|NULL\n4|")
        .holds(&[("t", 2, "v", text("a\0b"), false), ("t", 3, "v", text("\0"), false)]);
}

#[test]
fn nul_in_text_by_a_columns_own_policy() {
    let case = check_with(|source| {
        source.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, w TEXT)").unwrap();
        insert(source, &[&"a\0b"]);
        source.execute("UPDATE t SET w = v", []).unwrap();
    });
    let case = case.mapped("[table.t.column.v]\npolicy = 'quarantine'");
    case.refuses(&[("t", "id=1", "w", "NUL")]);
}

#[test]
fn nul_in_a_column_that_is_not_null_takes_the_row_out() {
    let case = check_with(|source| {
        source.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT NOT NULL, w REAL)").unwrap();
        source.execute("INSERT INTO t VALUES (1, 'a', 1.5), (2, ?1, 2.5)", ["\0"]).unwrap();
    });
    case.quarantine().quarantines().shows("SELECT * FROM t", "1|a|1.5").holds(&[
        ("t", 2, "id", Int(2), true),
        ("t", 2, "v", text("\0"), true),
        ("t", 2, "w", real(2.5), true),
    ]);
}

#[test]
fn invalid_utf8_in_text() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(3));
        INSERT INTO t VALUES (1, 'é'), (2, CAST(x'ff' AS TEXT)), (3, CAST(x'61c3' AS TEXT)), (4, CAST(x'eda080' AS TEXT)), (5, CAST(x'c080' AS TEXT))";
    let why = "not valid UTF-8";
    check(sql).refuses(&[
        ("t", "id=2", "v", why),
        ("t", "id=3", "v", why),
        ("t", "id=4", "v", why),
        ("t", "id=5", "v", why),
    ]);
    check(sql)
        .quarantine()
        .quarantines()
        .types("t", "id bigint, v character varying(3)")
        .shows("SELECT v FROM t ORDER BY id", "é\nNULL\nNULL\nNULL\nNULL")
        .holds(&[
            ("t", 2, "v", TextBytes(vec![0xff]), false),
            ("t", 3, "v", TextBytes(vec![0x61, 0xc3]), false),
            ("t", 4, "v", TextBytes(vec![0xed, 0xa0, 0x80]), false),
            ("t", 5, "v", TextBytes(vec![0xc0, 0x80]), false),
        ]);
}

/// One UTF-16 database; `lone` is an unpaired surrogate in its byte order.
fn utf16(encoding: &str, lone: &str, more: &str) -> String {
    format!(
        "PRAGMA encoding = '{encoding}'; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
         INSERT INTO t VALUES (1, 'aé€😀'), (2, ''), (3, CAST(x'{lone}' AS TEXT)), (4, 'a' || char(0) || 'b'), (5, NULL);
         CREATE TABLE \"tëxt\"(k TEXT PRIMARY KEY, n INT) WITHOUT ROWID; INSERT INTO \"tëxt\" VALUES ('ключ', 1), ('a', 2); {more}"
    )
}

#[test]
fn utf16_databases() {
    for (encoding, lone) in [("UTF-16le", "3dd8"), ("UTF-16be", "d83d")] {
        check(&utf16(encoding, lone, ""))
            .refuses(&[("t", "id=3", "v", "not valid UTF-8"), ("t", "id=4", "v", "NUL")]);
        check(&utf16(encoding, lone, ""))
            .quarantine()
            .quarantines()
            .shows("SELECT v FROM t ORDER BY id", "aé€😀\n\nNULL\nNULL\nNULL")
            .shows("SELECT * FROM \"tëxt\" ORDER BY n", "ключ|1\na|2")
            .holds(&[
                ("t", 3, "v", TextBytes(vec![0xed, 0xa0, 0xbd]), false),
                ("t", 4, "v", text("a\0b"), false),
            ]);
    }
}

#[test]
fn utf16_keys_with_lone_surrogates_over_many_reads() {
    // Long values, so that every read ends behind such a key and the next one begins there.
    for (encoding, low, high) in [("UTF-16le", "00d8", "00dc"), ("UTF-16be", "d800", "dc00")] {
        let more = format!(
            "CREATE TABLE k(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;
             INSERT INTO k VALUES (CAST(x'{low}' AS TEXT), zeroblob(5000000)), (CAST(x'{high}' AS TEXT), zeroblob(5000001)),
                ('z', zeroblob(5000002)), ('😀', zeroblob(5000003)), (char(65533), zeroblob(3));"
        );
        let moved = check(&utf16(encoding, low, &more)).quarantine().quarantines();
        moved.shows("SELECT length(v) FROM k ORDER BY 1", "3\n5000002\n5000003");
        let out: Vec<usize> = (moved.entries().iter())
            .filter(|entry| entry.0 == "k" && entry.2 == "v")
            .map(|entry| if let Bytes(bytes) = &entry.3 { bytes.len() } else { 0 })
            .collect();
        assert_eq!(out, [5_000_000, 5_000_001]);
    }
}

#[test]
fn json_traps_keep_a_column_text() {
    let traps = [
        r#"{"a": "\u0000"}"#,
        r#"{"a": "\ud800"}"#,
        r#"{"a": 1, "a": 2}"#,
        r#"{"\u0061": 1, "a": 2}"#,
        "[1e200000]",
        "[0e-99999]",
        "{a: 1}",
        "{",
        "",
    ];
    for trap in traps {
        let sql = format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v JSON); INSERT INTO t VALUES (1, '{{}}'), (2, '{trap}'), (3, NULL)"
        );
        check(&sql)
            .moves()
            .types("t", "id bigint, v text")
            .chosen("t", "v", "declared JSON, but jsonb would not hold all values: ")
            .shows("SELECT v FROM t WHERE id = 2", trap);
    }
}

#[test]
fn json_that_survives_by_value_becomes_jsonb() {
    check(
        r#"CREATE TABLE t(id INTEGER PRIMARY KEY, v JSON);
         INSERT INTO t VALUES (1, '{"b": 1, "a": [1.50, 1e400, -0.0, true, null]}'), (2, '"\ud83d\ude00"'), (3, NULL), (4, ' [7]')"#,
    )
    .moves()
    .types("t", "id bigint, v jsonb")
    .shows(
        "SELECT left(v::text, 18) FROM t ORDER BY id",
        "{\"a\": [1.50, 10000\n\"😀\"\nNULL\n[7]",
    );
}

#[test]
fn json_numbers_that_sqlite_made_numbers_of() {
    // JSON has NUMERIC affinity: the text 7 became the integer 7.
    let sql =
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v JSON); INSERT INTO t VALUES (1, '{}'), (2, '7'), (3, '[]')";
    check(sql).refuses(&[("t", "id=2", "v", "integer in a column of text")]);
    check(sql).quarantine().quarantines().types("t", "id bigint, v text").holds(&[(
        "t",
        2,
        "v",
        Int(7),
        false,
    )]);
}

#[test]
fn json_as_a_key_stays_text() {
    // Two texts of one value are two keys for SQLite and would be one for jsonb.
    check(
        r#"CREATE TABLE t(v JSON PRIMARY KEY, w JSON UNIQUE); CREATE TABLE u(v JSON);
         CREATE UNIQUE INDEX u_v ON u(v);
         INSERT INTO t VALUES ('{"a":1}', '[1]'), ('{"a": 1}', '[1.0]'); INSERT INTO u VALUES ('[]'), ('[ ]')"#,
    )
    .moves()
    .types("t", "v text, w text")
    .types("u", "v text")
    .shows("SELECT count(*) FROM t", "2")
    .rejects("INSERT INTO u VALUES ('[ ]')", "u_v");
}

#[test]
fn uuids_in_every_form() {
    let (dashed, plain) = ("0188d9c2-af00-7fff-0102-0304050607aa", "0188d9c2af007fff01020304050607aa");
    let upper = dashed.to_uppercase();
    let moved = check(&format!(
        "CREATE TABLE t(a UUID, b UUID, c GUID, d UNIQUEIDENTIFIER, mixed UUID, no UUID, both UUID);
         INSERT INTO t VALUES ('{dashed}', '{plain}', '{upper}', x'{plain}', '{dashed}', 'user-1', '{dashed}'),
            ('{dashed}', '{plain}', '{upper}', x'{plain}', '{upper}', '{dashed}', x'{plain}')"
    ))
    .quarantine()
    .quarantines();
    moved
        .types("t", "a uuid, b uuid, c uuid, d uuid, mixed text, no text, both bytea")
        .shows("SELECT DISTINCT a, b, c, d FROM t", &[dashed; 4].join("|"))
        .shows("SELECT mixed FROM t ORDER BY 1", &format!("{upper}\n{dashed}"));
}

#[test]
fn char_keeps_trailing_spaces_and_varchar_is_scanned_first() {
    check(
        "CREATE TABLE t(a CHAR(4), b VARCHAR(3), c NVARCHAR(3), d VARCHAR(2), e CHARACTER VARYING(99999999));
         INSERT INTO t VALUES ('ab  ', 'abcd', 'äöü', '  ', 'x'), ('ab', 'a', '', 'x ', NULL)",
    )
    .moves()
    .types("t", "a character varying(4), b text, c character varying(3), d character varying(2), e text")
    .shows("SELECT a || '|', b, c || '|', d || '|' FROM t ORDER BY b", "ab||a|||x |\nab  ||abcd|äöü||  |");
}

#[test]
fn large_blobs() {
    check("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB); INSERT INTO t VALUES (1, zeroblob(50000000)), (2, x''), (3, randomblob(9000000))")
        .moves()
        .types("t", "id bigint, v bytea")
        .shows("SELECT length(v) FROM t ORDER BY id", "50000000\n0\n9000000");
}

#[test]
fn text_in_a_blob_column_and_a_blob_in_a_text_column() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, t TEXT);
        INSERT INTO t VALUES (1, x'00', 'a'), (2, 'text', x'ff00'), (3, x'01', 'b')";
    check(sql).refuses(&[
        ("t", "id=2", "b", "text in a column of bytes"),
        ("t", "id=2", "t", "blob in a column of text"),
    ]);
    check(sql)
        .quarantine()
        .quarantines()
        .types("t", "id bigint, b bytea, t text")
        .shows("SELECT * FROM t ORDER BY id", "1|\\x00|a\n2|NULL|NULL\n3|\\x01|b")
        .holds(&[("t", 2, "b", text("text"), false), ("t", 2, "t", Bytes(vec![0xff, 0]), false)]);
    check("CREATE TABLE t(b BLOB, t TEXT); INSERT INTO t VALUES ('text', x'ff00')")
        .moves()
        .types("t", "b text, t bytea");
}

#[test]
fn empty_text_empty_blob_and_null_are_three_values() {
    check("CREATE TABLE t(id INTEGER PRIMARY KEY, t TEXT, b BLOB); INSERT INTO t VALUES (1, '', x''), (2, NULL, NULL)")
        .moves()
        .shows("SELECT id, t, b FROM t ORDER BY id", "1||\\x\n2|NULL|NULL");
}

#[test]
fn a_source_that_changes_class_within_a_key_is_found_again() {
    let sql = "CREATE TABLE t(k PRIMARY KEY, v TEXT) WITHOUT ROWID;
        INSERT INTO t VALUES (1, 'int'), ('1', 'text'), (x'31', 'blob'), (1.5, 'real'), ('', 'empty'), (2, 'int'), (3, 'int')";
    check(sql).refuses(&[
        ("t", "k=''", "k", "text in a column of doubles"),
        ("t", "k='1'", "k", "text in a column of doubles"),
        ("t", "k=x'31'", "k", "blob in a column of doubles"),
    ]);
}

#[test]
fn values_of_many_columns_come_back_exactly() {
    let values: Vec<Value> = vec![
        Value::Integer(i64::MAX),
        Value::Real(f64::MIN_POSITIVE),
        Value::Text("'\"\\\n\t|".into()),
        Value::Blob((0..=255).collect()),
    ];
    let case = check_with(|source| {
        source.execute_batch("CREATE TABLE t(a, b, c, d)").unwrap();
        source.execute("INSERT INTO t VALUES (?1, ?2, ?3, ?4)", rusqlite::params_from_iter(&values)).unwrap();
    });
    case.moves().shows(
        "SELECT a, b, c = E'''\"\\\\\\n\\t|', length(d), get_byte(d, 255) FROM t",
        "9223372036854775807|2.2250738585072014e-308|t|256|255",
    );
}
