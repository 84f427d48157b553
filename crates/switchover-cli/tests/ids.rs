//! Ids that become UUIDs: what the target holds is compared with UUIDs that another implementation gave, and
//! the maps with the ids that were there.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;
mod support;

use proptest::prelude::*;
use support::{check, check_json, mapping};
use switchover::report::Verdict;
use switchover_core::plan::Fate;

const BLOG: &str = "CREATE TABLE users(id TEXT PRIMARY KEY, name TEXT);
    CREATE TABLE profiles(user_id TEXT PRIMARY KEY REFERENCES users(id), bio TEXT);
    CREATE TABLE posts(id INTEGER PRIMARY KEY AUTOINCREMENT, author TEXT NOT NULL DEFAULT 'nobody' REFERENCES users(id) ON DELETE CASCADE,
        reply_to INTEGER REFERENCES posts(id), CHECK (author <> ''));
    CREATE TABLE likes(user TEXT REFERENCES profiles(user_id), post INTEGER REFERENCES posts(id), PRIMARY KEY (user, post));
    CREATE INDEX posts_by ON posts(author, id);
    CREATE VIEW of_ada AS SELECT id FROM posts WHERE author = 'ada';
    CREATE TABLE tags(t TEXT);
    CREATE VIEW bios AS SELECT t FROM tags;
    INSERT INTO users VALUES ('ada', 'Ada'), ('bo', NULL), ('0188D9C2-af00-7fff-0102-030405060708', 'u');
    INSERT INTO profiles VALUES ('ada', 'engines');
    INSERT INTO posts VALUES (1, 'ada', NULL), (2, 'bo', 1), (-5, '0188D9C2-af00-7fff-0102-030405060708', 2);
    INSERT INTO likes VALUES ('ada', 1), ('ada', 2);";

const MAPPED: &str = "[table.users.column.id]\nids = 'uuid5'\n[table.posts.column.id]\nids = 'uuid5'
    ids_namespace = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'\nids_map = 'old_posts'";

/// By Python's `uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, 'switchover:users.id'), 'ada')` and its like.
const ADA: &str = "ba6f6f55-8498-513b-a245-486ff300f2c9";
const BO: &str = "51e523c3-2717-5b5d-9c1d-7573a8cbc9ce";
const POSTS: [&str; 3] = [
    "b04965e6-a9bb-591f-8f8a-1adcb2c8dc39",
    "4b166dbe-d99d-5091-abdd-95b83330ed3a",
    "2c5930a3-2673-5d0e-a4f7-5d48b9639ad0",
];
const ITSELF: &str = "0188d9c2-af00-7fff-0102-030405060708";

/// What both kinds of target hold.
fn holds(moved: &support::Moved) {
    let [one, two, five] = POSTS;
    moved
        .shows("SELECT id, name FROM users ORDER BY name", &sorted(moved, &[(ADA, "Ada"), (ITSELF, "u")], BO))
        .shows("SELECT original, uuid FROM users_id_map ORDER BY original", &format!(
            "0188D9C2-af00-7fff-0102-030405060708|{ITSELF}\nada|{ADA}\nbo|{BO}"
        ))
        .shows("SELECT original, uuid FROM old_posts ORDER BY original", &format!("-5|{five}\n1|{one}\n2|{two}"))
        .shows("SELECT p.id, p.author, r.original FROM posts p JOIN old_posts m ON m.uuid = p.id
                LEFT JOIN old_posts r ON r.uuid = p.reply_to ORDER BY m.original", &format!(
            "{five}|{ITSELF}|2\n{one}|{ADA}|NULL\n{two}|{BO}|1"
        ))
        .shows("SELECT count(*) FROM likes l JOIN profiles f ON f.user_id = l.\"user\" JOIN posts p ON p.id = l.post", "2")
        .fate("table", "old_posts", Fate::Moved, "what each id of posts.id became")
        .fate("default", "posts.author", Fate::LeftOut, "no id of the target's")
        .fate("check", "posts: ", Fate::LeftOut, "")
        .fate("index", "posts_by on posts", Fate::Moved, "")
        .fate("view", "of_ada", Fate::LeftOut, "posts, whose ids are UUIDs")
        .fate("view", "bios", Fate::Moved, "");
}

/// NULL comes first in SQLite and last in PostgreSQL.
fn sorted(moved: &support::Moved, named: &[(&str, &str)], without: &str) -> String {
    let mut lines: Vec<String> = named.iter().map(|(id, name)| format!("{id}|{name}")).collect();
    let at = if moved.case.is_to_file() { 0 } else { lines.len() };
    lines.insert(at, format!("{without}|NULL"));
    lines.join("\n")
}

#[test]
fn ids_and_what_refers_to_them_become_uuids() {
    let moved = check(BLOG).mapped(MAPPED).moves();
    holds(&moved);
    moved
        .types("users", "id uuid, name text")
        .types("posts", "id uuid, author uuid, reply_to uuid")
        .types("users_id_map", "original text, uuid uuid")
        .types("old_posts", "original bigint, uuid uuid")
        .shows(
            "SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2",
            "profiles|FOREIGN KEY (user_id) REFERENCES users(id)\n\
             posts|FOREIGN KEY (author) REFERENCES users(id) ON DELETE CASCADE\n\
             posts|FOREIGN KEY (reply_to) REFERENCES posts(id)\n\
             likes|FOREIGN KEY (\"user\") REFERENCES profiles(user_id)\n\
             likes|FOREIGN KEY (post) REFERENCES posts(id)",
        )
        .rejects("INSERT INTO users_id_map SELECT 'other', uuid FROM users_id_map WHERE original = 'ada'", "unique")
        .rejects("INSERT INTO users_id_map VALUES ('ada', gen_random_uuid())", "duplicate key");
}

#[test]
fn in_a_file_they_are_texts() {
    let moved = check(BLOG).mapped(MAPPED).into_file().moves();
    holds(&moved);
    moved
        .shows("SELECT type FROM pragma_table_info('users_id_map')", "TEXT\nTEXT")
        .shows("SELECT type FROM pragma_table_info('posts') WHERE name IN ('id', 'reply_to')", "TEXT\nTEXT");
}

/// Where no foreign key of the target's looks after it: of two columns one is NULL, and a dump has no keys.
#[test]
fn an_id_that_no_map_would_keep_is_refused() {
    let mapping = "[table.users.column.id]\nids = 'uuid5'";
    let pair =
        "CREATE TABLE users(id TEXT PRIMARY KEY, n INT, UNIQUE(id, n)); INSERT INTO users VALUES ('ada', 1);
        CREATE TABLE posts(author TEXT, n INT, FOREIGN KEY(author, n) REFERENCES users(id, n));
        INSERT INTO posts VALUES ('ada', 1), ('eve', NULL), (NULL, 2)";
    let why = "none of users.id, so that no map keeps what it was; the only such row";
    check(pair).mapped(mapping).refuses(&[("posts", "rowid=2", "author", why)]);
    let mended = check(&format!("{pair}; DELETE FROM posts WHERE author = 'eve'")).mapped(mapping).moves();
    mended.shows("SELECT count(author) FROM posts JOIN users_id_map ON uuid = author", "1");
    let one = "CREATE TABLE users(id TEXT PRIMARY KEY); INSERT INTO users VALUES ('ada');
        CREATE TABLE posts(id INTEGER PRIMARY KEY, author TEXT REFERENCES users); INSERT INTO posts VALUES (1, 'ada'), (2, 'eve')";
    check(one).mapped(mapping).into_dump().refuses(&[("posts", "id=2", "author", why)]);
}

#[test]
fn a_change_of_an_id_or_of_the_map_is_found_and_mended() {
    for statement in [
        "UPDATE users_id_map SET original = 'eve' WHERE original = 'bo'",
        "DELETE FROM users_id_map WHERE original = 'ada'",
        "INSERT INTO users_id_map VALUES ('eve', '0188d9c2-0000-7fff-0102-030405060708')",
        "UPDATE users_id_map SET uuid = '0188d9c2-0000-7fff-0102-030405060708' WHERE original = 'bo'",
        "UPDATE users SET id = '0188d9c2-0000-7fff-0102-030405060708' WHERE name = 'u'",
    ] {
        for file in [false, true] {
            let case = check("CREATE TABLE users(id TEXT PRIMARY KEY, name TEXT); INSERT INTO users VALUES ('ada', 'Ada'), ('bo', 'Bo'), ('cy', 'u')")
                .mapped("[table.users.column.id]\nids = 'uuid5'");
            let moved = if file { case.into_file() } else { case }.moves();
            moved.runs(statement);
            let report = moved.case.verify(false).unwrap();
            assert_eq!(report.verdict, Verdict::Different, "{statement}");
            let different: u64 = report.tables.iter().map(|table| table.differences_total).sum();
            assert!((1..=2).contains(&different), "{statement}: {different}");
            moved.case.verify(true).unwrap();
            assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Same, "{statement}");
        }
    }
}

#[test]
fn two_ids_that_would_become_one_are_refused() {
    let toml = "[table.t.column.id]\nids = 'uuid5'";
    let table = |rows: &str| format!("CREATE TABLE t(id BLOB PRIMARY KEY); INSERT INTO t VALUES {rows}");
    let one = "these ids would become one UUID; the only such UUID";
    for rows in [
        "('0188d9c2-af00-7fff-0102-030405060708'), ('0188d9c2af007fff0102030405060708')".to_owned(),
        "('ABCDEFAB-af00-7fff-0102-030405060708'), ('AbcdefAB-af00-7fff-0102-030405060708')".to_owned(),
        "('x'), ('348e371b-a884-50fe-a1ad-75aead7cf03e')".to_owned(),
    ] {
        check(&table(&rows)).mapped(toml).refuses(&[("t", "rowid=2", "id", one)]);
    }
    // A number and its digits; the column of the originals cannot be of both.
    let plan = check(&table("(7), ('7')")).mapped(toml).plan();
    assert!(
        plan.refusals.iter().any(|refusal| refusal.why == one && refusal.value == "7, '7'"),
        "{:#?}",
        plan.refusals
    );
}

#[test]
fn values_that_are_no_ids() {
    let sql = "CREATE TABLE t(id BLOB PRIMARY KEY, v); INSERT INTO t VALUES ('a', 1), (x'00', 2), (1.5, 3)";
    let toml = "[table.t.column.id]\nids = 'uuid5'";
    let case = check(sql).mapped(toml);
    let plan = case.plan();
    let of = |table: &str| plan.refusals.iter().filter(|refusal| refusal.table == table).count();
    assert_eq!((of("t"), of("t_id_map")), (2, 4), "{:#?}", plan.refusals);
    let moved = check(sql).mapped(toml).quarantine().quarantines();
    moved.shows("SELECT v FROM t", "1").shows("SELECT original FROM t_id_map", "a");
}

#[test]
fn a_dump_too_and_a_part_of_a_table() {
    let moved = check_json(&[(
        "dump.json",
        br#"{"users": [{"id": "ada", "boss": null}, {"id": "bo", "boss": "ada"}]}"#,
    )])
    .mapped(
        "[[table.users.foreign_key]]\ncolumns = ['boss']\nparent = 'users'
         [table.users.column.id]\nids = 'uuid5'",
    )
    .moves();
    moved
        .shows("SELECT id, boss FROM users ORDER BY boss", &format!("{BO}|{ADA}\n{ADA}|NULL"))
        .shows("SELECT original, uuid FROM users_id_map ORDER BY 1", &format!("ada|{ADA}\nbo|{BO}"));
    // What `where` leaves behind is in no map.
    let part = check(
        "CREATE TABLE users(id TEXT PRIMARY KEY, gone INT); INSERT INTO users VALUES ('ada', 0), ('bo', 1)",
    )
    .mapped("[table.users]\nwhere = 'NOT gone'\n[table.users.column.id]\nids = 'uuid5'")
    .moves();
    part.shows("SELECT * FROM users_id_map", &format!("ada|{ADA}"));
    // Nor what --tables does not take; and the map goes with its table.
    let tables = |patterns: &[&str]| {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let case = check(BLOG).mapped(MAPPED).options(|options| options.tables = patterns);
        let plan = case.plan();
        plan.tables.iter().map(|table| table.source.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(tables(&["users", "profiles"]), "users profiles users_id_map");
    assert_eq!(tables(&["profiles"]), "profiles");
}

/// A hash has no way back, and the map no rows of its own on the source: no change could be followed.
#[test]
fn a_live_run_refuses_them() {
    let folder = tempfile::tempdir().unwrap();
    let database = switchover_testkit::Cluster::shared().unwrap().fresh_database("ids").unwrap();
    let source = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    source
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
             INSERT INTO t VALUES (1, 'a')",
        )
        .unwrap();
    std::fs::write(folder.path().join("switchover.toml"), "[table.t.column.code]\nids = 'uuid5'").unwrap();
    let mut start = common::program(folder.path(), &["start", "--from", "sqlite:app.db", "--to"]);
    start.arg(database.conninfo()).args(["--progress", "none"]);
    common::run(&mut start).exits(1).says("its values cannot be carried back to the source");
    assert_eq!(database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(), "0");
}

#[test]
fn a_run_that_stopped_goes_on() {
    let sql = "CREATE TABLE t(id TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
        WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT 'id' || i, hex(randomblob(40)) FROM n";
    for file in [false, true] {
        let case = check(sql).mapped("[table.t.column.id]\nids = 'uuid5'");
        let case = if file { case.into_file() } else { case };
        case.migrate_and_stop().expect_err("it was stopped");
        assert_eq!(case.resume().unwrap().verdict, Verdict::Same);
        let moved = support::Moved { report: case.verify(false).unwrap(), case };
        moved.shows(
            "SELECT count(*), count(DISTINCT uuid), count(t.v) FROM t_id_map LEFT JOIN t ON t.id = uuid",
            "500|500|500",
        );
    }
}

#[test]
fn a_mapping_of_ids_that_does_not_fit_says_what_to_write() {
    let shown: Vec<String> = [
        "[table.users.column.name]\nids = 'uuid5'",
        "[table.posts.column.author]\nids = 'uuid5'",
        "[table.users.column.id]\nids = 'uuid5'\ntype = 'text'",
        "[table.users.column.id]\nids = 'uuid5'\n[table.posts.column.author]\ntype = 'text'",
        "[table.users.column.id]\nids_map = 'm'",
        "[table.users.column.id]\nids = 'uuid5'\nids_map = 'Posts'",
        "[table.users.column.id]\nids = 'uuid5'\nids_map = ''",
        "[table.users.column.id]\nids = 'uuid5'\n[table.posts.column.author]\nids = 'uuid5'\nids_map = 'm'",
        "[table.names.column.id]\nids = 'uuid5'",
        "[table.users.column.id] # both\nids = 'uuid5'",
        "[table.both.column.id]\nids = 'uuid5'\n[table.users.column.id]\nids = 'uuid5'\n[table.posts.column.id]\nids = 'uuid5'",
    ]
    .iter()
    .map(|toml| {
        let more = "CREATE TABLE names(id TEXT PRIMARY KEY COLLATE NOCASE);
            CREATE TABLE both(id TEXT REFERENCES users(id), CONSTRAINT p FOREIGN KEY (id) REFERENCES posts(id));";
        // What is alike nowhere else stands in the way of the rest.
        let more = if toml.contains("names") || toml.contains("both") { more } else { "" };
        let case = check(&format!("{BLOG}{more}")).options(|options| options.mapping = mapping(toml));
        let error = case.migrate().expect_err(toml);
        format!("{toml}\n  → {error}\n    {}", error.what_to_do())
    })
    .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn into_tables_that_are_there() {
    const SOURCE: &str = "CREATE TABLE users(id TEXT PRIMARY KEY, name TEXT);
        CREATE TABLE notes(id INTEGER PRIMARY KEY, owner TEXT REFERENCES users(id));
        INSERT INTO users VALUES ('ada', 'Ada'), ('bo', 'Bo'); INSERT INTO notes VALUES (1, 'bo');";
    const TARGET: &str = "CREATE TABLE users(id uuid PRIMARY KEY, name text);
        CREATE TABLE notes(id int PRIMARY KEY, owner @TYPE);";
    let case = |target: &str| {
        let case = check(SOURCE)
            .mapped("[table.users.column.id]\nids = 'uuid5'")
            .options(|options| options.existing = Some(Default::default()));
        case.database.psql(target).unwrap();
        case
    };
    let plan = case(&TARGET.replace("@TYPE", "varchar(35)")).plan();
    let refused =
        |table: &str, why: &str| plan.refusals.iter().find(|r| r.table == table && r.why.contains(why));
    let map = refused("users_id_map", "no such table").unwrap();
    assert!(
        map.hint.contains("CREATE TABLE \"users_id_map\" (original …, uuid uuid NOT NULL UNIQUE)"),
        "{map:?}"
    );
    assert!(refused("notes", "character varying(35), not uuid, text, varchar(36) or char(36)").is_some());
    for ty in ["uuid", "text", "varchar(36)", "char(36)"] {
        let map = "CREATE TABLE users_id_map(original text PRIMARY KEY, uuid uuid NOT NULL UNIQUE);";
        let moved = case(&(TARGET.replace("@TYPE", ty) + map)).moves();
        moved.shows(
            "SELECT n.id, m.original FROM notes n JOIN users_id_map m ON m.uuid::text = n.owner::text",
            "1|bo",
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any ids: each is in the map once, each child has its parent, and two UUIDs are never one.
    #[test]
    fn any_ids(ids in prop::collection::btree_set("[a-zé0-9/ ]{1,12}", 1..30), file: bool) {
        let case = support::check_with(|source| {
            source.execute_batch("CREATE TABLE p(id TEXT PRIMARY KEY); CREATE TABLE c(p TEXT REFERENCES p)").unwrap();
            for id in &ids {
                source.execute("INSERT INTO p VALUES (?1)", [id]).unwrap();
                source.execute("INSERT INTO c VALUES (?1)", [id]).unwrap();
            }
        })
        .mapped("[table.p.column.id]\nids = 'uuid5'");
        let moved = if file { case.into_file() } else { case }.moves();
        let all = ids.len();
        let order = if file { "" } else { " COLLATE \"C\"" };
        let listed: Vec<&str> = ids.iter().map(String::as_str).collect();
        moved
            .shows(&format!("SELECT original FROM p_id_map ORDER BY original{order}"), &listed.join("\n"))
            .shows("SELECT count(DISTINCT uuid), count(p.id), count(c.p) FROM p_id_map LEFT JOIN p ON p.id = uuid
                LEFT JOIN c ON c.p = uuid", &format!("{all}|{all}|{all}"));
    }
}
