//! Random schemas with random values and foreign keys: whatever they are, a migration with quarantine is verified as same,
//! and so it is by a comparison that shares no code with the verification. So it is under random mappings, whose
//! rows the test then reads by SQL of its own.
//!
//! That comparison reads the source through its own SELECTs and the target as text through `psql`, or a Weaviate through
//! plain HTTP; every
//! cell must be there in the text that its value has under the column's type, or NULL with the exact
//! value in quarantine. `SWITCHOVER_PROPERTY_CASES` asks for so many new cases; the seed of each is
//! printed, and `SWITCHOVER_PROPERTY_SEED` repeats one.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod made;
mod mapped;
#[path = "../support/mod.rs"]
mod support;
mod told;

use made::{Input, input, keys, make, mend, quoted, relate};
use mapped::{Expected, Reach, mapped, unmapped};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rusqlite::types::Value;
use std::collections::HashMap;
use support::{Case, Entry, check_with};
use switchover_core::Kind;
use switchover_core::mapping::Mapping;
use switchover_core::plan::{Plan, Policy};
use switchover_core::value::OwnedValue;
use switchover_testkit::lite;
use told::{How, Ids, by_postgres, by_server, same_in_quarantine, shown};

const CASES_DEFAULT: u64 = 64;

/// On a Weaviate, where each case makes and removes collections, which goes through a consensus.
const CASES_ON_SERVER: u64 = 12;

/// Makes the source, and says what must come of it.
fn source(
    input: &Input,
    orphans: bool,
    mapping: Option<(&[Vec<u8>], Reach)>,
) -> (Case, Vec<Expected>, Mapping) {
    let (encoding, shapes, links) = input;
    let keys = keys(shapes, links);
    let mut made = Vec::new();
    let case = check_with(|source| {
        source.execute_batch(&format!("PRAGMA encoding = '{encoding}'; PRAGMA foreign_keys = OFF")).unwrap();
        made = shapes
            .iter()
            .enumerate()
            .map(|(at, shape)| make(source, *encoding == "UTF-8", at, shape, &keys))
            .collect();
        keys.iter().for_each(|key| relate(source, shapes, key));
        if !orphans {
            mend(source);
        }
    });
    let (mapping, all) = match mapping {
        None => (Mapping::default(), made.iter().map(unmapped).collect()),
        Some((choices, reach)) => mapped(shapes, &keys, choices, reach),
    };
    (case, all, mapping)
}

/// The texts that the built-in SQLite makes numbers of when they are written again to a column of their type:
/// `3\0` stays a text where another encoding or another version took it for one.
fn texts_that_do_not_stay(source: &rusqlite::Connection) -> u32 {
    let fresh = rusqlite::Connection::open_in_memory().unwrap();
    let columns = "SELECT t.name, c.name, c.type FROM pragma_table_list t, pragma_table_info(t.name) c
                   WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%'";
    let mut columns = source.prepare(columns).unwrap();
    let columns = columns.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let columns: Vec<(String, String, String)> = columns.map(Result::unwrap).collect();
    let mut count = 0;
    for (at, (table, column, ty)) in columns.iter().enumerate() {
        fresh.execute_batch(&format!("CREATE TABLE t{at}(c {})", quoted(ty))).unwrap();
        let column = quoted(column);
        let texts = format!("SELECT {column} FROM {} WHERE typeof({column}) = 'text'", quoted(table));
        let mut texts = source.prepare(&texts).unwrap();
        let mut texts = texts.query([]).unwrap();
        while let Some(row) = texts.next().unwrap() {
            use rusqlite::types::ToSqlOutput::Borrowed;
            fresh
                .execute(&format!("INSERT INTO t{at} VALUES (?1)"), [Borrowed(row.get_ref(0).unwrap())])
                .unwrap();
        }
        let others = format!("SELECT count(*) FROM t{at} WHERE typeof(c) <> 'text'");
        count += fresh.query_row(&others, [], |row| row.get::<_, u32>(0)).unwrap();
    }
    count
}

/// In another file everything is as it was, or as the mapping makes it, and nothing is in quarantine.
fn holds_in_a_file(input: &Input, choices: &[Vec<u8>]) {
    let choices = (!choices.is_empty()).then_some((choices, Reach::Rows));
    let (case, all, mapping) = source(input, false, choices);
    let case = case.options(|options| options.mapping = mapping).into_file();
    let refusals = case.plan().refusals;
    if choices.is_some() && refusals.iter().any(|refusal| refusal.why.contains("parent")) {
        // The mapping left their parents behind.
        case.migrate().expect_err("it must refuse");
        return;
    }
    if refusals.iter().any(|refusal| refusal.why.contains("looks like a number")) {
        assert!(texts_that_do_not_stay(&case.source()) as usize >= refusals.len(), "{refusals:?}");
        case.migrate().expect_err("it must refuse");
        return;
    }
    let moved = case.moves();
    let (from, to) = (moved.case.path(), moved.case.file());
    for Expected { table: (_, table), columns, select } in &all {
        let list: Vec<String> = columns.iter().map(|(_, name)| quoted(name)).collect();
        let there = format!("SELECT {} FROM {}", list.join(", "), quoted(table));
        let found = lite::differing_rows(from, select, &to, &there).unwrap();
        assert!(found.is_empty(), "{table}: {found:#?}");
    }
    let target = rusqlite::Connection::open(&to).unwrap();
    assert!(
        !target.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap(),
        "a row without a parent"
    );
    if choices.is_none() {
        let found = lite::differences_by_name(from, &to).unwrap();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// Whether it was carried out: in a dump, and from there in another file, everything is as it was. A store that a dump
/// cannot say, or that says nothing of a table, is refused in words.
fn holds_in_a_dump(input: &Input) -> bool {
    let (case, all, _) = source(input, false, None);
    let count = |table: &str| -> i64 {
        let query = format!("SELECT count(*) FROM {}", quoted(table));
        case.source().query_row(&query, [], |row| row.get(0)).unwrap()
    };
    let all: Vec<Expected> = all.into_iter().filter(|expected| count(&expected.table.0) > 0).collect();
    if all.is_empty() {
        return false;
    }
    let case = case.into_dump();
    let original = case.path().to_owned();
    let refused = |case: &Case, words: &[&str]| {
        let refusals = case.plan().refusals;
        let known = |why: &str| words.iter().any(|words| why.contains(words));
        assert!(refusals.iter().all(|refusal| known(&refusal.why)), "{refusals:?}");
        !refusals.is_empty()
    };
    if refused(&case, &["not valid UTF-8", "beyond", "name", "column"]) {
        case.migrate().expect_err("it must refuse");
        assert!(!case.dump().exists());
        return false;
    }
    let back = case.by_dump();
    // A column that happens to be called `id` is a dump's key.
    if refused(&back, &["occurs in an earlier row", "looks like a number", "name"]) {
        back.migrate().expect_err("it must refuse");
        return false;
    }
    let plan = back.plan();
    let moved = back.moves();
    for Expected { table: (_, table), columns, .. } in &all {
        let planned = &plan.tables.iter().find(|planned| planned.source == *table).unwrap().columns;
        let list: Vec<String> = columns.iter().map(|(_, name)| quoted(name)).collect();
        // Integers among reals come as reals, by value, and the plan says so.
        let said =
            |name: &str| planned.iter().any(|c| c.source == name && c.why.contains("reals hold all of them"));
        let own = columns.iter().zip(&list).map(|((_, name), list)| match said(name) {
            true => format!("iif(typeof({list}) = 'integer', CAST({list} AS REAL), {list})"),
            false => list.clone(),
        });
        let own = format!("SELECT {} FROM {}", own.collect::<Vec<_>>().join(", "), quoted(table));
        let there = format!("SELECT {} FROM {}", list.join(", "), quoted(table));
        let found = lite::differing_rows(&original, &own, &moved.case.file(), &there).unwrap();
        assert!(found.is_empty(), "{table}: {found:#?}");
    }
    true
}

/// What each id became, by the maps that the target holds.
fn ids(case: &Case, plan: &Plan, mapping: &Mapping, entries: &[Entry]) -> HashMap<(String, String), Ids> {
    let mut all = HashMap::new();
    for (table, map) in &mapping.tables {
        for (column, _) in map.columns.iter().filter(|(_, map)| map.ids.is_some()) {
            let name = format!("{table}_{column}_map");
            let own = plan.tables.iter().find(|planned| planned.source == name).unwrap();
            let rows = format!("SELECT original::text, uuid::text FROM {}", quoted(&own.target));
            let rows = case.database.rows(&rows).unwrap().into_iter();
            let pairs = rows.map(|row| (row[0].clone().unwrap(), vec![row[1].clone().unwrap()]));
            let mut pairs: Ids = pairs.collect();
            // An id that the map's text cannot hold is in quarantine, and its UUID follows from it.
            let aside = entries.iter().filter(|entry| entry.0 == name && entry.2 == "original");
            pairs.extend(aside.map(|entry| (shown(&entry.3), Vec::new())));
            all.insert((table.clone(), column.clone()), pairs);
        }
    }
    all
}

/// Whether somebody asked that what does not fit is refused, and not put aside: by another policy, or by ids, of which two
/// may not become one.
fn may_refuse(mapping: &Mapping) -> bool {
    let mut columns = mapping.tables.values().flat_map(|table| table.columns.values());
    columns.any(|column| {
        column.policy.is_some_and(|policy| policy != Policy::Quarantine) || column.ids.is_some()
    })
}

/// Whether it was carried out, and not refused in words with nothing written.
fn holds(to_server: bool, input: &Input, choices: &[Vec<u8>]) -> bool {
    let reach = if to_server { Reach::Rows } else { Reach::All };
    let (case, all, mapping) = source(input, true, (!choices.is_empty()).then_some((choices, reach)));
    let case = case.options(|options| options.mapping = mapping.clone()).quarantine();
    let case = if to_server { case.into_server() } else { case };
    let planned = match case.try_plan() {
        Ok(planned) => planned,
        // What was drawn for a column contradicts what was drawn for the ids to which it leads.
        Err(error) if error.kind() == Kind::Config && may_refuse(&mapping) => {
            assert!(error.to_string().contains("ids"), "{error}");
            case.migrate().expect_err("it must refuse");
            case.is_untouched();
            println!("refused: {error}");
            return false;
        }
        Err(error) => panic!("{error}"),
    };
    if !planned.refusals.is_empty() {
        let refusals: Vec<_> = planned.refusals.iter().map(|refusal| &refusal.why).collect();
        assert!(planned.refusals.iter().all(|refusal| !refusal.why.is_empty() && !refusal.hint.is_empty()));
        assert!(to_server || may_refuse(&mapping), "{:#?}", planned.refusals);
        case.migrate().expect_err("it must refuse");
        case.is_untouched();
        println!("refused: {refusals:?}");
        return false;
    }
    let moved = case.quarantines();
    let source = moved.case.source();
    let entries = moved.entries();
    let ids = ids(&moved.case, &planned, &mapping, &entries);
    for expected in &all {
        let Expected { table: (plan, table), columns, select } = expected;
        let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
        let (types, mut held) = match moved.case.server() {
            Some(server) => by_server(server, &planned, expected),
            None => by_postgres(&moved.case.database, expected),
        };
        let how: Vec<How> = names.iter().map(|name| how(&planned, &ids, plan, name)).collect();
        let own: Vec<_> = entries.iter().filter(|entry| entry.0 == *plan).collect();
        let mut out: HashMap<String, Vec<(String, OwnedValue, bool)>> = HashMap::new();
        for entry in &own {
            out.entry(format!("{:?}", entry.1)).or_default().push((
                entry.2.clone(),
                entry.3.clone(),
                entry.4,
            ));
        }
        let mut out: Vec<_> = out.into_values().collect();
        let mut statement = source.prepare(select).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<(Value, Option<Vec<u8>>)> = (0..names.len())
                .map(|at| {
                    let cell = row.get_ref(at).unwrap();
                    let bytes = cell.as_bytes().ok().map(<[u8]>::to_vec);
                    let value = match cell {
                        rusqlite::types::ValueRef::Text(t) => {
                            Value::Text(String::from_utf8_lossy(t).into_owned())
                        }
                        other => other.try_into().unwrap(),
                    };
                    (value, bytes)
                })
                .collect();
            let says_all = |found: &[Option<String>], missing: &[(String, OwnedValue, bool)]| {
                cells.iter().enumerate().all(|(at, (value, bytes))| {
                    let entry = missing.iter().find(|entry| entry.0 == *names[at]);
                    match (&found[at], entry) {
                        (None, Some(entry)) => same_in_quarantine(value, bytes.as_deref(), &entry.1),
                        (None, None) => *value == Value::Null,
                        (Some(_), Some(_)) => false,
                        (Some(text), None) => how[at].says(text, value, &types[at], bytes.as_deref()),
                    }
                })
            };
            let nothing = vec![None; names.len()];
            let whole = out.iter().position(|entries| {
                entries[0].2 && entries.len() == names.len() && says_all(&nothing, entries)
            });
            if let Some(at) = whole {
                out.remove(at);
                continue;
            }
            let clean = held.iter().position(|found| says_all(found, &[]));
            if let Some(at) = clean {
                held.remove(at);
                continue;
            }
            let partly = (0..out.len()).find_map(|entry| {
                let at = held.iter().position(|found| !out[entry][0].2 && says_all(found, &out[entry]))?;
                Some((entry, at))
            });
            let Some((entry, at)) = partly else {
                panic!("{table} {names:?} {types:?}: {cells:?} is neither in {held:?} nor in {out:?}")
            };
            out.remove(entry);
            held.remove(at);
        }
        assert!(held.is_empty() && out.is_empty(), "{table}: {held:?} {out:?} come from nowhere");
    }
    true
}

/// What the plan makes of a column. Ids follow their parent's: a column without a map has some key's that it leads to.
fn how(plan: &Plan, ids: &HashMap<(String, String), Ids>, table: &str, column: &str) -> How {
    let mut all = Ids::new();
    for (id, uuids) in ids.values().flatten() {
        all.entry(id.clone()).or_default().extend(uuids.iter().cloned());
    }
    let planned = plan.tables.iter().find(|planned| planned.source == table).unwrap();
    let planned = planned.columns.iter().find(|planned| planned.source == column).unwrap();
    How::of(planned, ids.get(&(table.to_owned(), column.to_owned())).unwrap_or(&all))
}

/// As many cases as asked for, each of a seed of its own, which is printed.
fn each_case(check: impl FnMut(&mut TestRunner)) {
    each_of(CASES_DEFAULT, check);
}

fn each_of(cases: u64, mut check: impl FnMut(&mut TestRunner)) {
    for seed in switchover_testkit::seeds(cases) {
        println!("SWITCHOVER_PROPERTY_SEED={seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        check(&mut TestRunner::new_with_rng(
            Config { cases: 1, failure_persistence: None, ..Config::default() },
            rng,
        ));
    }
}

#[test]
fn whatever_the_source_holds_is_in_another_file_as_it_was() {
    each_case(|runner| {
        let input = input().new_tree(runner).unwrap().current();
        holds_in_a_file(&input, &[]);
    });
}

#[test]
fn whatever_a_mapping_makes_of_it_is_in_another_file() {
    each_case(|runner| {
        let choices = prop::collection::vec(prop::collection::vec(any::<u8>(), 23), 3);
        let (input, choices) = (input(), choices).new_tree(runner).unwrap().current();
        holds_in_a_file(&input, &choices);
    });
}

#[test]
fn whatever_the_source_holds_comes_back_from_a_dump_or_is_refused() {
    let mut carried_out = 0;
    each_case(|runner| {
        let input = input().new_tree(runner).unwrap().current();
        carried_out += u64::from(holds_in_a_dump(&input));
    });
    assert!(carried_out > 0, "all were refused");
}

#[test]
fn whatever_the_source_holds_is_on_the_target_or_in_quarantine() {
    each_case(|runner| {
        let input = input().new_tree(runner).unwrap().current();
        holds(false, &input, &[]);
    });
}

#[test]
fn whatever_a_mapping_makes_of_it_is_on_the_target_or_in_quarantine() {
    let (mut carried_out, mut all) = (0, 0);
    each_case(|runner| {
        let choices = prop::collection::vec(prop::collection::vec(any::<u8>(), 23), 3);
        let (input, choices) = (input(), choices).new_tree(runner).unwrap().current();
        carried_out += u64::from(holds(false, &input, &choices));
        all += 1;
    });
    println!("{carried_out} of {all} were carried out");
    assert!(carried_out > 0, "all were refused");
}

#[test]
fn whatever_the_source_holds_is_on_a_server_or_in_quarantine_or_refused() {
    let mut carried_out = 0;
    each_of(CASES_ON_SERVER, |runner| {
        let input = input().new_tree(runner).unwrap().current();
        carried_out += u64::from(holds(true, &input, &[]));
    });
    assert!(carried_out > 0, "all were refused");
}

#[test]
fn whatever_a_mapping_makes_of_it_is_on_a_server_or_in_quarantine_or_refused() {
    let mut carried_out = 0;
    each_of(CASES_ON_SERVER, |runner| {
        let choices = prop::collection::vec(prop::collection::vec(any::<u8>(), 23), 3);
        let (input, choices) = (input(), choices).new_tree(runner).unwrap().current();
        carried_out += u64::from(holds(true, &input, &choices));
    });
    assert!(carried_out > 0, "all were refused");
}
