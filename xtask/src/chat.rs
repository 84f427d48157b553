//! A sample application's database in SQLite: users, workspaces, conversations and messages of a chat.
//!
//! Invariants: the same size gives the same bytes in every row, on every machine; the rows are in no order
//! of their keys, as with random UUIDs in real life; texts have what real texts have (line breaks, accents,
//! other scripts, emoji, quotes, tabs, backslashes), because a generator of plain ASCII makes every loader
//! look fast.
//! Absent on purpose: values that cannot be migrated. Those are the tests' business.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use crate::Result;

/// The tables, in an order in which foreign keys hold.
pub(crate) const TABLES: [&str; 4] = ["users", "workspaces", "conversations", "messages"];

/// The schema, as an application with an ORM would have it.
const SCHEMA: &str = "
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, email VARCHAR(255) NOT NULL,
    is_active BOOLEAN NOT NULL, metadata JSON NOT NULL,
    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
CREATE TABLE workspaces (
    id TEXT NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, description TEXT NOT NULL,
    owner_id TEXT NOT NULL REFERENCES users(id), metadata JSON NOT NULL,
    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
CREATE TABLE conversations (
    id TEXT NOT NULL PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id),
    topic VARCHAR(200) NOT NULL, participant_ids JSON NOT NULL, metadata JSON NOT NULL,
    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
CREATE TABLE messages (
    id TEXT NOT NULL PRIMARY KEY, conversation_id TEXT NOT NULL REFERENCES conversations(id),
    sender_id TEXT NOT NULL REFERENCES users(id), content TEXT NOT NULL,
    timestamp DATETIME NOT NULL, metadata JSON);
";

/// The `n`th key of table `table`: 1 users, 2 workspaces, 3 conversations, 4 messages, and others for whoever adds rows.
pub(crate) fn key(table: u64, n: u64) -> String {
    Dice::uuid(table, n)
}

/// Made after the rows, which is quicker and gives a compact index.
pub(crate) const INDEX: &str =
    "CREATE INDEX ix_messages_conversation_timestamp ON messages(conversation_id, timestamp)";

const WORDS: &str = "the a release plan moves data tomorrow with careful review and nobody expected that server \
to answer so quickly because our index fits memory please check build logs before merging café naïve größer \
東京 данные it's \"quoted\" done ✅ 🚀 question follows about latency budget per request we should measure first \
then decide what changes in production while users keep writing messages into every channel of this workspace";

/// The mean length of a message's text, in words: it brings the database of a million messages to 620 MB.
const WORDS_PER_MESSAGE: u64 = 41;
/// 2024-01-01 00:00:00 UTC, in seconds.
const FIRST_SECOND: u64 = 1_704_067_200;
/// Two years of messages.
const SECONDS: u64 = 2 * 365 * 86_400;

/// How many rows of each table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) users: u64,
    pub(crate) workspaces: u64,
    pub(crate) conversations: u64,
    pub(crate) messages: u64,
}

impl Size {
    /// All rows.
    pub(crate) fn rows(self) -> u64 {
        self.users + self.workspaces + self.conversations + self.messages
    }
}

/// SplitMix64: small, fast, the same everywhere, and good enough for sample data.
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice of their own for who rolls them.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A random UUID of version 4. The `n`th of table `table` is always the same, so that a foreign key
    /// can be written without remembering the keys.
    pub(crate) fn uuid(table: u64, n: u64) -> String {
        let mut dice = Self(table << 56 | n);
        let (a, b) = (dice.next(), dice.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            0x8000 | b >> 48 & 0x3fff,
            b & 0xffff_ffff_ffff
        )
    }

    fn words(&mut self, words: &[&str], count: u64, into: &mut String) {
        into.clear();
        for at in 0..count {
            if at > 0 {
                into.push(if self.below(40) == 0 { '\n' } else { ' ' });
            }
            into.push_str(words[usize::try_from(self.below(words.len() as u64)).unwrap_or(0)]);
        }
        if self.below(200) == 0 {
            into.push_str("\n\tcopy C:\\temp\\new.txt");
        }
    }

    /// A moment as SQLAlchemy writes one into SQLite: microseconds, no zone.
    fn moment(&mut self) -> String {
        let second = FIRST_SECOND + self.below(SECONDS);
        let (year, month, day) = civil(second / 86_400);
        let time = second % 86_400;
        let micros = self.below(1_000_000);
        format!(
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{micros:06}",
            time / 3600,
            time / 60 % 60,
            time % 60
        )
    }
}

/// The date of a day since 1970, after Howard Hinnant's well-known algorithm.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Makes the database, beside its place first, so that a half-made file is never taken for a whole one.
pub(crate) fn create(path: &Path, size: Size) -> Result {
    let making = path.with_extension("making");
    if making.exists() {
        fs::remove_file(&making)?;
    }
    let mut db = Connection::open(&making)?;
    db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;")?;
    db.execute_batch(SCHEMA)?;
    let transaction = db.transaction()?;
    fill(&transaction, size)?;
    transaction.commit()?;
    db.execute_batch(INDEX)?;
    db.execute_batch("PRAGMA journal_mode = WAL;")?;
    db.close().map_err(|(_, error)| error)?;
    fs::rename(&making, path)?;
    Ok(())
}

fn fill(db: &Transaction<'_>, size: Size) -> Result {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut dice = Dice(42);
    let mut text = String::new();
    let mut insert = db.prepare("INSERT INTO users VALUES (?,?,?,?,?,?,?)")?;
    for n in 0..size.users {
        let (name, email) = (format!("User {n} Ünal"), format!("user{n}@example.com"));
        let metadata =
            format!(r#"{{"theme": "{}", "logins": {}}}"#, ["dark", "light"][(n % 2) as usize], n % 97);
        insert.execute(params![
            Dice::uuid(1, n),
            name,
            email,
            n % 9 != 0,
            metadata,
            dice.moment(),
            dice.moment()
        ])?;
    }
    let mut insert = db.prepare("INSERT INTO workspaces VALUES (?,?,?,?,?,?,?)")?;
    for n in 0..size.workspaces {
        dice.words(&words, 20, &mut text);
        let owner = Dice::uuid(1, dice.below(size.users));
        let (name, metadata) = (format!("Workspace {n}"), r#"{"icon": "✨", "tags": []}"#);
        insert.execute(params![
            Dice::uuid(2, n),
            name,
            text,
            owner,
            metadata,
            dice.moment(),
            dice.moment()
        ])?;
    }
    let mut insert = db.prepare("INSERT INTO conversations VALUES (?,?,?,?,?,?,?)")?;
    for n in 0..size.conversations {
        dice.words(&words, 6, &mut text);
        let workspace = Dice::uuid(2, dice.below(size.workspaces));
        let people: Vec<String> =
            (0..=dice.below(4)).map(|_| format!("\"{}\"", Dice::uuid(1, dice.below(size.users)))).collect();
        let people = format!("[{}]", people.join(", "));
        insert.execute(params![
            Dice::uuid(3, n),
            workspace,
            text,
            people,
            "{}",
            dice.moment(),
            dice.moment()
        ])?;
    }
    let mut insert = db.prepare("INSERT INTO messages VALUES (?,?,?,?,?,?)")?;
    for n in 0..size.messages {
        let length = 1 + dice.below(2 * WORDS_PER_MESSAGE);
        dice.words(&words, length, &mut text);
        let conversation = Dice::uuid(3, dice.below(size.conversations));
        let sender = Dice::uuid(1, dice.below(size.users));
        let metadata = (dice.below(10) != 0).then(|| {
            format!(r#"{{"tokens": {}, "model": "small", "score": 0.{}}}"#, length, dice.below(1000))
        });
        insert.execute(params![Dice::uuid(4, n), conversation, sender, text, dice.moment(), metadata])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! The dates and the shape of the keys.

    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_723), (2024, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
    }

    #[test]
    fn keys_are_version_4_uuids_and_repeatable() {
        let key = Dice::uuid(4, 7);
        assert_eq!((key.len(), key.as_bytes()[14]), (36, b'4'));
        assert_eq!(key, Dice::uuid(4, 7));
        assert_ne!(key, Dice::uuid(3, 7));
    }
}
