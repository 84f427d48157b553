//! Positions of the reverse log.
//!
//! A number is given to an entry when it is written, and the entry is seen when its transaction commits: a
//! smaller number may come later. So a position is a snapshot of transactions and a number: the entries behind
//! it are those that it does not hold, and it holds exactly those that were seen in that snapshot and whose
//! number is not larger. Any process can tell them, after any crash.
//!
//! A server that is set back (a backup, a standby that lagged) gives transactions' numbers once more, and the snapshot would hold what
//! was never read. So a position has the mark that the store had when it was made (docs/decisions/0027).

use switchover_core::connector::Position;
use switchover_core::{Error, Kind, Result};

/// The position before the first entry.
pub(super) const NOTHING: &str = "1:1:/0";

/// A position's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The snapshot, as the server writes it: `xmin:xmax:xip,…`.
    pub(super) snapshot: String,
    /// The largest number that it holds.
    pub(super) last: i64,
    /// The store's mark, which is made when changes were read; 0 before any was.
    pub(super) mark: i64,
}

impl Token {
    /// The position that it is.
    pub(super) fn position(&self) -> Position {
        match self.mark {
            0 => Position(format!("{}/{}", self.snapshot, self.last)),
            mark => Position(format!("{}/{}/{mark}", self.snapshot, self.last)),
        }
    }

    /// Reads a position.
    ///
    /// # Errors
    /// `Changed` for one that this kind of store has not given.
    pub(super) fn parse(position: &Position) -> Result<Token> {
        let parse = || {
            let (snapshot, rest) = position.0.split_once('/')?;
            let (last, mark) = rest.split_once('/').unwrap_or((rest, "0"));
            let well_formed = snapshot.bytes().all(|b| b.is_ascii_digit() || b == b':' || b == b',')
                && snapshot.bytes().filter(|b| *b == b':').count() == 2;
            let (last, mark) = (last.parse().ok()?, mark.parse().ok()?);
            well_formed.then_some(Token { snapshot: snapshot.to_owned(), last, mark })
        };
        parse().ok_or_else(|| {
            Error::new(Kind::Changed, "read the target's log")
                .detail(format!("'{}' is no position of this store", position.0))
                .hint("the other store's records are another run's, or were changed")
        })
    }
}

/// The condition that an entry `c` is behind a position, whose snapshot and number are these parameters.
pub(super) fn behind(snapshot: usize, last: usize) -> String {
    format!("NOT ({})", held(snapshot, last))
}

/// The condition that a position holds an entry `c`.
pub(super) fn held(snapshot: usize, last: usize) -> String {
    format!(
        "c.id <= ${last} AND pg_catalog.pg_visible_in_snapshot(c.x, ${snapshot}::text::pg_catalog.pg_snapshot)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_nothing_else_is_one() {
        for mark in [0, 3] {
            let token = Token { snapshot: "10:20:12,15".into(), last: 7, mark };
            assert_eq!(Token::parse(&token.position()).ok(), Some(token));
        }
        assert_eq!(Token::parse(&Position(NOTHING.into())).map(|token| token.last).ok(), Some(0));
        for bad in ["", "5", "1:1:/x", "1:1/0", "1:1:'/0", "1:1:1:/0", "1:1:/0/", "1:1:/0/x"] {
            assert!(Token::parse(&Position(bad.into())).is_err(), "{bad}");
        }
    }
}
