//! What was migrated, read by Weaviate's official Python client: a reader that shares nothing with the product.

use crate::common::objects::base64;
use crate::common::run;
use crate::server::Site;
use rusqlite::types::ValueRef;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::process::Command;
use switchover_testkit::weaviate::python;

const SOURCE: &str = "
    CREATE TABLE sample(id INTEGER PRIMARY KEY, small INT, large INT, num REAL, txt TEXT, raw BLOB, truth BOOLEAN,
        at DATETIME, ref UUID, doc JSON, day DATE, tags TEXT, emb TEXT);
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2499)
    INSERT INTO sample SELECT i, iif(i % 5, i * 3602879701896.0 * (i % 2 * 2 - 1), NULL),
        iif(i % 7, 9007199254740993 + i, NULL), iif(i % 11, (i - 1200) / 3.0, NULL),
        iif(i % 13, 'text ' || i || char(10) || '😀 \"ü\" ' || char(0) || ' end', NULL),
        iif(i % 3, CAST(char(1 + i % 100) || 'é' || i AS BLOB), NULL), iif(i % 17, i % 2, NULL),
        iif(i % 19, strftime('%Y-%m-%d %H:%M:%S', i * 1000003, 'unixepoch') || printf('.%06d', i * 37), NULL),
        iif(i % 23, printf('%08x-0000-4000-8000-%012x', i * 65537, i), NULL),
        iif(i % 29, '{\"n\": ' || i || ', \"list\": [1, null, \"x\"]}', NULL), iif(i % 31, date(i * 86400, 'unixepoch'), NULL),
        iif(i % 37, '[\"a' || i || '\",\"\",\"é\"]', NULL), '[0.5,' || (i / 8.0) || ',-2.0]' FROM n;
    UPDATE sample SET small = CAST(small AS INT), num = -0.0 WHERE id = 1;
    UPDATE sample SET txt = '' WHERE id = 2;";

#[test]
fn the_official_client_reads_what_the_source_holds() {
    let site = Site::new(SOURCE);
    let mapping = "[table.sample.column]\ntags.type = 'text[]'\nemb.type = 'vector'";
    std::fs::write(site.folder.path().join("switchover.toml"), mapping).unwrap();
    run(&mut site.migrate(&[])).exits(0);
    let address = &site.server.0;
    let output = Command::new(python().unwrap())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/weaviate/readback.py"))
        .args([address.http_port().to_string(), address.grpc_port().to_string(), "Sample".to_owned()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let read: BTreeMap<i64, Json> = said
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap())
        .map(|object| (object["properties"]["original_id"].as_i64().unwrap(), object))
        .collect();

    let source = site.source();
    let mut statement = source.prepare("SELECT * FROM sample").unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([]).unwrap();
    let mut count = 0;
    while let Some(row) = rows.next().unwrap() {
        count += 1;
        let id: i64 = row.get(0).unwrap();
        let object = read.get(&id).unwrap_or_else(|| panic!("row {id} is not there"));
        let properties = &object["properties"];
        // The vector is none of them.
        assert_eq!(properties.as_object().unwrap().len(), names.len() - 1, "{properties}");
        let bits = |number: f64| format!("{:016x}", number.to_bits());
        assert_eq!(object["vectors"], json!({ "default": [bits(0.5), bits(id as f64 / 8.0), bits(-2.0)] }));
        assert_eq!(object["uuid"], object["generate_uuid5"], "the id that the client itself would give");
        for (at, name) in names.iter().enumerate().filter(|(_, name)| *name != "emb") {
            let property = if name == "id" { "original_id" } else { name };
            let (want, got) = (expected(name, row.get_ref(at).unwrap()), &properties[property]);
            assert_eq!(*got, want, "row {id}, {name}");
        }
    }
    assert_eq!((count, read.len()), (2500, 2500));
}

/// What the client must give for a cell of the source.
fn expected(column: &str, cell: ValueRef<'_>) -> Json {
    match (column, cell) {
        (_, ValueRef::Null) => Json::Null,
        ("truth", ValueRef::Integer(int)) => json!(int != 0),
        // Some are beyond 2^53: the text of their digits.
        ("large", ValueRef::Integer(int)) => json!(int.to_string()),
        (_, ValueRef::Integer(int)) => json!(int),
        (_, ValueRef::Real(real)) => json!(format!("{:016x}", real.to_bits())),
        ("tags", ValueRef::Text(text)) => serde_json::from_slice(text).unwrap(),
        ("day", ValueRef::Text(text)) => {
            json!(format!("{}T00:00:00.000000+00:00", std::str::from_utf8(text).unwrap()))
        }
        ("at", ValueRef::Text(text)) => {
            json!(format!("{}+00:00", std::str::from_utf8(text).unwrap().replace(' ', "T")))
        }
        (_, ValueRef::Text(text)) => json!(std::str::from_utf8(text).unwrap()),
        (_, ValueRef::Blob(bytes)) => json!(base64(bytes)),
    }
}
