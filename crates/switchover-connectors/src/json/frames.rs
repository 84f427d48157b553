//! Framing ahead: a thread finds where rows end while another reads the rows before them.
//!
//! Rows come in blocks, in the order of the file, and what is wrong with the framing comes behind the rows before it: so
//! the first mistake of a file is the one that is told, whichever thread found it. A block is handed over when it is
//! taken: where rows are long, their texts are in memory three times (as it is read, and a block on either side).

use super::input::{Hashing, Part};
use super::walk::{Begins, Framed, Walker};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;
use switchover_core::{Error, Result};

/// Bytes of rows in a block, or one row: enough that handing it over costs nothing beside reading it.
const BLOCK_BYTES: usize = 256 << 10;

/// What comes next in a file.
pub(super) enum Next {
    /// A table.
    Begins(Begins),
    /// Rows of it.
    Rows(Block),
    /// It is over.
    Ends,
    /// The file is over; the digest of all its bytes.
    Over(blake3::Hash),
    /// It is no dump.
    Broken(Error),
}

/// Rows that were framed.
#[derive(Default)]
pub(super) struct Block {
    text: Vec<u8>,
    paths: String,
    rows: Vec<(Framed, Range<usize>, Range<usize>)>,
}

impl Block {
    /// Each row: where it stands, its text, and its path.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Framed, &[u8], &str)> {
        self.rows.iter().map(|(row, text, path)| (row, &self.text[text.clone()], &self.paths[path.clone()]))
    }

    fn push(&mut self, row: Framed, text: &[u8], path: &str) {
        let (text_from, path_from) = (self.text.len(), self.paths.len());
        self.text.extend_from_slice(text);
        self.paths.push_str(path);
        self.rows.push((row, text_from..self.text.len(), path_from..self.paths.len()));
    }

    fn clear(&mut self) {
        // A long row was here: its memory is given back.
        if self.text.capacity() > 4 * BLOCK_BYTES {
            self.text = Vec::new();
        }
        self.text.clear();
        self.paths.clear();
        self.rows.clear();
    }
}

/// A file that is framed ahead.
pub(super) struct Frames {
    queue: Receiver<Next>,
    used: Sender<Block>,
}

impl Frames {
    /// Begins with a file, on a thread of the scope; it ends when nobody takes what it finds.
    pub(super) fn of<'scope, 'env>(scope: &'scope Scope<'scope, 'env>, part: &'env Part) -> Frames {
        let (sender, queue) = sync_channel(0);
        let (used, spare) = channel();
        scope.spawn(move || {
            let last = match file(part, &sender, &spare) {
                Ok(Some(hash)) => Next::Over(hash),
                Ok(None) => return,
                Err(error) => Next::Broken(error),
            };
            // Whoever took them may have had enough.
            let _ = sender.send(last);
        });
        Frames { queue, used }
    }

    /// What comes next; `None` when the framing ended without a word, which only a panic makes it do.
    pub(super) fn next(&self) -> Option<Next> {
        self.queue.recv().ok()
    }

    /// Takes a block's memory back.
    pub(super) fn give_back(&self, mut block: Block) {
        block.clear();
        // Who framed may be done.
        let _ = self.used.send(block);
    }
}

/// Frames a file; `None` when nobody takes it any more.
fn file(part: &Part, sender: &SyncSender<Next>, spare: &Receiver<Block>) -> Result<Option<blake3::Hash>> {
    // What was packed is hashed as it was named, while it was unpacked.
    let mut walker = Walker::new(Hashing::new(part.data.reader(0)), part.holds.clone()).surveying();
    while let Some(begins) = walker.table()? {
        let name = begins.name.clone();
        if sender.send(Next::Begins(begins)).is_err() {
            return Ok(None);
        }
        let mut block = Block::default();
        let broken = loop {
            match walker.row() {
                Ok(Some(row)) => block.push(row, walker.text(), walker.path()),
                Ok(None) => break None,
                Err(error) => break Some(error.table(name)),
            }
            if block.text.len() >= BLOCK_BYTES {
                let full = std::mem::replace(&mut block, spare.try_recv().unwrap_or_default());
                if sender.send(Next::Rows(full)).is_err() {
                    return Ok(None);
                }
            }
        };
        if sender.send(Next::Rows(block)).is_err() {
            return Ok(None);
        }
        match broken {
            Some(error) => return Err(error),
            None if sender.send(Next::Ends).is_err() => return Ok(None),
            None => {}
        }
    }
    Ok(Some(walker.into_input().hasher.finalize()))
}
