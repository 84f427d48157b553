//! What is known of a target's schema, by small ones.

use super::*;

fn row(cells: &[(&str, &str)]) -> TextRow {
    cells.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
}

#[test]
fn histories_are_known_by_name_and_say_their_versions() {
    assert_eq!(history_of("__EFMigrationsHistory"), Some("Entity Framework"));
    assert_eq!(history_of("users"), None);
    let rows =
        [row(&[("id", "2"), ("app", "auth"), ("name", "0002")]), row(&[("app", "auth"), ("name", "0001")])];
    assert_eq!(versions("django_migrations", &rows), Some(vec!["auth.0001".into(), "auth.0002".into()]));
    let rows = [row(&[("version_before", "1"), ("version_after", "3")])];
    assert_eq!(versions("migrations", &rows), Some(vec!["3".into()]));
    assert_eq!(versions("ar_internal_metadata", &rows), None);
}

#[test]
fn a_fingerprint_forgets_rows_and_remembers_definitions() {
    let mut schema = TargetSchema::default();
    schema.tables.push(TargetTable { name: "t".into(), ..TargetTable::default() });
    let before = schema.fingerprint();
    schema.tables[0].rows = 7;
    assert_eq!(schema.fingerprint(), before);
    schema.tables[0].checks.push(("c".into(), "CHECK (true)".into()));
    assert_ne!(schema.fingerprint(), before);
}

fn key(definition: &str, acts: bool, deferrable: bool) -> TargetForeignKey {
    TargetForeignKey {
        name: "k".into(),
        columns: vec!["q".into()],
        parent: Some("p".into()),
        parent_columns: vec!["id".into()],
        definition: definition.into(),
        comment: None,
        acts,
        deferrable,
        full: false,
    }
}

#[test]
fn a_key_that_took_the_name_of_another_is_not_taken_for_it() {
    let own = "FOREIGN KEY (q) REFERENCES public.p(id)";
    let (waits, deferred) = (format!("{own} DEFERRABLE"), format!("{own} DEFERRABLE INITIALLY DEFERRED"));
    let cascade = format!("{own} ON DELETE CASCADE");
    for (planned, found, is_it) in [
        (key(own, false, false), own.to_owned(), true),
        (key(own, false, false), format!("{own} NOT VALID"), true),
        (key(own, false, false), waits.clone(), true),
        (key(own, false, false), format!("{waits} NOT VALID"), true),
        (key(own, false, false), deferred.clone(), true),
        (key(own, false, false), cascade.clone(), false),
        (key(own, false, false), format!("{cascade} DEFERRABLE"), false),
        (key(own, false, false), "FOREIGN KEY (q) REFERENCES public.p2(id)".to_owned(), false),
        (key(&waits, false, true), waits.clone(), true),
        (key(&waits, false, true), deferred, false),
        (key(&waits, false, true), own.to_owned(), false),
        // Its waiting form is a constraint of another name.
        (key(&cascade, true, false), format!("{cascade} NOT VALID"), true),
        (key(&cascade, true, false), format!("{cascade} DEFERRABLE"), false),
        (key(&cascade, true, false), waits, false),
    ] {
        let standing = StandingKey { table: "c".into(), key: planned.clone() };
        let table = |key: &TargetForeignKey| TargetTable {
            name: "c".into(),
            foreign_keys: vec![key.clone()],
            ..TargetTable::default()
        };
        let schema =
            |key: &TargetForeignKey| TargetSchema { tables: vec![table(key)], ..TargetSchema::default() };
        let now = TargetForeignKey { definition: found.clone(), ..planned.clone() };
        let as_before = schema(&now).with_keys([&standing]) == schema(&planned);
        assert_eq!(as_before, is_it, "{planned:?}: {found}");
        assert_eq!(schema(&now).replaced([&standing]).is_none(), is_it, "{planned:?}: {found}");
    }
}
