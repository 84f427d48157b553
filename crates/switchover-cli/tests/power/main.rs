//! A loss of power: what was told as decided, marked, written or made is on the disk.
//!
//! Real processes move the data and write to it, with a small library before them (`plug.c`, by `LD_PRELOAD`) that notes every
//! write, sync and change of a name below their folder, in one order with what anybody was told. Afterwards the plug is pulled, at
//! each sync and at others of these notes: `disk.rs` makes what the disk holds then, with nothing of what was not synced, or with any
//! of it. `judge.rs` looks at each of these disks, and at some of the moments the run is taken up from what is there.
//!
//! `SWITCHOVER_POWER_SEED` decides what else gets through.
//!
//! Linux with glibc alone: elsewhere the library would need other names for the same calls.
#![cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod dice;
mod disk;
mod judge;
mod scene;
mod writer;

use dice::Dice;
use disk::{Disk, Image, Note, Through};
use judge::{Found, Told};
use scene::{FIRST, LOST, Watched};
use std::mem::discriminant;
use std::path::PathBuf;

/// Of so many notes that are no syncs, the power goes at one.
const OTHERS: u64 = 6;

/// The process that the writer is: not a test of its own.
#[test]
#[ignore = "a process of the other tests"]
fn application() {
    let get = |name: &str| std::env::var(name).unwrap();
    let path = |name: &str| PathBuf::from(get(name));
    writer::run(&path("POWER_OWN_FOLDER"), &path("POWER_OWN_NOTES"), get("POWER_NEWEST").parse().unwrap());
}

fn seed() -> u64 {
    std::env::var("SWITCHOVER_POWER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// That the notes miss nothing: they make what is there.
fn is_whole(mut disk: Disk, notes: &[Note], watched: &Watched) {
    notes.iter().for_each(|note| disk.next(note));
    let (noted, folder) = (disk.image(Through::All), watched.folder());
    assert_eq!(noted.keys().cloned().collect::<Vec<_>>(), disk::below(&folder));
    for (name, content) in noted {
        assert!(std::fs::read(folder.join(&name)).unwrap() == content, "{name} holds what was not noted");
    }
}

/// A moment at which the run is taken up.
struct Moment {
    what: &'static str,
    /// Of whatever seed.
    through: Through,
    is_it: fn(&Found, &Told) -> bool,
    /// The last such one, and not the first.
    is_last: bool,
}

impl Moment {
    fn is(&self, found: &Found, told: &Told, through: Through) -> bool {
        discriminant(&self.through) == discriminant(&through) && (self.is_it)(found, told)
    }
}

/// What a moment is like behind the beginning of the run, and before its end.
fn is(found: &Found, is_target: bool, pending: bool) -> bool {
    found.recorded == 2 && found.owner.is_target == is_target && found.owner.pending == pending
}

const MOMENTS: [Moment; 10] = [
    Moment {
        what: "the copy",
        through: Through::Names,
        is_it: |found, _| is(found, false, false) && found.owner.epoch == 1 && found.target == 0,
        is_last: true,
    },
    Moment {
        what: "the target has what the source lost",
        through: Through::Nothing,
        is_it: |found, _| is(found, false, false) && found.target > found.source + LOST,
        is_last: true,
    },
    Moment {
        what: "the same, with no application",
        through: Through::Names,
        is_it: |found, _| is(found, false, false) && found.target > found.source + LOST,
        is_last: true,
    },
    Moment {
        what: "before a cutover",
        through: Through::Some(0),
        is_it: |found, told| is(found, false, false) && told.epoch == 1 && !told.loose,
        is_last: true,
    },
    Moment {
        what: "the source is fenced",
        through: Through::Nothing,
        is_it: |found, _| is(found, false, true),
        is_last: true,
    },
    Moment {
        what: "the target is the owner",
        through: Through::Nothing,
        is_it: |found, _| is(found, true, false),
        is_last: false,
    },
    Moment {
        what: "the target lost what its application did not have put on the disk",
        through: Through::Names,
        is_it: |found, told| is(found, true, false) && told.newest > found.target,
        is_last: true,
    },
    Moment {
        what: "the target is fenced",
        through: Through::Some(0),
        is_it: |found, _| is(found, true, true),
        is_last: true,
    },
    Moment {
        what: "the source is the owner again",
        through: Through::Names,
        is_it: |found, told| is(found, false, false) && found.owner.epoch > 1 && told.epoch > 1,
        is_last: false,
    },
    Moment {
        what: "the end",
        through: Through::Some(0),
        is_it: |found, told| told.finishing && found.recorded == 1,
        is_last: true,
    },
];

#[test]
fn what_was_told_survives_a_loss_of_power() {
    let watched = Watched::new();
    let (before, notes) = watched.tell_story();
    is_whole(before.clone(), &notes, &watched);
    let (mut disk, mut told, mut faults) = (before, Told::default(), Vec::new());
    let mut moments: [Option<(usize, Image, Found)>; MOMENTS.len()] = Default::default();
    let (mut dice, mut count) = (Dice(seed()), 0);
    for (at, note) in notes.iter().enumerate() {
        let some = Through::Some(dice.below(u64::MAX));
        let throughs: &[Through] = match note.is_sync() {
            // Behind all that is told before the disk promises more.
            true => &[Through::Nothing, Through::Names, some, Through::All],
            false if dice.below(OTHERS) == 0 => &[some],
            false => &[],
        };
        if !throughs.is_empty() {
            told.see(&disk);
            for through in throughs.iter().copied() {
                count += 1;
                let (image, scratch) = (disk.image(through), tempfile::tempdir().unwrap());
                match judge::judge(&image, &told, scratch.path()) {
                    Err(why) => faults.push(format!("at note {at}, {through:?}: {why}")),
                    Ok(found) => {
                        let is_wanted = |(moment, kept): (&Moment, &Option<_>)| {
                            moment.is(&found, &told, through) && (moment.is_last || kept.is_none())
                        };
                        if let Some(number) = MOMENTS.iter().zip(&moments).position(is_wanted) {
                            moments[number] = Some((at, image, found));
                        }
                    }
                }
            }
        }
        told.hear(note);
        disk.next(note);
    }
    println!("seed {}: {count} disks behind {} notes", seed(), notes.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    for (moment, found) in MOMENTS.iter().zip(moments) {
        let (at, image, found) = found.unwrap_or_else(|| panic!("never {}", moment.what));
        println!("{}: at note {at}, {found:?}", moment.what);
        match moment.what {
            "the end" => watched.ends(&image, &found),
            "the same, with no application" => watched.goes_on(&image, &found, 0),
            _ => watched.goes_on(&image, &found, FIRST),
        }
    }
}

/// Whether a file of an image is as it was in the end. The copy is filled in its place, and says by its records how far it is.
fn is_made(image: &Image, end: &Image, told: &[String]) -> Result<(), String> {
    let is_note = |name: &str| name.strip_suffix(".json").is_some_and(|file| end.contains_key(file));
    for (name, content) in image {
        let is_dump = name == "out.json" || name.starts_with("rows/");
        if (is_dump || is_note(name)) && end.get(name) != Some(content) {
            return Err(format!("{name} is there, and not what it becomes"));
        }
        if let Some(file) = name.strip_suffix(".json").filter(|_| is_note(name))
            && image.get(file) != end.get(file)
        {
            return Err(format!(
                "{name} says of a backup that it is there, and {file} is not what it becomes"
            ));
        }
    }
    for told in told {
        let missing =
            end.iter().find(|(name, content)| name.starts_with(told) && image.get(*name) != Some(*content));
        if let Some((name, _)) = missing.filter(|_| told != "copy.db") {
            return Err(format!("{told} was told, and {name} is not what it becomes"));
        }
        if told == "copy.db" {
            judge::is_copy(image, told, tempfile::tempdir().unwrap().path())?;
        }
    }
    Ok(())
}

#[test]
fn what_was_made_survives_a_loss_of_power_and_has_its_name_only_when_it_is_whole() {
    let watched = Watched::new();
    let (before, notes) = watched.make_files();
    is_whole(before.clone(), &notes, &watched);
    let mut end = before.clone();
    notes.iter().for_each(|note| end.next(note));
    let end = end.image(Through::All);
    let (mut disk, mut told, mut faults) = (before, Vec::new(), Vec::new());
    let (mut dice, mut count) = (Dice(seed()), 0);
    for at in 0..=notes.len() {
        for through in [Through::Nothing, Through::Names, Through::Some(dice.below(u64::MAX)), Through::All] {
            count += 1;
            if let Err(why) = is_made(&disk.image(through), &end, &told) {
                faults.push(format!("at note {at}, {through:?}: {why}"));
            }
        }
        // Behind the last one there is a disk as well.
        let Some(note) = notes.get(at) else { break };
        told.extend(note.told().map(str::to_owned));
        disk.next(note);
    }
    println!("seed {}: {count} disks behind {} notes", seed(), notes.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
