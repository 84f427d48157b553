//! How the story ends: the run is finished, or taken back, and the application writes all the while.

use super::{LIMIT, Scene, Target, WRITERS, common};
use crate::history::{Entry, Told};
use std::time::{Duration, Instant};

/// Operations that each writer is told of behind the end.
const BEHIND: usize = 10;

impl Scene {
    /// Waits until each writer was told so many times more that the owner took its operation.
    #[track_caller]
    fn until_written(&self, seed: u64, times: usize) {
        let taken = |number: u64| {
            let of_writer = |entry: &&Entry| entry.name.starts_with(&format!("{}-", seed * 1_000 + number));
            let entries = self.entries(seed);
            let done = |entry: &&Entry| entry.told == Told::Done && entry.store == self.owner;
            entries.iter().filter(of_writer).filter(done).count()
        };
        let begun = Instant::now();
        for number in 0..WRITERS {
            let before = taken(number);
            while taken(number) < before + times {
                assert!(begun.elapsed() < LIMIT, "nobody takes what a writer writes");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// The target has the data, and the run is finished.
    #[track_caller]
    pub(crate) fn ends_at_the_target(&mut self, seed: u64) -> [usize; 3] {
        self.bring("target");
        // A writer that still asks the source would be taken by it behind the end.
        self.until_written(seed, 1);
        common::run(&mut self.verb(&["finish", "--yes"])).exits(0);
        self.until_written(seed, BEHIND);
        self.stop_writers();
        self.judge(seed, "target")
    }

    /// The source has the data, and the run is taken back.
    #[track_caller]
    pub(crate) fn ends_at_the_source(&mut self, seed: u64) -> [usize; 3] {
        self.bring("source");
        self.until_written(seed, 1);
        common::run(&mut self.verb(&["rollback"])).exits(0);
        self.until_written(seed, BEHIND);
        self.stop_writers();
        match &self.server {
            Target::Sqlite => assert!(!self.path("new.db").exists(), "the target is as it was"),
            Target::Postgres(_, database) => {
                assert_eq!(
                    database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(),
                    "0"
                );
            }
            Target::Weaviate(_) => {}
        }
        let own = "SELECT name FROM sqlite_schema WHERE name LIKE '%switchover%'";
        let own = super::rows_of(&self.path("app.db"), own);
        assert!(own.is_empty(), "nothing of the run is left: {own:?}");
        self.judge(seed, "source")
    }
}
