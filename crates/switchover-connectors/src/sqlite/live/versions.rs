//! Changes of a file's definitions that are not the engine's own.
//!
//! SQLite counts all of them, and the engine knows which it made. A table that was rebuilt, or rows that were written while its
//! triggers were away, leave nothing else behind where the triggers were put back as they were.

/// The versions of the schema that were met.
#[derive(Debug, Default)]
pub(super) struct Versions {
    newest: Option<i64>,
    others: u64,
}

impl Versions {
    /// The version that a transaction found. An older one is of a reading that began before.
    pub(super) fn met(&mut self, version: i64) {
        match self.newest {
            Some(newest) if version <= newest => {}
            None => self.newest = Some(version),
            Some(_) => {
                self.newest = Some(version);
                self.others += 1;
            }
        }
    }

    /// The version that a transaction of the engine's leaves, once it is committed.
    pub(super) fn made(&mut self, version: i64) {
        self.newest = self.newest.max(Some(version));
    }

    /// How often others changed the definitions.
    pub(super) fn others(&self) -> u64 {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_made_and_what_is_old_are_not_others() {
        let mut versions = Versions::default();
        for (met, made, others) in
            [(5, 5, 0), (5, 7, 0), (6, 7, 0), (7, 7, 0), (8, 8, 1), (8, 9, 1), (12, 12, 2)]
        {
            versions.met(met);
            versions.made(made);
            assert_eq!(versions.others(), others, "{met} {made}");
        }
    }
}
