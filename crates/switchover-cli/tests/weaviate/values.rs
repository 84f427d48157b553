//! What each kind of value becomes, and what the server cannot hold.

use crate::common::run;
use crate::server::Site;
use serde_json::json;
use switchover_testkit::Weaviate;

#[test]
fn every_kind_of_value_arrives_as_it_is() {
    let site = Site::with(|source| {
        source
            .execute_batch(
                "CREATE TABLE v(id TEXT PRIMARY KEY, small INT, large INT, num REAL, price DECIMAL(10,2), txt TEXT,
                    raw BLOB, truth BOOLEAN, day DATE, at DATETIME, zoned DATETIME, ref UUID, doc JSON);",
            )
            .unwrap();
        let insert = "INSERT INTO v VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
        let one = rusqlite::params![
            "first",
            -9_007_199_254_740_992_i64,
            i64::MIN,
            -0.0,
            12.25,
            "",
            [0u8, 255],
            true,
            "0001-01-01",
            "2024-02-29 23:59:59.123456",
            "2024-01-01T00:00:00.5Z",
            "0188d9c2-af00-7fff-0102-030405060708",
            "{\"a\": [1, null]}"
        ];
        source.execute(insert, one).unwrap();
        let two = rusqlite::params![
            "second",
            9_007_199_254_740_992_i64,
            i64::MAX,
            f64::MIN_POSITIVE,
            3,
            "a\0b\u{feff}\u{10ffff}",
            [7u8],
            false,
            "9999-12-31",
            "1970-01-01 00:00:00.000001",
            "9999-12-31T23:59:59.999999Z",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "[]"
        ];
        source.execute(insert, two).unwrap();
        source.execute("INSERT INTO v(id) VALUES ('third')", []).unwrap();
    });
    run(&mut site.migrate(&[])).exits(0);
    let objects = site.server.objects("V");
    let of = |id: &str| {
        objects.values().find(|o| o["properties"]["original_id"] == id).unwrap()["properties"].clone()
    };
    let first = of("first");
    assert_eq!(first["small"], json!(-9_007_199_254_740_992_i64));
    assert_eq!(first["large"], "-9223372036854775808", "beyond 2^53: the text of its digits");
    assert_eq!(first["txt"], "");
    assert_eq!(first["raw"], "AP8=");
    assert_eq!(first["truth"], true);
    assert_eq!(first["day"], "0001-01-01T00:00:00Z");
    assert_eq!(first["at"], "2024-02-29T23:59:59.123456Z");
    assert_eq!(first["ref"], "0188d9c2-af00-7fff-0102-030405060708");
    assert_eq!(first["doc"], "{\"a\": [1, null]}");
    assert_eq!(first["price"], 12.25);
    let second = of("second");
    assert_eq!(second["large"], "9223372036854775807");
    assert_eq!(second["txt"], "a\0b\u{feff}\u{10ffff}");
    assert_eq!(second["num"], json!(f64::MIN_POSITIVE));
    assert_eq!(of("third").as_object().unwrap().keys().collect::<Vec<_>>(), ["original_id"]);
}

#[test]
fn what_the_server_cannot_hold_is_named_or_put_aside() {
    let fill = |source: &rusqlite::Connection| {
        source
            .execute_batch(
                "CREATE TABLE v(id INTEGER PRIMARY KEY, num REAL, raw BLOB, txt TEXT);
                 INSERT INTO v VALUES (1, 1e999, x'01', 'a'), (2, 0.5, x'', 'b'), (3, 0.5, x'02', CAST(x'ff' AS TEXT));",
            )
            .unwrap();
    };
    let site = Site::with(fill);
    let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
    for reason in ["not finite", "empty blob", "not valid UTF-8"] {
        assert!(ran.out.contains(reason) || ran.err.contains(reason), "{reason}: {ran}");
    }
    run(&mut site.migrate(&[])).exits(1);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    let objects = site.server.objects("V");
    let first = objects.values().find(|o| o["properties"]["original_id"] == 1).unwrap();
    assert!(first["properties"]["num"].is_null());
    assert_eq!(first["properties"]["raw"], "AQ==");
    assert_eq!(objects.len(), 3);
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn names_that_become_one_are_refused() {
    let site = Site::new(
        "CREATE TABLE a(\"x-y\" INT, \"x_y\" INT); CREATE TABLE \"a b\"(x INT); CREATE TABLE \"A_b\"(x INT)",
    );
    let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("all become"), "{ran}");
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn rows_without_a_key_and_keys_of_several_columns_arrive_once() {
    let site = Site::new(
        "CREATE TABLE plain(a TEXT, b INT); INSERT INTO plain VALUES ('x', 1), ('x', 1), (NULL, NULL);
         CREATE TABLE pair(a TEXT, b INT, c TEXT, PRIMARY KEY (a, b)); INSERT INTO pair VALUES ('x', 1, 'y'), ('x', 2, 'z'), (NULL, 1, 'n'), (NULL, 1, 'm');",
    );
    // Looked up are those that the server finds by their keys.
    let ran = run(&mut site.migrate(&["--validation-sample", "10"])).exits(0);
    assert!(ran.out.contains("2 rows were looked up again by key"), "{ran}");
    site.has_all(&[("plain", "Plain"), ("pair", "Pair")]);
    run(site.verb("verify").args(["--sample", "10"])).exits(2);
}

#[test]
fn vectors_keep_their_bits() {
    let site = Site::with(|source| {
        source.execute_batch("CREATE TABLE doc(id INTEGER PRIMARY KEY, txt TEXT, embedding BLOB)").unwrap();
        for id in 0..20_i64 {
            let numbers: Vec<u8> = (0..8).flat_map(|at| ((id * 8 + at) as f32 / 3.0).to_le_bytes()).collect();
            source.execute("INSERT INTO doc VALUES (?, 't', ?)", rusqlite::params![id, numbers]).unwrap();
        }
    });
    std::fs::write(
        site.folder.path().join("switchover.toml"),
        "[table.doc.column]\nembedding.type = \"vector\"\n",
    )
    .unwrap();
    run(site.migrate(&[]).args(["-c", "switchover.toml"])).exits(0);
    for object in site.server.objects("Doc").values() {
        let id = object["properties"]["original_id"].as_i64().unwrap();
        let vector: Vec<f32> = serde_json::from_value(object["vector"].clone()).unwrap();
        let wanted: Vec<f32> = (0..8).map(|at| (id * 8 + at) as f32 / 3.0).collect();
        assert_eq!(
            vector.iter().map(|f| f.to_bits()).collect::<Vec<_>>(),
            wanted.iter().map(|f| f.to_bits()).collect::<Vec<_>>()
        );
    }
}

/// Several of a table are named by their columns; each is verified.
#[test]
fn several_vectors_have_names_and_keep_their_bits() {
    let site = Site::with(|source| {
        source.execute_batch("CREATE TABLE doc(id INTEGER PRIMARY KEY, title BLOB, body TEXT)").unwrap();
        for id in 0..20_i64 {
            let title: Vec<u8> = (0..4).flat_map(|at| ((id * 4 + at) as f32 / 3.0).to_le_bytes()).collect();
            let body = format!("[{id}, 0.1, -3e-40]");
            source.execute("INSERT INTO doc VALUES (?, ?, ?)", rusqlite::params![id, title, body]).unwrap();
        }
    });
    let mapping = "[table.doc.column]\ntitle.type = 'vector'\nbody.type = 'vector'\n";
    std::fs::write(site.folder.path().join("switchover.toml"), mapping).unwrap();
    run(&mut site.migrate(&[])).exits(0);
    let bits = |object: &serde_json::Value, name: &str| -> Vec<u32> {
        let numbers: Vec<f32> = serde_json::from_value(object["vectors"][name].clone()).unwrap();
        numbers.iter().map(|number| number.to_bits()).collect()
    };
    let objects = site.server.objects("Doc");
    assert_eq!(objects.len(), 20);
    for object in objects.values() {
        let id = object["properties"]["original_id"].as_i64().unwrap();
        let title: Vec<u32> = (0..4).map(|at| ((id * 4 + at) as f32 / 3.0).to_bits()).collect();
        assert_eq!(bits(object, "title"), title);
        assert_eq!(bits(object, "body"), [(id as f32).to_bits(), 0.1_f32.to_bits(), (-3e-40_f32).to_bits()]);
    }
    run(&mut site.verb("verify")).exits(0);
    // A bit of one of them.
    let (id, object) = objects.iter().find(|(_, object)| object["properties"]["original_id"] == 7).unwrap();
    let mut vectors = object["vectors"].clone();
    vectors["body"][0] = serde_json::json!(f32::from_bits(7.0_f32.to_bits() ^ 1));
    let body = serde_json::json!({ "class": "Doc", "id": id, "properties": object["properties"], "vectors": vectors });
    assert_eq!(site.server.rest("PUT", &format!("/v1/objects/Doc/{id}"), &body.to_string()).0, 200);
    let ran = run(&mut site.verb("verify")).exits(1);
    assert!(ran.out.contains("id=7") && ran.out.contains("body"), "{ran}");
}

/// An index is of one length: the server would say so in the middle of the load.
#[test]
fn vectors_of_another_length_than_most_are_named_by_the_plan() {
    let site = Site::with(|source| {
        source.execute_batch("CREATE TABLE doc(id INTEGER PRIMARY KEY, embedding BLOB, other TEXT)").unwrap();
        for id in 0..20_i64 {
            let blob = vec![id as u8; if id == 7 { 16 } else { 32 }];
            let json = if id == 9 { "[1, 2]" } else { "[1, 2, 3]" };
            source.execute("INSERT INTO doc VALUES (?, ?, ?)", rusqlite::params![id, blob, json]).unwrap();
        }
    });
    let mapping = "[table.doc.column]\nembedding.type = 'vector'\nother.type = 'vector'\n";
    std::fs::write(site.folder.path().join("switchover.toml"), mapping).unwrap();
    let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
    let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "id=7",
        "a vector of 4 numbers, where the column's have 8",
        "id=9",
        "a vector of 2 numbers, where the column's have 3",
    ] {
        assert!(all.contains(said), "{said}: {ran}");
    }
    assert!(!all.contains("id=8"), "{ran}");
    run(&mut site.migrate(&[])).exits(1);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    let objects = site.server.objects("Doc");
    let of = |id: i64, name: &str| {
        let object = objects.values().find(|object| object["properties"]["original_id"] == id).unwrap();
        object["vectors"][name].as_array().map(Vec::len)
    };
    assert_eq!((of(7, "embedding"), of(7, "other")), (None, Some(3)));
    assert_eq!((of(9, "embedding"), of(9, "other")), (Some(8), None));
    run(&mut site.verb("verify")).exits(0);
}

/// An instant is within the years 1 to 9999 of UTC, as the server's own dates are, or it is put aside.
#[test]
fn dates_at_the_ends_of_what_the_server_holds() {
    let site = Site::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, at TEXT);
         INSERT INTO t VALUES (1, '0001-01-01T00:00:00Z'), (2, '0001-01-01T00:00:00+02:00'), (3, '9999-12-31T23:59:59.999999Z'),
            (4, '9999-12-31T23:59:59-02:00'), (5, '0001-01-01T00:00:00-02:00'), (6, '9999-12-31T23:59:59+02:00');",
    );
    std::fs::write(
        site.folder.path().join("switchover.toml"),
        "[table.t.column]\nat.type = 'timestamptz'\nat.naive_times = 'utc'",
    )
    .unwrap();
    let refused = run(&mut site.migrate(&["--dry-run"])).exits(1);
    assert!(refused.out.contains("id=2") && refused.out.contains("id=4"), "{refused}");
    let refused = run(&mut site.migrate(&[])).exits(1);
    assert!(refused.err.contains("outside of the years 1 to 9999"), "{refused}");
    assert_eq!(site.server.collections(), Vec::<String>::new());
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    let held = site.server.objects("T");
    let at = |id: i64| {
        held.values().find(|object| object["properties"]["original_id"] == id).unwrap()["properties"]["at"]
            .clone()
    };
    assert_eq!([at(1), at(5)], ["0001-01-01T00:00:00Z", "0001-01-01T02:00:00Z"]);
    assert_eq!([at(3), at(6)], ["9999-12-31T23:59:59.999999Z", "9999-12-31T21:59:59Z"]);
    assert!(at(2).is_null() && at(4).is_null());
    run(&mut site.verb("verify")).exits(0);
}

/// The server says how large a message may be. What fits alone is sent alone; what does not is named at once.
#[test]
fn rows_that_fill_a_message_are_sent_alone_and_one_that_fits_none_is_named() {
    let server = Weaviate::builder().setting("GRPC_MAX_MESSAGE_SIZE", "1048576").start().unwrap();
    let site = Site::at((*server).clone(), |source| {
        source
            .execute_batch(
                "CREATE TABLE v(id INTEGER PRIMARY KEY, txt TEXT, raw BLOB);
                 INSERT INTO v VALUES (1, printf('%.*c', 700000, 'a'), x'01'), (2, printf('%.*c', 700000, 'b'), x'02'), (3, 'c', zeroblob(900000));",
            )
            .unwrap();
    });
    let ran = run(&mut site.migrate(&[])).exits(1);
    assert!(ran.err.contains("row id=3") && ran.err.contains("the server takes 1048576"), "{ran}");
    assert!(!ran.err.contains("trying again"), "{ran}");
    assert_eq!(site.server.collections(), Vec::<String>::new());
    std::fs::write(site.folder.path().join("switchover.toml"), "[table.v]\nwhere = 'id < 3'").unwrap();
    // Nor does it answer with more than it takes.
    let ran = run(&mut site.migrate(&[])).exits(0);
    assert!(!ran.err.contains("trying again"), "{ran}");
    let lengths = |object: &serde_json::Value| object["properties"]["txt"].as_str().unwrap().len();
    assert_eq!(site.server.objects("V").values().map(lengths).collect::<Vec<_>>(), [700_000, 700_000]);
}

/// What is kept aside comes in messages as well, and is larger there than the value.
#[test]
fn what_is_put_aside_is_cut_to_messages_and_a_value_that_fits_none_is_named() {
    let server = Weaviate::builder().setting("GRPC_MAX_MESSAGE_SIZE", "1048576").start().unwrap();
    let site = Site::at((*server).clone(), |source| {
        source
            .execute_batch(
                "CREATE TABLE v(id INTEGER PRIMARY KEY, txt TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5)
                 INSERT INTO v SELECT i, CAST(zeroblob(400000) || x'ff' AS TEXT) FROM n;
                 INSERT INTO v VALUES (7, CAST(zeroblob(900000) || x'ff' AS TEXT));",
            )
            .unwrap();
    });
    let ran = run(&mut site.migrate(&["--policy", "quarantine"])).exits(1);
    assert!(ran.err.contains("row id=7") && ran.err.contains("kept aside has"), "{ran}");
    assert!(!ran.err.contains("trying again"), "{ran}");
    assert_eq!(site.server.collections(), Vec::<String>::new());
    site.source().execute_batch("DELETE FROM v WHERE id = 7").unwrap();
    let ran = run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    assert!(!ran.err.contains("trying again"), "{ran}");
    let aside = site.server.objects("Switchover_record");
    let aside = aside.values().filter(|record| record["properties"]["kind"] == "quarantine").count();
    assert_eq!(aside, 5);
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
}

/// An object that gives way may have come over REST, which has no such limit.
#[test]
fn objects_that_give_way_are_cut_to_messages_and_one_that_fits_none_is_named() {
    let server = Weaviate::builder().setting("GRPC_MAX_MESSAGE_SIZE", "1048576").start().unwrap();
    let site = Site::at((*server).clone(), |source| {
        source
            .execute_batch(
                "CREATE TABLE v(id INTEGER PRIMARY KEY, txt TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) INSERT INTO v SELECT i, 'new' FROM n;",
            )
            .unwrap();
    });
    let property = |name: &str, kind: &str| json!({ "name": name, "dataType": [kind], "indexSearchable": false, "indexFilterable": false });
    let class = json!({ "class": "V", "vectorizer": "none", "properties": [
        { "name": "original_id", "dataType": ["int"] }, property("txt", "text")] });
    assert_eq!(site.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
    let put = |id: &str, key: u32, length: usize| {
        let properties = json!({ "original_id": key, "txt": "a".repeat(length) });
        let object = json!({ "class": "V", "id": id, "properties": properties });
        site.server.rest("DELETE", &format!("/v1/objects/V/{id}"), "");
        assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    };
    for (id, key) in GIVING_WAY.iter().zip(1..) {
        put(id, key, 700_000);
    }
    put(GIVING_WAY[1], 2, 1_048_400);
    let fill = || site.migrate(&["--into", "existing", "--on-conflict", "replace"]);
    let ran = run(&mut fill()).exits(1);
    assert!(ran.err.contains(GIVING_WAY[1]) && ran.err.contains("kept aside has"), "{ran}");
    assert!(!ran.err.contains("trying again"), "{ran}");
    put(GIVING_WAY[1], 2, 700_000);
    let before = site.server.objects("V");
    let ran = run(&mut fill()).exits(0);
    assert!(!ran.err.contains("trying again"), "{ran}");
    run(&mut site.verb("rollback")).exits(0);
    let texts = |objects: &std::collections::BTreeMap<String, serde_json::Value>| {
        objects.iter().map(|(id, object)| (id.clone(), object["properties"].clone())).collect::<Vec<_>>()
    };
    assert!(texts(&site.server.objects("V")) == texts(&before));
    assert_eq!(site.server.collections(), ["V"]);
}

/// As Python says it: `[str(uuid.uuid5(uuid.NAMESPACE_DNS, "V" + str(n))) for n in (1, 2, 3)]`.
const GIVING_WAY: [&str; 3] = [
    "bc72836d-6b51-5ba6-ac48-32a5b3840b4a",
    "82930ba8-771e-512a-a02a-fde6b163cd43",
    "e3146d58-e50a-5092-810d-967b9a5c0bc4",
];

/// Kinds of keys: a collection, its columns, a row's values, the text that Python makes the id of, and the id:
/// `uuid.uuid5(uuid.NAMESPACE_DNS, collection + text)`.
const KEYS: &[(&str, &str, &str, &str, &str)] = &[
    ("Wide", "k REAL PRIMARY KEY", "1e16", "1e16", "9f860160-901b-5f62-992e-9144645e24f6"),
    ("Small", "k REAL PRIMARY KEY", "1e-5", "1e-5", "f1697d90-7929-5cd2-8b0e-70ffca8384f0"),
    ("Whole", "k REAL PRIMARY KEY", "3.0", "3.0", "adb067c0-8b30-51d9-a54e-bbc07b106236"),
    ("Price", "k NUMERIC(9,3) PRIMARY KEY", "2.5", "2.5", "6ed5e1b3-037e-5a7d-ab05-41aef04c7090"),
    (
        "Digits",
        "k NUMERIC PRIMARY KEY",
        "9223372036854775807",
        "9223372036854775807e0",
        "b7248118-f57b-5671-bb98-adcfe113aac2",
    ),
    ("Digits", "k NUMERIC PRIMARY KEY", "2.5", "25e-1", "74b3a525-16fc-546c-b838-db50c120d447"),
    ("Digits", "k NUMERIC PRIMARY KEY", "1000", "1e3", "3798d0b0-13cd-5686-b34a-cb38846f2176"),
    (
        "Big",
        "k INTEGER PRIMARY KEY",
        "9007199254740993",
        "9007199254740993",
        "2b858cfb-ab25-54f9-b577-8ecf01114c5c",
    ),
    ("Day", "k DATE PRIMARY KEY", "'2024-02-29'", "19782", "39d322ab-4e13-52e0-9002-fa61328d5a70"),
    (
        "Moment",
        "k DATETIME PRIMARY KEY",
        "'2024-02-29 12:00:00'",
        "1709208000000000",
        "78cbf2ea-b313-508d-bf26-56371363933b",
    ),
    (
        "Instant",
        "k TIMESTAMPTZ PRIMARY KEY",
        "'2024-02-29T12:00:00Z'",
        "1709208000000000",
        "c0d443b7-dac6-5ff9-8846-1eafa22deabc",
    ),
    ("Truth", "k BOOLEAN PRIMARY KEY", "1", "true", "1c7ffa90-065f-53c8-8d22-21b194eb73d8"),
    ("Bytes", "k BLOB PRIMARY KEY", "x'00ff'", "00ff", "dc3bad2b-7595-5979-a53a-dd2c4ef5b96a"),
    (
        "Pair",
        "k TEXT, b INT, PRIMARY KEY (k, b)",
        "'ü', 1",
        r#"["ü","1"]"#,
        "7c05366d-1881-5f8c-8581-ada9b1e349f0",
    ),
];

/// The texts stand in the guide, for programs that compute an id.
#[test]
fn keys_of_every_kind_have_the_ids_that_the_guide_says() {
    let site = Site::with(|source| {
        for (table, columns, values, ..) in KEYS {
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {table}({columns}); INSERT INTO {table} VALUES ({values})"
            );
            source.execute_batch(&sql).unwrap();
        }
    });
    run(&mut site.migrate(&[])).exits(0);
    for (collection, _, values, text, id) in KEYS {
        let objects = site.server.objects(collection);
        assert!(objects.contains_key(*id), "{collection} {values}: {text}: {objects:?}");
    }
}
