//! A live run there and back and there again, by real processes whose disk is watched.

use super::disk::{self, Disk, Image, Note};
use super::judge::{self, Found};
use super::writer::{self, Writer};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No stage takes so long.
const LIMIT: Duration = Duration::from_secs(60);

/// Operations of an application that starts before the engine: more than a crash takes from it.
pub(crate) const FIRST: u64 = 50;

/// Operations that a store lost at least where the other one has them: of so many one is seen for sure.
pub(crate) const LOST: i64 = 5;

/// The stores, whose files keep their numbers, by which a run knows them.
const STORES: [&str; 2] = ["app.db", "new.db"];

/// The library that watches, compiled.
fn plug(folder: &Path) -> PathBuf {
    let (source, plug) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/plug.c"), folder.join("plug.so"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&plug).arg(source);
    assert!(cc.status().expect("a C compiler, as the bundled SQLite needs it").success());
    plug
}

/// A folder whose disk is watched.
pub(crate) struct Watched {
    root: TempDir,
    plug: PathBuf,
}

impl Watched {
    pub(crate) fn new() -> Watched {
        let root = tempfile::tempdir().unwrap();
        let plug = plug(root.path());
        let watched = Watched { plug, root };
        std::fs::create_dir(watched.folder()).unwrap();
        std::fs::write(watched.notes(), "").unwrap();
        watched
    }

    /// The folder, by the name that the system has for it.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap().join("disk")
    }

    fn notes(&self) -> PathBuf {
        self.root.path().join("notes")
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A process whose writes are noted.
    fn watch(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", &self.plug);
        command.env("POWER_FOLDER", self.folder()).env("POWER_NOTES", self.notes());
        command
    }

    fn tell(&self, what: &str) {
        disk::tell(&self.notes(), what);
    }

    /// The program.
    fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchover"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.root.path()).env("NO_COLOR", "1").current_dir(self.folder()).args(words);
        command
    }

    /// Runs a verb whose writes are noted, and it must succeed.
    #[track_caller]
    fn done(&self, words: &[&str]) {
        let output = self.watch(self.program(words)).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{words:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }

    /// Begins one whose writes are noted.
    fn begin(&self, words: &[&str]) -> Engine {
        Engine::start(self.watch(self.program(words)))
    }

    /// The application, behind that operation.
    fn writer(&self, newest: i64) -> Writer {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("POWER_OWN_FOLDER", self.folder()).env("POWER_OWN_NOTES", self.notes());
        Writer::start(self.watch(command), newest)
    }

    fn json(&self, path: &Path) -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(self.folder().join(path)).ok()?).ok()
    }

    /// The route, as applications see it.
    fn route(&self) -> serde_json::Value {
        self.json(Path::new(".switchover/route.json")).unwrap()
    }

    /// The status of the only run.
    fn status(&self) -> Option<serde_json::Value> {
        let run = std::fs::read_dir(self.folder().join(".switchover/runs")).ok()?.next()?.unwrap();
        self.json(&run.path().join("live.json"))
    }

    /// Waits until this engine says so.
    #[track_caller]
    fn until(&self, engine: &mut Engine, reached: impl Fn(&serde_json::Value) -> bool) {
        let (begun, id) = (Instant::now(), engine.0.id());
        let mut status = None;
        loop {
            // It may be replaced at this moment.
            status = self.status().or(status);
            if status.as_ref().is_some_and(|status| status["pid"] == id && reached(status)) {
                return;
            }
            if let Some(ended) = engine.0.try_wait().unwrap() {
                panic!("{ended}: {}\n{status:#?}", engine.said());
            }
            assert!(begun.elapsed() < LIMIT, "it never was so: {status:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The run there and back and there again, to its end; gives the disk as it was before, and all notes.
    pub(crate) fn tell_story(&self) -> (Disk, Vec<Note>) {
        writer::make(&self.folder().join("app.db"));
        assert_eq!(disk::below(&self.folder()), ["app.db"]);
        let before = Disk::of(&self.folder());
        let mut writer = self.writer(0);
        writer.order("app.db", "FULL", Some(20));
        let mut engine = self.begin(&["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
        self.until(&mut engine, is_ready);
        writer.answer();
        let newest = writer.write("app.db", "NORMAL", 30);
        self.has("new.db", newest);
        self.change_owner("cutover", &mut writer, "app.db");
        writer.write("new.db", "FULL", 10);
        let newest = writer.write("new.db", "NORMAL", 40);
        self.has("app.db", newest);
        self.change_owner("rollback", &mut writer, "new.db");
        writer.write("app.db", "FULL", 10);
        self.change_owner("cutover", &mut writer, "app.db");
        writer.write("new.db", "FULL", 5);
        for name in STORES {
            std::fs::hard_link(self.folder().join(name), self.kept(name)).unwrap();
        }
        self.tell("finishing");
        self.done(&["finish", "--yes"]);
        self.tell("finished");
        writer.write("new.db", "FULL", 5);
        assert!(engine.0.wait().unwrap().success(), "{}", engine.said());
        drop(writer);
        (before, disk::read(&self.notes()))
    }

    /// Files that are made of the application's, each told when its verb has succeeded; gives the disk as it was before, and all notes.
    pub(crate) fn make_files(&self) -> (Disk, Vec<Note>) {
        writer::make(&self.folder().join("app.db"));
        let before = Disk::of(&self.folder());
        for (target, made) in
            [("json:out.json", "out.json"), ("json:rows/", "rows/"), ("sqlite:copy.db", "copy.db")]
        {
            self.done(&["migrate", "--from", "sqlite:app.db", "--to", target, "--jobs", "2"]);
            self.tell(made);
        }
        self.done(&["backup", "create", "sqlite:app.db"]);
        self.tell(".switchover/backups/");
        self.done(&["backup", "create", "sqlite:app.db", "--file", "kept/here/app.db"]);
        self.tell("kept/here/app.db");
        (before, disk::read(&self.notes()))
    }

    /// Has the owner change while the application writes.
    #[track_caller]
    fn change_owner(&self, verb: &str, writer: &mut Writer, owner: &str) {
        writer.order(owner, "FULL", None);
        self.done(&[verb, "--when-ready", "--write-budget", "20s"]);
        self.tell(&format!("epoch {}", self.route()["epoch"]));
        writer.answer();
    }

    /// Waits until the follower has what the application wrote.
    #[track_caller]
    fn has(&self, follower: &str, newest: i64) {
        let begun = Instant::now();
        let file = rusqlite::Connection::open_with_flags(
            self.folder().join(follower),
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
        )
        .unwrap();
        while file.query_row("SELECT max(n) FROM slot", [], |row| row.get::<_, i64>(0)).unwrap() < newest {
            assert!(begun.elapsed() < LIMIT, "{follower} never has operation {newest}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Puts an image in the place of what is there. The stores are the files that they were.
    fn put(&self, image: &Image) {
        for name in disk::below(&self.folder()) {
            std::fs::remove_file(self.folder().join(name)).unwrap();
        }
        for store in STORES {
            let _ = std::fs::remove_file(self.folder().join(format!("{store}-shm")));
        }
        for (name, content) in image {
            let path = self.folder().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if STORES.contains(&&**name) {
                std::fs::hard_link(self.kept(name), &path).unwrap();
            }
            std::fs::write(path, content).unwrap();
        }
    }

    /// The machine starts again with this on its disk, the application before the engine, for so many operations: the run is taken up,
    /// goes on both ways, and both stores hold the same.
    #[track_caller]
    pub(crate) fn goes_on(&self, image: &Image, found: &Found, first: u64) {
        self.put(image);
        let mut writer = self.writer(found.newest());
        // While the owner changes it may take none.
        let owner = if found.owner.is_target { "new.db" } else { "app.db" };
        writer.write(owner, "FULL", first);
        self.done(&["status"]);
        let mut engine = self.begin(&["resume"]);
        // Without them the log ends before the position, and the tables are copied again.
        if found.target > found.source + LOST && !found.owner.is_target && first > 0 {
            self.mends(&mut engine);
        }
        self.until(&mut engine, is_ready);
        if self.route()["owner"] == "target" {
            writer.write("new.db", "FULL", 3);
            self.done(&["rollback", "--when-ready", "--write-budget", "20s"]);
        }
        writer.write("app.db", "FULL", 3);
        self.done(&["cutover", "--when-ready", "--write-budget", "20s"]);
        let newest = writer.write("new.db", "FULL", 3);
        self.has("app.db", newest);
        for name in STORES {
            judge::is_state(&self.folder().join(name), newest, found.newest()).unwrap();
        }
    }

    /// Where the source lost what the target has, and has written other rows since, the comparison says so, the owner cannot change, and
    /// the way out that the guide names is one.
    #[track_caller]
    fn mends(&self, engine: &mut Engine) {
        self.until(engine, |status| status["verification"]["verdict"] == "different");
        let refused = self.watch(self.program(&["cutover"])).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            refused.status.code() == Some(1) && said.contains("the stores are known to differ"),
            "{said}"
        );
        let file = rusqlite::Connection::open(self.folder().join("app.db")).unwrap();
        file.busy_timeout(LIMIT).unwrap();
        file.execute_batch("UPDATE t SET x = x; UPDATE slot SET n = n").unwrap();
        self.done(&["verify", "--live"]);
    }

    /// The same where the run was being finished: it ends.
    #[track_caller]
    pub(crate) fn ends(&self, image: &Image, found: &Found) {
        self.put(image);
        self.done(&["finish", "--yes"]);
        let newest = self.writer(found.newest()).write("new.db", "FULL", 3);
        judge::is_state(&self.folder().join("new.db"), newest, found.newest()).unwrap();
    }
}

/// Whether an engine follows, and all rows were equal.
fn is_ready(status: &serde_json::Value) -> bool {
    let is_same = status["phase"] == "following" && status["verification"]["verdict"] == "same";
    is_same || status["phase"] == "reverse"
}

/// An engine at work.
pub(crate) struct Engine(Child);

impl Engine {
    fn start(mut command: Command) -> Engine {
        Engine(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// What it said, once it has ended.
    fn said(&mut self) -> String {
        self.0.stderr.take().map(|said| std::io::read_to_string(said).unwrap()).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
