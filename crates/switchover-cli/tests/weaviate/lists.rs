//! JSON arrays as lists of the server's own kinds: what comes back, and what is refused because it would not.

use crate::common::run;
use crate::server::Site;
use serde_json::{Value as Json, json};

const MAPPING: &str = "
    [table.t]
    to = 'T'
    [table.t.column]
    i = { type = 'bigint[]', filterable = true }
    n.type = 'double precision[]'
    b.type = 'boolean[]'
    u.type = 'uuid[]'
    z.type = 'timestamptz[]'
    p.type = 'timestamp[]'
    s.type = 'text[]'";

const COLUMNS: [&str; 7] = ["i", "n", "b", "u", "z", "p", "s"];

/// The texts of each row.
const ROWS: [[Option<&str>; 7]; 3] = [
    [
        Some("[9007199254740992, -9007199254740992, 0]"),
        Some("[0.1, -0.0, 5e-324, 1.7976931348623157e308, 3]"),
        Some("[true, false]"),
        Some(r#"["0188d9c2-af00-7fff-0102-030405060708"]"#),
        Some(r#"["2024-02-29T23:59:59.123456Z", "1970-01-01 01:00:00+01:00", "0001-01-01T00:00:00Z"]"#),
        Some(r#"["2024-02-29 23:59:59.5"]"#),
        Some(r#"["", "ü"]"#),
    ],
    [Some("[ ]"), Some("[]"), Some("[]"), Some("[]"), Some("[]"), Some("[]"), Some("[]")],
    [None; 7],
];

fn site(rows: &[[Option<&str>; 7]]) -> Site {
    let site = Site::with(|source| {
        let sql =
            "CREATE TABLE t(id INTEGER PRIMARY KEY, i TEXT, n TEXT, b JSON, u TEXT, z TEXT, p TEXT, s TEXT)";
        source.execute_batch(sql).unwrap();
        for (at, row) in rows.iter().enumerate() {
            source
                .execute(
                    "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    rusqlite::params![at as i64, row[0], row[1], row[2], row[3], row[4], row[5], row[6]],
                )
                .unwrap();
        }
    });
    std::fs::write(site.folder.path().join("switchover.toml"), MAPPING).unwrap();
    site
}

#[test]
fn lists_of_every_kind_come_back_by_value() {
    let site = site(&ROWS);
    let ran = run(&mut site.migrate(&["--validation-sample", "3"])).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    let kinds: Vec<Json> =
        COLUMNS.iter().map(|name| site.server.properties("T")[*name]["dataType"][0].clone()).collect();
    assert_eq!(kinds, ["int[]", "number[]", "boolean[]", "uuid[]", "date[]", "date[]", "text[]"]);
    assert_eq!(site.server.properties("T")["i"]["indexFilterable"], true);
    let objects = site.server.objects("T");
    let of =
        |id: usize| objects.iter().find(|(_, object)| object["properties"]["original_id"] == id).unwrap();
    let first = &of(0).1["properties"];
    assert_eq!(first["i"], json!([9_007_199_254_740_992_i64, -9_007_199_254_740_992_i64, 0]));
    assert_eq!(first["n"], json!([0.1, -0.0, 5e-324, 1.797_693_134_862_315_7e308, 3]));
    assert_eq!(first["b"], json!([true, false]));
    assert_eq!(first["u"], json!(["0188d9c2-af00-7fff-0102-030405060708"]));
    let instants = ["2024-02-29T23:59:59.123456Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"];
    assert_eq!(first["z"], json!(instants));
    assert_eq!(first["p"], json!(["2024-02-29T23:59:59.5Z"]));
    assert_eq!(first["s"], json!(["", "ü"]));
    assert!(COLUMNS.iter().all(|name| of(1).1["properties"][*name] == json!([])), "{:?}", of(1));
    assert!(COLUMNS.iter().all(|name| of(2).1["properties"][*name].is_null()), "{:?}", of(2));
    run(&mut site.verb("verify")).exits(0);
    // Each kind is compared: one element that is another, one that is missing, nothing in place of an empty list.
    let (id, _) = of(0);
    for (column, other) in [
        ("i", "[9007199254740991, -9007199254740992, 0]"),
        ("n", "[0.1, 0.0, 5e-324, 1.7976931348623157e308]"),
        ("b", "[false, true]"),
        ("u", r#"["0188d9c2-af00-7fff-0102-030405060709"]"#),
        ("z", r#"["2024-02-29T23:59:59.123457Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]"#),
        ("p", r#"["2024-02-29T23:59:59.6Z"]"#),
        ("s", "[]"),
    ] {
        site.server.patch("T", id, &format!(r#"{{"{column}":{other}}}"#));
        let ran = run(&mut site.verb("verify")).exits(1);
        assert!(ran.out.contains("id=0") && ran.out.contains(column), "{column}: {ran}");
        run(site.verb("verify").arg("--repair")).exits(0);
    }
    run(&mut site.verb("rollback")).exits(0);
}

#[test]
fn an_element_that_would_not_come_back_is_named() {
    let bad: [(usize, &str, &str); 12] = [
        (0, "[9007199254740993]", "an integer beyond 2^53"),
        (0, "[1.5]", "1.5 in an array of integers"),
        (0, "[1, null]", "null within an array"),
        (1, "[null]", "null within an array"),
        (1, "[0.1000000000000000000001]", "no number that a double holds exactly"),
        (2, "[1]", "1 in an array of boolean"),
        (2, "[true, null]", "null within an array"),
        (3, r#"["x"]"#, "no UUID in lower case with dashes"),
        (4, r#"["2024-01-01 00:00:00"]"#, "a time without a zone"),
        (5, "[5]", "5 in an array of times"),
        (6, r#"["a", null]"#, "null within an array"),
        (6, "{}", "no JSON array of texts"),
    ];
    let rows: Vec<[Option<&str>; 7]> = bad
        .iter()
        .map(|(at, text, _)| std::array::from_fn(|field| (field == *at).then_some(*text)))
        .collect();
    let site = site(&rows);
    let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
    let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for (at, (_, text, said)) in bad.iter().enumerate() {
        assert!(all.contains(&format!("id={at}")) && all.contains(said), "{text}: {said}: {ran}");
    }
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    let empty = |object: &Json| COLUMNS.iter().all(|name| object["properties"][*name].is_null());
    assert!(site.server.objects("T").values().all(empty));
    run(&mut site.verb("verify")).exits(0);
}

#[test]
fn lists_that_the_server_does_not_have_are_refused_by_their_type() {
    let site = site(&ROWS);
    for ty in ["integer[]", "smallint[]", "numeric[]", "varchar(9)[]"] {
        let mapping = format!("[table.t.column]\ni.type = '{ty}'");
        std::fs::write(site.folder.path().join("switchover.toml"), mapping).unwrap();
        let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
        let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(all.contains(&format!("the target has no columns of the type {ty}")), "{ran}");
    }
}
