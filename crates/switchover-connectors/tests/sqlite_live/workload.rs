//! Random statements of an application, over values so few that they meet: by every conflict clause, on every
//! column, through row numbers too, in transactions that may be rolled back in part or as a whole.

use rusqlite::Connection;

/// Numbers from a seed (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    pub(crate) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// What a column takes.
#[derive(Clone, Copy)]
enum Takes {
    /// A number that is a key, and sometimes NULL, which SQLite makes one.
    Number,
    /// A text that is a key.
    Text,
    /// A key of any class.
    Key,
    /// Anything.
    Any,
    /// A whole number or NULL.
    Whole,
    /// What an affinity changes, and what it leaves.
    Like,
    /// What a text is.
    Kind,
    /// A text that is JSON, or none.
    Payload,
    /// A text that is JSON.
    Document,
}

const NUMBERS: &[&str] = &["1", "2", "3", "4", "5", "-1", "NULL"];
const TEXTS: &[&str] = &["'a'", "'A'", "'b'", "'ä'", "'B'"];
const KEYS: &[&str] = &["1", "1.0", "2", "'a'", "'A'", "x'61'", "'b'"];
const ANYTHING: &[&str] = &["1", "1.0", "2", "2.5", "'a'", "'A'", "'b'", "x'61'", "NULL", "3"];
const LIKES: &[&str] = &["1", "'1'", "2", "'2'", "'a'", "'A'", "NULL"];
const KINDS: &[&str] = &["'json'", "'json'", "'text'", "NULL"];
const PAYLOADS: &[&str] = &["'{\"k\":1}'", "'{\"k\":2}'", "'{\"k\":\"a\"}'", "'[]'", "'{'", "NULL"];
const WHOLES: &[&str] = &["1", "2", "3", "7", "NULL"];

impl Takes {
    fn values(self) -> &'static [&'static str] {
        match self {
            Takes::Number => NUMBERS,
            Takes::Text => TEXTS,
            Takes::Key => KEYS,
            Takes::Any => ANYTHING,
            Takes::Whole => WHOLES,
            Takes::Like => LIKES,
            Takes::Kind => KINDS,
            Takes::Payload => PAYLOADS,
            Takes::Document => &PAYLOADS[..4],
        }
    }
}

type Columns = &'static [(&'static str, Takes)];

/// The tables of `SCHEMA` and `COMPUTED`: name, columns that are written, whether the row has a hidden number.
const TABLES: &[(&str, Columns, bool)] = &[
    ("plain", &[("id", Takes::Number), ("u", Takes::Any), ("v", Takes::Any)], false),
    ("numbered", &[("id", Takes::Number), ("u", Takes::Whole), ("v", Takes::Any)], false),
    ("texts", &[("k", Takes::Text), ("a", Takes::Any), ("b", Takes::Whole)], true),
    ("folded", &[("k", Takes::Text), ("v", Takes::Any)], true),
    ("odd", &[("k", Takes::Key), ("u", Takes::Any), ("v", Takes::Any)], true),
    ("pair", &[("a", Takes::Whole), ("b", Takes::Text), ("v", Takes::Any), ("u", Takes::Any)], false),
    ("strict_one", &[("id", Takes::Number), ("n", Takes::Whole), ("x", Takes::Any)], false),
    ("new", &[("id", Takes::Number), ("old", Takes::Any)], false),
    ("quo\"te", &[("a \"b", Takes::Number), ("select", Takes::Any)], false),
    ("parent", &[("id", Takes::Number), ("n", Takes::Any)], false),
    ("child", &[("id", Takes::Number), ("p", Takes::Number), ("n", Takes::Any)], false),
    ("keyless", &[("a", Takes::Any), ("b", Takes::Any)], false),
    ("sensed", &[("id", Takes::Number), ("n", Takes::Like), ("c", Takes::Like), ("r", Takes::Like)], false),
    ("filled", &[("id", Takes::Number), ("n", Takes::Like), ("c", Takes::Like), ("v", Takes::Whole)], false),
    ("folding", &[("id", Takes::Number), ("c", Takes::Like), ("t", Takes::Like), ("s", Takes::Like)], false),
    ("events", &[("id", Takes::Number), ("kind", Takes::Kind), ("payload", Takes::Payload)], false),
    ("refusing", &[("id", Takes::Number), ("kind", Takes::Kind), ("payload", Takes::Payload)], false),
    ("slugs", &[("id", Takes::Number), ("tenant", Takes::Text), ("name", Takes::Text)], false),
    ("documents", &[("id", Takes::Number), ("u", Takes::Whole), ("doc", Takes::Document)], false),
    ("audit", &[("id", Takes::Number), ("what", Takes::Any)], false),
];

fn quoted(name: &str) -> String {
    crate::harness::quoted(name)
}

/// One statement, on the table named or on any.
fn statement(dice: &mut Dice, table: Option<&str>) -> String {
    let of: Vec<_> = TABLES.iter().filter(|(name, ..)| table.is_none_or(|table| table == *name)).collect();
    let (name, columns, hidden) = of[dice.roll(of.len())];
    let mut fields: Vec<(String, &'static [&'static str])> =
        columns.iter().map(|(name, takes)| (quoted(name), takes.values())).collect();
    if *hidden && dice.roll(2) == 0 {
        fields.push(("rowid".into(), &NUMBERS[..6]));
    }
    let name = quoted(name);
    let or = dice.pick(&["", "", " OR REPLACE", " OR REPLACE", " OR IGNORE"]);
    let only = {
        let (field, values) = &fields[dice.roll(fields.len())];
        format!("{field} IS {}", dice.pick(values))
    };
    match dice.roll(10) {
        0..=4 => {
            let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            let cells: Vec<&str> = fields.iter().map(|(_, values)| dice.pick(values)).collect();
            let upsert = match dice.roll(6) {
                0 if or.is_empty() => {
                    let (field, values) = &fields[dice.roll(fields.len())];
                    format!(" ON CONFLICT DO UPDATE SET {field} = {}", dice.pick(values))
                }
                _ => String::new(),
            };
            format!("INSERT{or} INTO {name} ({}) VALUES ({}){upsert}", names.join(", "), cells.join(", "))
        }
        5..=8 => {
            let (field, values) = &fields[dice.roll(fields.len())];
            let condition = if dice.roll(8) == 0 { "1".to_owned() } else { only };
            format!("UPDATE{or} {name} SET {field} = {} WHERE {condition}", dice.pick(values))
        }
        _ => format!("DELETE FROM {name} WHERE {only}"),
    }
}

/// So many statements. Those that a constraint refuses are refused, and the rest goes on.
pub(crate) fn run(connection: &Connection, dice: &mut Dice, count: usize, table: Option<&str>) {
    let mut done = 0;
    while done < count {
        let several = dice.roll(3) == 0;
        if several {
            connection.execute_batch("BEGIN").unwrap();
        }
        for _ in 0..if several { 1 + dice.roll(5) } else { 1 } {
            let point = several && dice.roll(3) == 0;
            if point {
                connection.execute_batch("SAVEPOINT p").unwrap();
            }
            let sql = statement(dice, table);
            // What a constraint refuses is part of an application's life. A text that is no JSON is refused by the CHECK.
            if let Err(refused) = connection.execute_batch(&sql) {
                assert!(!refused.to_string().contains("malformed JSON"), "{sql}");
            }
            done += 1;
            if point {
                let end = dice.pick(&["ROLLBACK TO p; RELEASE p", "RELEASE p"]);
                connection.execute_batch(end).unwrap();
            }
        }
        if several {
            connection.execute_batch(dice.pick(&["COMMIT", "COMMIT", "ROLLBACK"])).unwrap();
        }
    }
}
