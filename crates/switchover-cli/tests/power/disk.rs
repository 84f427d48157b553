//! What a disk holds when the power goes: the notes of `plug.c`, carried out up to any of them.
//!
//! Of every file and folder there are two: the one that processes saw, and the one that was synced. Between the two lie the writes and
//! changes of names of which the disk has promised nothing. An [`Image`] is the synced one with some of these: none, all, all
//! names and no content, or any by a seed, of a write also any of its sectors. A folder's changes get through in their order, as
//! journals of file systems keep it; which names are there when their folder was not synced is therefore open, and so is what a file holds
//! whose name is there.
//!
//! Absent: a disk that forgets what it promised, and bytes that change beside those that were written.

use crate::dice::Dice;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// Bytes of a note before its name.
const HEAD_BYTES: usize = 32;

/// How a file's name ends that SQLite makes anew behind a crash.
const OF_PROCESSES: &str = "-shm";

/// The kind of a note that a test makes: what somebody was told.
const TOLD: u8 = b'!';

/// One note.
pub(crate) struct Note {
    kind: u8,
    inode: u64,
    offset: u64,
    pub(crate) name: String,
    data: Vec<u8>,
}

impl Note {
    /// What somebody was told here, if this is that.
    pub(crate) fn told(&self) -> Option<&str> {
        (self.kind == TOLD).then_some(&*self.name)
    }

    /// Whether the disk promises something here.
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self.kind, b's' | b'd')
    }
}

/// Notes that somebody is told something, in its place among the others.
pub(crate) fn tell(notes: &Path, what: &str) {
    use std::io::Write;
    let mut note = Vec::new();
    note.extend([0; 16]);
    note.extend(u32::try_from(what.len()).unwrap().to_ne_bytes());
    note.extend([0; 4]);
    note.extend(u64::from(TOLD).to_ne_bytes());
    note.extend(what.as_bytes());
    // One write, which no other comes between.
    std::fs::OpenOptions::new().append(true).open(notes).unwrap().write_all(&note).unwrap();
}

/// All notes.
pub(crate) fn read(path: &Path) -> Vec<Note> {
    let bytes = std::fs::read(path).unwrap();
    let (mut rest, mut notes) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let (head, behind) = rest.split_at(HEAD_BYTES);
        let wide = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        let narrow = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (name, behind) = behind.split_at(narrow(16));
        let (data, behind) = behind.split_at(narrow(20));
        notes.push(Note {
            kind: u8::try_from(wide(24)).unwrap(),
            inode: wide(0),
            offset: wide(8),
            name: String::from_utf8(name.to_vec()).unwrap(),
            data: data.to_vec(),
        });
        rest = behind;
    }
    notes
}

/// A change of a file's content.
#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    /// Carries it out, of a write the bytes that `gets_through` by their offset.
    fn on(&self, content: &mut Vec<u8>, mut gets_through: impl FnMut() -> bool) {
        match self {
            Change::Length(length) => content.resize(*length, 0),
            Change::Write(offset, data) => {
                let mut at = 0;
                while at < data.len() {
                    let end = (at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(data.len());
                    if gets_through() {
                        let to = offset + end;
                        content.resize(content.len().max(to), 0);
                        content[offset + at..to].copy_from_slice(&data[at..end]);
                    }
                    at = end;
                }
            }
        }
    }
}

/// A file, or a folder, whose content is not used.
#[derive(Clone, Default)]
struct Thing {
    is_folder: bool,
    seen: Vec<u8>,
    synced: Vec<u8>,
    between: Vec<Change>,
}

/// A change of names.
#[derive(Clone)]
enum Named {
    Put(String, usize),
    Gone(String),
    /// Both at once, of a folder with all that is in it.
    Moved(String, String),
}

impl Named {
    fn on(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Named::Put(name, thing) => {
                names.insert(name.clone(), *thing);
            }
            Named::Gone(name) => {
                names.remove(name);
            }
            Named::Moved(from, to) => {
                let is_within =
                    |name: &str| name.strip_prefix(&**from).is_some_and(|rest| rest.starts_with('/'));
                let moved: Vec<String> =
                    names.keys().filter(|name| *name == from || is_within(name)).cloned().collect();
                for name in moved {
                    if let Some(thing) = names.remove(&name) {
                        names.insert(format!("{to}{}", &name[from.len()..]), thing);
                    }
                }
            }
        }
    }

    /// Whether a sync of this folder is one of it.
    fn is_in(&self, folder: &str) -> bool {
        let parent = |name: &str| name.rsplit_once('/').map_or("", |(parent, _)| parent) == folder;
        match self {
            Named::Put(name, _) | Named::Gone(name) => parent(name),
            Named::Moved(from, to) => parent(from) || parent(to),
        }
    }
}

/// What gets through of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// Nothing.
    Nothing,
    /// Names, and of content nothing.
    Names,
    /// Any of it, by a seed.
    Some(u64),
    /// All, as when only the processes die.
    All,
}

/// Files by their names.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

/// A disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    things: Vec<Thing>,
    by_inode: HashMap<u64, usize>,
    seen: BTreeMap<String, usize>,
    synced: BTreeMap<String, usize>,
    between: Vec<Named>,
}

impl Disk {
    /// What is there before the first note, and synced.
    pub(crate) fn of(folder: &Path) -> Disk {
        use std::os::unix::fs::MetadataExt;
        let mut disk = Disk::default();
        for path in below(folder) {
            let inode = std::fs::metadata(folder.join(&path)).unwrap().ino();
            let seen = std::fs::read(folder.join(&path)).unwrap();
            let thing = disk.add(inode, Thing { synced: seen.clone(), seen, ..Thing::default() });
            disk.seen.insert(path.clone(), thing);
            disk.synced.insert(path, thing);
        }
        disk
    }

    fn add(&mut self, inode: u64, thing: Thing) -> usize {
        self.things.push(thing);
        self.by_inode.insert(inode, self.things.len() - 1);
        self.things.len() - 1
    }

    fn rename(&mut self, change: Named) {
        change.on(&mut self.seen);
        // A number may be given again once nothing has it.
        let there: BTreeSet<usize> = self.seen.values().copied().collect();
        self.by_inode.retain(|_, thing| there.contains(thing));
        self.between.push(change);
    }

    fn change(&mut self, note: &Note, change: Change) {
        // One that was made, and of which the note comes behind another process's first write, is added by the write.
        let thing = match self.by_inode.get(&note.inode) {
            Some(thing) => *thing,
            None => self.make(note, false),
        };
        let thing = &mut self.things[thing];
        change.on(&mut thing.seen, || true);
        thing.between.push(change);
    }

    fn make(&mut self, note: &Note, is_folder: bool) -> usize {
        let thing = self.add(note.inode, Thing { is_folder, ..Thing::default() });
        self.rename(Named::Put(note.name.clone(), thing));
        thing
    }

    /// Carries the next note out.
    pub(crate) fn next(&mut self, note: &Note) {
        let here = self.seen.get(&note.name).copied();
        let known = self.by_inode.get(&note.inode).copied();
        match note.kind {
            b'w' => self.change(note, Change::Write(note.offset as usize, note.data.clone())),
            b't' => self.change(note, Change::Length(note.offset as usize)),
            b's' => {
                if let Some(thing) = known {
                    let thing = &mut self.things[thing];
                    for change in thing.between.drain(..) {
                        change.on(&mut thing.synced, || true);
                    }
                }
            }
            b'd' => {
                let (done, left) = std::mem::take(&mut self.between)
                    .into_iter()
                    .partition::<Vec<_>, _>(|change| change.is_in(&note.name));
                done.iter().for_each(|change| change.on(&mut self.synced));
                self.between = left;
            }
            b'c' | b'm' => {
                if here.is_none() || here != known {
                    self.make(note, note.kind == b'm');
                }
            }
            b'u' => {
                if here.is_some() && here == known {
                    self.rename(Named::Gone(note.name.clone()));
                }
            }
            b'l' => {
                let thing = here.expect("what is linked is there");
                self.rename(Named::Put(String::from_utf8(note.data.clone()).unwrap(), thing));
            }
            b'r' => {
                let to = String::from_utf8(note.data.clone()).unwrap();
                self.rename(Named::Moved(note.name.clone(), to));
            }
            TOLD => {}
            other => panic!("a note of kind {other}"),
        }
    }

    /// The file whose name ends so, as processes see it.
    pub(crate) fn seen(&self, end: &str) -> Option<&[u8]> {
        let found = self.seen.iter().find(|(name, _)| name.ends_with(end));
        found.map(|(_, thing)| &*self.things[*thing].seen)
    }

    /// What is there when the power goes now.
    pub(crate) fn image(&self, through: Through) -> Image {
        let mut dice = Dice(if let Through::Some(seed) = through { seed } else { 0 });
        let mut names = self.synced.clone();
        let names = match through {
            Through::Nothing => &names,
            Through::Names | Through::All => &self.seen,
            Through::Some(_) => {
                let end = dice.below(self.between.len() as u64 + 1) as usize;
                self.between[..end].iter().for_each(|change| change.on(&mut names));
                &names
            }
        };
        // What lies in a folder that is not there is not there.
        let is_there = |name: &str| {
            let mut above = name;
            while let Some((parent, _)) = above.rsplit_once('/') {
                if !names.contains_key(parent) {
                    return false;
                }
                above = parent;
            }
            true
        };
        let is_file =
            |name: &str, thing: usize| !self.things[thing].is_folder && !name.ends_with(OF_PROCESSES);
        let files = names.iter().filter(|(name, thing)| is_file(name, **thing) && is_there(name));
        files.map(|(name, thing)| (name.clone(), self.content(*thing, through, &mut dice))).collect()
    }

    fn content(&self, thing: usize, through: Through, dice: &mut Dice) -> Vec<u8> {
        let thing = &self.things[thing];
        match through {
            Through::Nothing | Through::Names => thing.synced.clone(),
            Through::All => thing.seen.clone(),
            Through::Some(_) => {
                let mut content = thing.synced.clone();
                // Disks are mostly lazy, or mostly not.
                let likely = dice.below(5);
                for change in &thing.between {
                    let whole = dice.below(4) < likely;
                    let torn = dice.below(4) == 0;
                    match change {
                        Change::Length(_) if !whole => {}
                        _ => change.on(&mut content, || if torn { dice.below(2) == 0 } else { whole }),
                    }
                }
                content
            }
        }
    }
}

/// The files below a folder, by their names in it; not those that are of processes alone.
pub(crate) fn below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && !name.ends_with(OF_PROCESSES) {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}
