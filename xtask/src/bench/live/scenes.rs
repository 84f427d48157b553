//! The scenes of `bench live`, see the table there.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use switchover_testkit::Database;

use super::engine::{Engine, Largest};
use super::figures::{Figures, Line, Of};
use super::store::{Lite, Psql, Statement};
use super::{Scene, Stage, Writing};
use crate::Result;
use crate::bench::switchover;

/// Changed rows a second of an application that is busy, and not as busy as it can be.
const STEADY_ROWS: f64 = 2_000.0;
/// In transactions of so many.
const STEADY_ROWS_EACH: u64 = 10;
/// Rows of the backlog that is caught up with.
const BACKLOG_ROWS: u64 = 200_000;
/// Changes of the reverse window.
const WINDOW_ROWS: u64 = 100_000;
/// Transactions a second of the prober.
const PROBES_PER_S: f64 = 500.0;
/// The prober's and the load's rows are their own.
const SEED_LAG: i64 = 1 << 50;

const RSS: &str = "resident memory of the engine";
const WAL: &str = "largest write-ahead log of the source";

fn steady(source: &Path) -> Writing<'_> {
    Writing { per_s: Some(STEADY_ROWS / STEADY_ROWS_EACH as f64), ..Writing::to(source, STEADY_ROWS_EACH) }
}

fn number(value: &Value, name: &str) -> Result<f64> {
    value[name].as_f64().ok_or_else(|| format!("a writer did not tell {name}").into())
}

fn per_s(value: &Value) -> Result<f64> {
    Ok(number(value, "rows")? / number(value, "seconds")?)
}

/// The copy of a live run against the offline one; commits meanwhile against those with no migration.
pub(super) fn backfill(stage: &Stage<'_>, figures: &mut Figures) -> Result {
    for round in 1..=stage.args.rounds {
        println!("backfill, round {round}");
        let source = stage.copy("backfill.db")?;
        let offline = offline(stage, &source)?;
        let plain = stage
            .write(&Writing { seconds: Some(stage.args.seconds), ..steady(&source) }, round * 10)?
            .ended()?;
        let (idle, _) = copied(stage, &source, None, figures)?;
        let (busy, captured) = copied(stage, &source, Some(round * 10 + 1), figures)?;
        let captured = captured.ok_or("the writer told nothing")?;
        let ratio = Line::AtLeast(0.6);
        figures.add("offline copy", "s", Of::Median, Line::None, offline);
        figures.add("live copy", "s", Of::Median, Line::None, idle);
        figures.add("live copy / offline, in speed", "×", Of::Median, ratio, offline / idle);
        figures.add("the same beside 2,000 changed rows/s", "×", Of::Median, Line::None, offline / busy);
        let (before, during) = (number(&plain, "p99_us")? / 1e3, number(&captured, "p99_us")? / 1e3);
        figures.add("p99 of a transaction of 10 rows, no migration", "ms", Of::Median, Line::None, before);
        figures.add("the same during the copy", "ms", Of::Median, Line::None, during);
        figures.add("p99 during the copy / none", "×", Of::Median, Line::AtMost(2.0), during / before);
        let longest = number(&captured, "max_us")? / 1e3;
        figures.add("longest transaction during the copy", "ms", Of::Worst, Line::None, longest);
    }
    Ok(())
}

fn offline(stage: &Stage<'_>, source: &Path) -> Result<f64> {
    let target = stage.target("offline")?;
    let engine = Engine::new(&stage.binary, &stage.folder.join("offline"), source, &target)?;
    engine.ask("migrate", &["--no-backup", "--report", "report.json"])?;
    let report: Value = serde_json::from_str(&fs::read_to_string(stage.folder.join("offline/report.json"))?)?;
    let phases = switchover::phases(&report);
    let copy = phases.iter().find(|(name, _)| name == "copy").ok_or("the report has no copy")?;
    Ok(copy.1)
}

/// One backfill, taken back: the seconds of the copy, and what a writer beside it tells.
fn copied(
    stage: &Stage<'_>,
    source: &Path,
    writer: Option<u64>,
    figures: &mut Figures,
) -> Result<(f64, Option<Value>)> {
    let target = stage.target("backfill")?;
    let mut engine = Engine::new(&stage.binary, &stage.folder.join("run"), source, &target)?;
    let log = Largest::of(source.with_extension("db-wal"));
    engine.start()?;
    engine.until("copying", |status| status["phase"] == "copying")?;
    let begun = Instant::now();
    let writer = writer.map(|seed| stage.write(&steady(source), seed)).transpose()?;
    let past = |status: &Value| !["entering", "copying"].iter().any(|phase| status["phase"] == *phase);
    engine.until("past the copy", past)?;
    let seconds = begun.elapsed().as_secs_f64();
    let told = writer.map(super::Writer::ended).transpose()?;
    engine.until("following", |status| status["phase"] == "following")?;
    figures.keep(RSS, "MB", Of::Worst, Line::AtMost(100.0), engine.peak_kb().unwrap_or(0) as f64 / 1e3);
    figures.keep(WAL, "MB", Of::Worst, Line::AtMost(64.0), log.megabytes());
    engine.take_back()?;
    Ok((seconds, told))
}

/// One run that all other scenes share.
pub(super) fn live(stage: &Stage<'_>, wanted: &dyn Fn(Scene) -> bool, figures: &mut Figures) -> Result {
    let (source, target) = (stage.copy("app.db")?, stage.target("live")?);
    let mut engine = Engine::new(&stage.binary, &stage.folder.join("run"), &source, &target)?;
    let log = Largest::of(source.with_extension("db-wal"));
    engine.start()?;
    engine.until("following", |status| status["phase"] == "following")?;
    let proof = engine.proven()?;
    figures.add("comparison of all rows while following", "s", Of::Median, Line::None, proof);
    let mut run = Run { stage, engine, source: &source, target: &target, marks: 0 };
    if wanted(Scene::Follow) {
        run.lag(figures)?;
        run.backlog(figures)?;
        run.throughput(figures)?;
    }
    figures.keep(WAL, "MB", Of::Worst, Line::AtMost(64.0), log.megabytes());
    if wanted(Scene::Switch) {
        run.switches(figures)?;
    }
    if wanted(Scene::Window) {
        run.window(figures)?;
    }
    figures.keep(RSS, "MB", Of::Worst, Line::AtMost(100.0), run.engine.peak_kb().unwrap_or(0) as f64 / 1e3);
    run.engine.take_back()
}

struct Run<'a> {
    stage: &'a Stage<'a>,
    engine: Engine,
    source: &'a Path,
    target: &'a Database,
    marks: i64,
}

impl Run<'_> {
    fn psql(&self) -> Result<Psql> {
        Psql::open(&self.stage.cluster.binaries.tool("psql"), &self.target.conninfo())
    }

    /// Writes a mark into the source, and waits until the target has it: everything before it is there too.
    fn arrived(&mut self) -> Result<Duration> {
        let (lite, mut psql) = (Lite::open(self.source, &self.stage.args.synchronous)?, self.psql()?);
        self.mark(&lite, &mut psql)
    }

    fn mark(&mut self, lite: &Lite, psql: &mut Psql) -> Result<Duration> {
        self.marks += 1;
        let id = SEED_LAG + self.marks;
        let sql = "INSERT INTO probe (id, at) VALUES (?, 0)";
        lite.write(&[Statement { sql, values: vec![id.into()] }]).map_err(|why| format!("{why:?}"))?;
        let begun = Instant::now();
        while psql.number("SELECT coalesce(max(id), 0) FROM probe")? < id {
            if begun.elapsed() > Duration::from_secs(300) {
                return Err(format!("a row never arrived: {:?}", self.engine.status()).into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    /// From a commit at the source until the target shows it, beside a steady application.
    fn lag(&mut self, figures: &mut Figures) -> Result {
        println!("lag");
        let load = self.stage.write(&steady(self.source), 100)?;
        let end = Instant::now() + Duration::from_secs_f64(self.stage.args.seconds * 4.0);
        let (lite, mut psql) = (Lite::open(self.source, &self.stage.args.synchronous)?, self.psql()?);
        while Instant::now() < end {
            let lag = self.mark(&lite, &mut psql)?.as_secs_f64() * 1e3;
            figures.keep("lag at 2,000 changed rows/s", "ms", Of::Median, Line::None, lag);
            figures.keep("lag at 2,000 changed rows/s", "ms", Of::P99, Line::AtMost(250.0), lag);
            thread::sleep(Duration::from_millis(7));
        }
        let told = load.ended()?;
        figures.add("rows/s of the application meanwhile", "rows/s", Of::Median, Line::None, per_s(&told)?);
        self.arrived().map(drop)
    }

    /// A backlog that grew while the run was paused.
    fn backlog(&mut self, figures: &mut Figures) -> Result {
        println!("backlog");
        for round in 1..=self.stage.args.rounds {
            self.engine.ask("pause", &[])?;
            let all = Writing { most: Some(BACKLOG_ROWS), ..Writing::to(self.source, 100) };
            let rows = number(&self.stage.write(&all, 200 + round)?.ended()?, "rows")?;
            let lite = Lite::open(self.source, &self.stage.args.synchronous)?;
            let entries = lite.number("SELECT count(*) FROM _switchover_changes")?;
            let begun = Instant::now();
            self.engine.ask("resume", &[])?;
            self.arrived()?;
            let seconds = begun.elapsed().as_secs_f64();
            println!("  {rows} rows, {entries} entries in {seconds:.2} s");
            figures.add("catch-up", "rows/s", Of::Median, Line::AtLeast(20_000.0), rows / seconds);
        }
        Ok(())
    }

    /// As many transactions as go, with and without the migration, by turns.
    fn throughput(&mut self, figures: &mut Figures) -> Result {
        let plain = self.stage.copy("plain.db")?;
        for round in 1..=self.stage.args.rounds {
            println!("throughput, round {round}");
            for (rows, line) in [(1, 0.6), (100, 0.75)] {
                let stretch = |source: &Path, seed| {
                    let seconds = Some(self.stage.args.seconds);
                    self.stage.write(&Writing { seconds, ..Writing::to(source, rows) }, seed)?.ended()
                };
                let (before, seed) = (stretch(&plain, round * 1000 + rows)?, round * 2000 + rows);
                let captured = stretch(self.source, seed)?;
                let waited = self.arrived()?.as_secs_f64();
                let name = format!("rows/s at {rows} a transaction");
                let ratio = per_s(&captured)? / per_s(&before)?;
                figures.add(
                    &format!("{name}, no migration"),
                    "rows/s",
                    Of::Median,
                    Line::None,
                    per_s(&before)?,
                );
                figures.add(
                    &format!("{name}, captured"),
                    "rows/s",
                    Of::Median,
                    Line::None,
                    per_s(&captured)?,
                );
                figures.add(&format!("{name}, captured / none"), "×", Of::Median, Line::AtLeast(line), ratio);
                figures.add(&format!("{name}, behind at the end"), "s", Of::Median, Line::None, waited);
                for (what, told) in [("none", &before), ("captured", &captured)] {
                    let p99 = number(told, "p99_us")? / 1e3;
                    figures.add(&format!("{name}, p99, {what}"), "ms", Of::Median, Line::None, p99);
                }
            }
        }
        fs::remove_file(plain)?;
        Ok(())
    }

    /// Cutovers and rollbacks under load.
    fn switches(&mut self, figures: &mut Figures) -> Result {
        for round in 1..=self.stage.args.cutovers {
            println!("switch, round {round}");
            self.engine.proven()?;
            let both = |writing| Writing { server: Some(self.target), ..writing };
            let load = self.stage.write(&both(steady(self.source)), 10_000 + round)?;
            let probing = Writing { per_s: Some(PROBES_PER_S), probe: true, ..Writing::to(self.source, 1) };
            let prober = self.stage.write(&both(probing), 20_000 + round)?;
            thread::sleep(Duration::from_secs(1));
            self.engine.ask("cutover", &["--when-ready"])?;
            thread::sleep(Duration::from_secs(2));
            self.engine.ask("rollback", &["--when-ready"])?;
            thread::sleep(Duration::from_millis(500));
            let (told, _) = (prober.ended()?, load.ended()?);
            for gap in told["gaps"].as_array().into_iter().flatten() {
                if gap["moved"] != true {
                    continue;
                }
                let ms = number(gap, "ms")?;
                let name = match gap["to"].as_str() {
                    Some("target") => "writes unavailable at a cutover",
                    _ => "writes unavailable at a rollback",
                };
                println!("  {name}: {ms:.1} ms");
                figures.keep(name, "ms", Of::Median, Line::AtMost(100.0), ms);
                figures.keep(name, "ms", Of::Worst, Line::AtMost(500.0), ms);
            }
            self.engine.until("following", |status| status["phase"] == "following")?;
        }
        Ok(())
    }

    /// A rollback with all the changes of a window behind it.
    fn window(&mut self, figures: &mut Figures) -> Result {
        println!("window");
        self.engine.proven()?;
        self.engine.ask("cutover", &["--when-ready"])?;
        let server = Some(self.target);
        let all =
            Writing { server, at_server: true, most: Some(WINDOW_ROWS), ..Writing::to(self.source, 100) };
        let told = self.stage.write(&all, 30_000)?.ended()?;
        figures.add("changes a second in the window", "rows/s", Of::Median, Line::None, per_s(&told)?);
        let probing = Writing {
            server,
            at_server: true,
            probe: true,
            per_s: Some(PROBES_PER_S),
            ..Writing::to(self.source, 1)
        };
        let prober = self.stage.write(&probing, 30_001)?;
        let whole = self.engine.ask("rollback", &["--when-ready"])?;
        thread::sleep(Duration::from_millis(500));
        let told = prober.ended()?;
        let gap = told["gaps"].as_array().and_then(|gaps| gaps.last()).ok_or("the prober met no fence")?;
        let name = "rollback behind 100,000 changes: writes unavailable";
        figures.add(name, "ms", Of::Median, Line::AtMost(1_000.0), number(gap, "ms")?);
        figures.add("the whole of it", "s", Of::Median, Line::AtMost(10.0), whole);
        self.engine.until("following", |status| status["phase"] == "following").map(drop)
    }
}
