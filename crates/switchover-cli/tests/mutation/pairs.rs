//! Every pair of stores, by the same changes: each is made on the target behind the tool's back, found, named, and made
//! good where the target can be repaired.
//!
//! Two tables with a column of every type hold the same rows: `k` has a key, `r` has none and each row twice.

use crate::support::{Case, Moved, check};
use crate::{TYPES, Type, flip, found};
use rusqlite::types::Value;
use serde_json::Value as Json;
use std::fs;
use switchover::report::{DifferenceKind, Verdict};

/// The tables as an application's migrations might have made them.
const TABLES: &str = "
    CREATE TABLE k(w text, o boolean, j jsonb, z timestamptz, s timestamp, d date, u uuid, b bytea, v varchar(5), t text,
        n numeric(9,3), f double precision, i bigint, id int PRIMARY KEY);
    CREATE TABLE r(w text, o boolean, j jsonb, z timestamptz, s timestamp, d date, u uuid, b bytea, v varchar(5), t text,
        n numeric(9,3), f double precision, i bigint)";

/// A source with both tables.
fn everything() -> Case {
    let listed = |of: &dyn Fn(&Type) -> String| TYPES.iter().map(of).collect::<Vec<_>>().join(", ");
    let columns = listed(&|(name, declared, ..)| format!("{name} {declared}"));
    let row = |at: usize| {
        let value = |values: &str| {
            let values: Vec<&str> = values.trim_matches(['(', ')']).split("), (").collect();
            values[at].to_owned()
        };
        listed(&|(_, _, values, _)| value(values))
    };
    let (names, nulls) = (listed(&|(name, ..)| (*name).to_owned()), listed(&|_| "NULL".to_owned()));
    check(&format!(
        "CREATE TABLE k(id INTEGER PRIMARY KEY, {columns}, w TEXT); CREATE TABLE r({columns}, w TEXT);
         INSERT INTO k VALUES (1, {}, 'a'), (2, {}, 'a'), (3, {nulls}, '');
         INSERT INTO r SELECT {names}, w || id FROM k; INSERT INTO r SELECT * FROM r;",
        row(0),
        row(1)
    ))
}

/// What a target is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Database,
    /// Tables that were there, which are not repaired.
    Tables,
    File,
    /// A dump, which is not repaired.
    Dump,
}

/// Runs a check on every pair.
fn every(check: impl Fn(&Target)) {
    for (name, kind, case) in [
        ("SQLite to PostgreSQL", Kind::Database, everything()),
        ("SQLite to PostgreSQL, tables that are there", Kind::Tables, everything().into_tables(TABLES)),
        ("SQLite to SQLite", Kind::File, everything().into_file()),
        ("SQLite to JSON", Kind::Dump, everything().into_dump()),
        ("JSON to SQLite", Kind::File, everything().by_dump()),
        ("PostgreSQL to SQLite", Kind::File, everything().by_database()),
    ] {
        println!("{name}");
        let target = Target { moved: case.moves(), kind };
        if kind == Kind::Tables {
            target
                .moved
                .runs("CREATE SCHEMA kept; CREATE TABLE kept.k AS TABLE k; CREATE TABLE kept.r AS TABLE r");
        }
        check(&target);
        assert_eq!(target.moved.case.verify(false).unwrap().verdict, Verdict::Same, "{name}");
    }
}

/// A change of a target: of a column, or of a row.
#[derive(Clone, Copy)]
enum Edit {
    /// A bit of the first row's value.
    Bit,
    /// The first row's value is the second's, and in the table with a key the other way round too.
    Swap,
    /// NULL for the second row's value, which is empty where a type has such.
    Null,
    /// The second row's value where there was NULL.
    Filled,
    /// The first row is gone.
    Remove,
    /// A row too many.
    Add,
    /// No row is left.
    Clear,
}

struct Target {
    moved: Moved,
    kind: Kind,
}

impl Target {
    /// Makes the change, sees it found, and makes it good.
    #[track_caller]
    fn finds(&self, table: &str, (name, change): (&str, &str), edit: Edit, kind: DifferenceKind) {
        println!("{table}.{name}");
        let column = format!("column: {name:?}");
        let mut words = if name.is_empty() { vec![] } else { vec![&*column] };
        if table == "k" {
            words.extend(match edit {
                Edit::Bit | Edit::Remove => vec!["id=1"],
                Edit::Swap => vec!["id=1", "id=2"],
                Edit::Null => vec!["id=2", "target: \"NULL\""],
                Edit::Filled => vec!["id=3", "source: \"NULL\""],
                Edit::Add => vec!["id=77"],
                Edit::Clear => vec!["id=1", "id=2", "id=3"],
            });
        }
        let whole = (self.kind == Kind::Dump).then(|| fs::read(self.moved.case.dump()).unwrap());
        let again = || match &whole {
            Some(whole) => fs::write(self.moved.case.dump(), whole).unwrap(),
            None => {
                self.moved.runs(&format!("DELETE FROM {table}; INSERT INTO {table} TABLE kept.{table}"));
            }
        };
        let undo = matches!(self.kind, Kind::Dump | Kind::Tables).then_some(&again as &dyn Fn());
        match self.kind {
            Kind::Dump => self.edit_dump(table, name, edit),
            Kind::File if matches!(edit, Edit::Bit) => self.flip_in_file(table, name),
            Kind::File | Kind::Tables | Kind::Database => self.edit_by_sql(table, name, change, edit),
        }
        found(&self.moved, table, kind, &words, undo);
    }

    fn edit_by_sql(&self, table: &str, name: &str, change: &str, edit: Edit) {
        let place = if self.kind == Kind::File { "rowid" } else { "ctid" };
        let row = |id: i64| match table {
            "k" => format!("id = {id}"),
            _ => format!("{place} = (SELECT min({place}) FROM r WHERE w LIKE '%{id}')"),
        };
        let value = |id: i64| format!("(SELECT o.{name} FROM {table} o WHERE {})", row(id));
        self.moved.runs(&match edit {
            Edit::Bit => format!("UPDATE {table} SET {name} = {} WHERE {}", flip(name, change), row(1)),
            Edit::Swap if table == "k" => {
                format!("UPDATE k SET {name} = o.{name} FROM k o WHERE k.id + o.id = 3")
            }
            Edit::Swap => format!("UPDATE r SET {name} = {} WHERE {}", value(2), row(1)),
            Edit::Null => format!("UPDATE {table} SET {name} = NULL WHERE {}", row(2)),
            Edit::Filled => format!("UPDATE {table} SET {name} = {} WHERE {}", value(2), row(3)),
            Edit::Remove => format!("DELETE FROM {table} WHERE {}", row(1)),
            Edit::Add if table == "k" => "INSERT INTO k(id, w) VALUES (77, 'new')".into(),
            Edit::Add => format!("INSERT INTO r SELECT * FROM r WHERE {}", row(1)),
            Edit::Clear => format!("DELETE FROM {table}"),
        });
    }

    /// A bit, whatever the value is stored as.
    fn flip_in_file(&self, table: &str, name: &str) {
        let file = self.moved.case.target();
        let row = if table == "k" { "id = 1" } else { "rowid = (SELECT min(rowid) FROM r WHERE w = 'a1')" };
        let value: Value =
            file.query_row(&format!("SELECT {name} FROM {table} WHERE {row}"), [], |row| row.get(0)).unwrap();
        let other = match value {
            Value::Integer(i) => Value::Integer(i ^ 1),
            Value::Real(f) => Value::Real(f64::from_bits(f.to_bits() ^ 1)),
            Value::Text(text) => Value::Text(format!("{text}\u{1}")),
            Value::Blob(bytes) => Value::Blob(bytes.iter().map(|byte| byte ^ 1).collect()),
            Value::Null => unreachable!("the first row has values"),
        };
        file.execute(&format!("UPDATE {table} SET {name} = ?1 WHERE {row}"), [other]).unwrap();
    }

    fn edit_dump(&self, table: &str, name: &str, edit: Edit) {
        let path = self.moved.case.dump();
        let mut dump: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let rows = dump[table].as_array_mut().unwrap();
        let at = |id: i64| {
            let (key, own) = if table == "k" { ("id", id.to_string()) } else { ("w", id.to_string()) };
            rows.iter().position(|row| row[key].to_string().trim_matches('"').ends_with(&own)).unwrap()
        };
        let (one, two, three) = (at(1), at(2), at(3));
        match edit {
            Edit::Bit => flip_json(&mut rows[one][name]),
            Edit::Swap => {
                let (first, second) = (rows[one][name].clone(), rows[two][name].clone());
                rows[one][name] = second;
                if table == "k" {
                    rows[two][name] = first;
                }
            }
            Edit::Null => rows[two][name] = Json::Null,
            Edit::Filled => rows[three][name] = rows[two][name].clone(),
            Edit::Remove => drop(rows.remove(one)),
            Edit::Add => {
                let mut row = rows[one].clone();
                if table == "k" {
                    row["id"] = 77.into();
                }
                rows.push(row);
            }
            Edit::Clear => rows.clear(),
        }
        fs::write(&path, dump.to_string()).unwrap();
    }
}

/// A bit of the first scalar of a value.
fn flip_json(value: &mut Json) {
    *value = match &*value {
        Json::Bool(truth) => Json::Bool(!truth),
        Json::Number(number) => match number.as_i64() {
            Some(i) => Json::from(i ^ 1),
            None => Json::from(f64::from_bits(number.as_f64().unwrap().to_bits() ^ 1)),
        },
        Json::String(text) => Json::from(format!("{text}\u{1}")),
        Json::Object(tagged) if tagged.contains_key("$switchover.blob") => {
            serde_json::json!({ "$switchover.blob": "01ff" })
        }
        Json::Object(_) => return value.as_object_mut().unwrap().values_mut().for_each(flip_json),
        Json::Array(_) => return value.as_array_mut().unwrap().iter_mut().for_each(flip_json),
        Json::Null => unreachable!("the first row has values"),
    };
}

#[test]
fn one_value_per_type() {
    every(|target| {
        for (name, _, _, change) in TYPES {
            for (table, edit) in ["k", "r"]
                .iter()
                .flat_map(|table| [Edit::Bit, Edit::Swap, Edit::Null, Edit::Filled].map(|edit| (table, edit)))
            {
                target.finds(table, (name, change), edit, DifferenceKind::Changed);
            }
        }
    });
}

#[test]
fn rows_too_few_and_too_many() {
    every(|target| {
        for table in ["k", "r"] {
            target.finds(table, ("", ""), Edit::Remove, DifferenceKind::Missing);
            target.finds(table, ("", ""), Edit::Add, DifferenceKind::Extra);
            target.finds(table, ("", ""), Edit::Clear, DifferenceKind::Missing);
        }
    });
}
