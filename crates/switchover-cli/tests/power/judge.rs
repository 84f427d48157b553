//! What a disk must hold behind a loss of power, by what was told until then.

use super::disk::{Disk, Image, Note};
use super::writer::{self, SHUT};
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;
use std::path::Path;

/// What was told until a note.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// The newest operation of which the application was told that the disk has it.
    pub(crate) wrote: i64,
    /// The newest operation that was begun for sure.
    pub(crate) newest: i64,
    /// Whether the application at the owner does not wait for the disk.
    pub(crate) loose: bool,
    /// The epoch of the decision by which somebody was told who the owner is.
    pub(crate) epoch: u64,
    /// That the run is to end at the target.
    pub(crate) finishing: bool,
    /// That it did.
    pub(crate) finished: bool,
}

impl Told {
    /// Takes a note in.
    pub(crate) fn hear(&mut self, note: &Note) {
        let Some(told) = note.told() else { return };
        let (what, number) = told.split_once(' ').unwrap_or((told, "0"));
        let number: i64 = number.parse().unwrap();
        match what {
            "wrote" => (self.wrote, self.newest, self.loose) = (number, number, false),
            "perhaps" => (self.newest, self.loose) = (number, true),
            "epoch" => self.epoch = self.epoch.max(number.unsigned_abs()),
            "finishing" => self.finishing = true,
            "finished" => self.finished = true,
            other => panic!("told {other}"),
        }
    }

    /// Takes in what the route and the status say that anybody may have read.
    pub(crate) fn see(&mut self, disk: &Disk) {
        let read = |name: &str| {
            disk.seen(name).and_then(|text| serde_json::from_slice::<serde_json::Value>(text).ok())
        };
        let route = read("/route.json").and_then(|route| route["epoch"].as_u64());
        let status = read("/live.json").and_then(|status| status["ownership"]["epoch"].as_u64());
        self.epoch = self.epoch.max(route.unwrap_or(0)).max(status.unwrap_or(0));
    }
}

/// Who owns the data, by the decision row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) is_target: bool,
    pub(crate) pending: bool,
    pub(crate) epoch: u64,
}

/// Before there is a row.
const FIRST: Owner = Owner { is_target: false, pending: false, epoch: 1 };

/// What one file holds.
#[derive(Debug, Default)]
struct Store {
    newest: Option<i64>,
    owner: Option<Owner>,
    token: Option<String>,
    /// The other's log, entry and mark up to where it was taken.
    applied: Option<(String, i64, i64)>,
    /// The oldest and newest entry of its log.
    log: Option<(i64, i64)>,
    mark: i64,
}

/// The rows of the second table.
type Slots = BTreeMap<i64, i64>;

type Judged<T> = Result<T, String>;

fn said(what: &str) -> impl Fn(rusqlite::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// What an image says of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) owner: Owner,
    /// How many stores have the run's records.
    pub(crate) recorded: usize,
    /// The newest operation of each store.
    pub(crate) source: i64,
    pub(crate) target: i64,
}

impl Found {
    /// The newest operation of the owner.
    pub(crate) fn newest(&self) -> i64 {
        if self.owner.is_target { self.target } else { self.source }
    }
}

/// Whether an image is as it must be; a fault is said.
pub(crate) fn judge(image: &Image, told: &Told, scratch: &Path) -> Judged<Found> {
    ["app.db", "new.db"].iter().for_each(|store| put(image, store, scratch));
    let (app, new) = (scratch.join("app.db"), scratch.join("new.db"));
    let source = look(&app).map_err(|why| format!("app.db: {why}"))?;
    let target = match new.exists() {
        true => look(&new).map_err(|why| format!("new.db: {why}"))?,
        false => Store::default(),
    };
    let owner = match target.owner {
        Some(owner) => owner,
        None if told.finishing => Owner { is_target: true, pending: false, epoch: u64::MAX },
        None => FIRST,
    };
    if owner.epoch < told.epoch {
        return Err(format!("somebody was told of epoch {}, and the decision is {owner:?}", told.epoch));
    }
    let name = if owner.is_target { "new.db" } else { "app.db" };
    let here = if owner.is_target { &target } else { &source };
    let newest = here.newest.ok_or("the owner has no rows")?;
    if newest < told.wrote {
        return Err(format!("operation {} was acknowledged, and {name} ends at {newest}", told.wrote));
    }
    let path = if owner.is_target { &new } else { &app };
    is_state(path, newest, newest).map_err(|why| format!("{name}: {why}"))?;
    if target.owner.is_some() {
        // What an application at the source wrote that does not wait for the disk may be lost there, and known to the target: an engine
        // that begins compares all rows (docs/decisions/0027).
        if owner.is_target || !told.loose {
            positions(owner, &source, &target)?;
        }
        if target.newest.is_some() {
            fences(owner, told, &app, &new)?;
        }
    }
    if told.finished && (target.owner.is_some() || target.token.is_some() || source.token.is_some()) {
        return Err("the run is finished, and its records are there".into());
    }
    files(image, owner)?;
    // Who was told anything of it must find it again.
    let is_run = |name: &String| name.starts_with(RUNS) && name.ends_with("/run.json");
    if told.epoch > 0 && !image.keys().any(is_run) {
        return Err("the run's folder is lost".into());
    }
    let recorded = usize::from(target.owner.is_some()) + usize::from(source.token.is_some());
    Ok(Found { owner, recorded, source: source.newest.unwrap_or(0), target: target.newest.unwrap_or(0) })
}

/// Puts a store's files of an image into a folder.
fn put(image: &Image, store: &str, scratch: &Path) {
    for name in ["", "-wal", "-journal"].map(|part| format!("{store}{part}")) {
        if let Some(content) = image.get(&name) {
            std::fs::write(scratch.join(name), content).unwrap();
        }
    }
}

/// Whether a SQLite file of an image holds all that the application's did.
pub(crate) fn is_copy(image: &Image, store: &str, scratch: &Path) -> Judged<()> {
    put(image, store, scratch);
    look(&scratch.join(store))
        .and_then(|_| is_state(&scratch.join(store), 0, 0))
        .map_err(|why| format!("{store}: {why}"))
}

/// That no store has taken what the other one's log does not have, and none has forgotten what the other one lacks.
fn positions(owner: Owner, source: &Store, target: &Store) -> Judged<()> {
    let (log, follower) = if owner.is_target { (target, source) } else { (source, target) };
    let Some((token, entry, mark)) = &follower.applied else { return Ok(()) };
    if log.token.as_ref() != Some(token) {
        return Ok(());
    }
    if *mark > log.mark {
        return Err(format!(
            "the follower has what was read by mark {mark}, and the owner is at {}",
            log.mark
        ));
    }
    let (oldest, newest) = log.log.unwrap_or((1, 0));
    if newest < *entry {
        return Err(format!("the follower has entry {entry} of the log, which ends at {newest}"));
    }
    if oldest > entry + 1 {
        return Err(format!("the log begins at {oldest}, and the follower has {entry}"));
    }
    let (has, owns) = (follower.newest.unwrap_or(0), log.newest.unwrap_or(0));
    match has > owns {
        true => Err(format!("the follower has operation {has}, and the owner ends at {owns}")),
        false => Ok(()),
    }
}

/// That the store that does not own the data takes none.
fn fences(owner: Owner, told: &Told, app: &Path, new: &Path) -> Judged<()> {
    // Both may be shut, and the first store may be given up.
    let shut = match owner.is_target {
        true if told.finishing => return Ok(()),
        true => app,
        false => new,
    };
    let file = open(shut);
    match file.execute("INSERT INTO t VALUES (1000000, 'late')", []) {
        Err(error) if error.to_string().contains(SHUT) => Ok(()),
        took => Err(format!("{owner:?}, and {} takes writes: {took:?}", shut.display())),
    }
}

/// That files which are replaced are whole, and say nothing that is not decided.
fn files(image: &Image, owner: Owner) -> Judged<()> {
    for (name, content) in image {
        let is_json = name.ends_with(".json");
        if !is_json || REPLACED_OFTEN.iter().any(|own| name.ends_with(own)) {
            continue;
        }
        let value: serde_json::Value =
            serde_json::from_slice(content).map_err(|error| format!("{name} is not whole: {error}"))?;
        let epoch = value["epoch"].as_u64().filter(|_| name.ends_with("/route.json")).unwrap_or(0);
        if epoch > owner.epoch {
            return Err(format!("{name} says epoch {epoch}, and the decision is {owner:?}"));
        }
    }
    Ok(())
}

/// Where runs have their folders.
const RUNS: &str = ".switchover/runs/";

/// What is written again every moment and need not be whole: an engine or a reader does without it.
const REPLACED_OFTEN: [&str; 2] = ["/live.json", "/route.progress.json"];

/// A file of an image, or of a folder that is watched: what this process writes need not last.
fn open(path: &Path) -> Connection {
    let file = Connection::open(path).unwrap();
    file.execute_batch("PRAGMA synchronous = OFF").unwrap();
    file
}

fn look(path: &Path) -> Judged<Store> {
    let file = open(path);
    let whole: String =
        file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(said("integrity_check"))?;
    if whole != "ok" {
        return Err(whole);
    }
    let mut store = Store::default();
    let has = |name: &str| {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        file.query_row(sql, [name], |row| row.get::<_, bool>(0)).map_err(said(name))
    };
    if has("t")? && has("slot")? {
        let newest = file.query_row("SELECT coalesce(max(n), 0) FROM slot", [], |row| row.get(0));
        store.newest = Some(newest.map_err(said("the newest operation"))?);
    }
    if has("_switchover_live")? {
        let sql =
            "SELECT owner = 'target', pending, epoch, token, applied, side = 'target' FROM _switchover_live";
        let found = file
            .query_row(sql, [], |row| {
                let owner = Owner {
                    is_target: row.get(0)?,
                    pending: row.get(1)?,
                    epoch: row.get::<_, i64>(2)?.unsigned_abs(),
                };
                Ok((owner, row.get(3)?, row.get::<_, Option<String>>(4)?, row.get::<_, bool>(5)?))
            })
            .optional();
        if let Some((owner, token, applied, is_target)) = found.map_err(said("the record"))? {
            store.owner = is_target.then_some(owner);
            store.token = token;
            store.applied = applied.as_deref().and_then(position);
        }
        let sql =
            "SELECT coalesce(max(CAST(sql AS INTEGER)), 0) FROM _switchover_live_object WHERE role = 'mark'";
        store.mark = file.query_row(sql, [], |row| row.get(0)).map_err(said("the mark"))?;
    }
    if has("_switchover_changes")? {
        let sql = "SELECT min(seq), max(seq) FROM _switchover_changes HAVING count(*) > 0";
        let found = file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional();
        store.log = found.map_err(said("the log"))?;
    }
    Ok(store)
}

/// `TOKEN:ENTRY`, and `#MARK` where there is one.
fn position(text: &str) -> Option<(String, i64, i64)> {
    let (token, rest) = text.split_once(':')?;
    let (entry, mark) = rest.split_once('#').unwrap_or((rest, "0"));
    Some((token.to_owned(), entry.parse().ok()?, mark.parse().ok()?))
}

/// That a file holds what the operations until that one make, of which those behind `before` came behind a loss of power, and nothing
/// else.
pub(crate) fn is_state(path: &Path, newest: i64, before: i64) -> Judged<()> {
    let (rows, slots) = content(path)?;
    if rows == writer::rows(newest, before) && slots == writer::slots(newest) {
        return Ok(());
    }
    let ids: Vec<_> = rows.keys().collect();
    Err(format!("it holds no state of operation {newest}: {slots:?}, {ids:?}"))
}

fn pairs<T: rusqlite::types::FromSql>(file: &Connection, sql: &str) -> Judged<BTreeMap<i64, T>> {
    let mut statement = file.prepare(sql).map_err(said(sql))?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(said(sql))?;
    found.collect::<rusqlite::Result<_>>().map_err(said(sql))
}

/// The rows of a file's tables.
fn content(path: &Path) -> Judged<(BTreeMap<i64, String>, Slots)> {
    let file = open(path);
    Ok((pairs(&file, "SELECT id, x FROM t")?, pairs(&file, "SELECT k, n FROM slot")?))
}
