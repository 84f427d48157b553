//! The verbs of live runs: begin, go on, ask a running engine. Where none is running, the verbs that change the owner drive
//! the run themselves for as long as that takes.

use super::{Context, agree};
use crate::config::Resolved;
use crate::registry::{self, numbers::Measures};
use crate::render::{live as render, output};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchover::journal::{self, Header, Journal};
use switchover::live::{
    Announce, Announcer, Answer, End, Guards, LivePhase, LiveStatus, Nobody, Request, Surroundings,
    SwitchOptions, Verification, Watch, control, lacks_report, status,
};
use switchover::routing::route;
use switchover_core::live::{Ownership, Side};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// How often a running engine's status is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long an engine may have the run's lock before it answers: it reads the plan, connects and prepares, which takes a second where
/// the stores answer. A backup, which a run begins with, takes longer and is not waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// Between two tries meanwhile: shorter than a person notices.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What a cutover waits for that was asked of a paused run.
const PAUSED: &str = "the run is paused; `switchover resume` goes on";

/// How long an engine in the background may listen before its status says so: it is written five times a second.
const WRITES_WITHIN: Duration = Duration::from_secs(3);

/// How long one is waited for before that is said: a small plan, or a store that answers, takes less.
const SAID_AFTER: Duration = Duration::from_secs(30);

/// What an engine in the background writes, in the state folder.
const DETACHED_LOG: &str = "engine.log";

/// What is shown of it where the engine ended: an error with its causes and what its plan refuses.
const LOG_LINES_MAX: usize = 40;

/// So much of its end is read for that: lines are wrapped, and no longer than a screen is wide.
const LOG_BYTES_MAX: u64 = 16 << 10;

/// What is shown where it holds nothing of it.
const NOTHING_SAID: &str = "the engine ended without a word in its log, as where the state folder is full; without --detach it \
                            says why here";

/// The exit code for an engine that a signal ended: it failed.
const ENDED_BY_SIGNAL: u8 = 2;

/// What the configuration says about the world outside the stores.
struct Outside<'a>(&'a Context);

impl Surroundings for Outside<'_> {
    fn may_begin(&self) -> Result<()> {
        route::is_free(&super::route::path(self.0), &self.0.resolved.settings.state_dir)
    }

    fn announce(&self, header: &Header, folder: &Path) -> Result<Arc<dyn Announce>> {
        let resolved = &self.0.resolved;
        let announcer =
            Announcer::new(resolved.routing.clone(), &resolved.settings.state_dir, header, folder)?;
        Ok(Arc::new(announcer))
    }

    fn watch(&self, header: &Header) -> Result<Arc<dyn Watch>> {
        let Resolved { watch, environment, .. } = &self.0.resolved;
        if watch.guards.is_empty() {
            return Ok(Arc::new(Nobody));
        }
        let (from, to) = self.0.stores_of(Some(&header.run))?;
        Ok(Arc::new(Guards::new(watch, Arc::new(Measures::new(&from, &to, environment)?))))
    }
}

/// `start`.
pub(crate) async fn start(context: &Context, detach: bool) -> Result<u8> {
    if detach {
        return detached(context, "plans first").await;
    }
    let end = engine_start(context).await?;
    ended(context, end)
}

async fn engine_start(context: &Context) -> Result<End> {
    context.migration()?.start(&Outside(context)).await
}

/// `start --dry-run`: exit code 1 when the plan holds refusals.
pub(crate) async fn dry_run(context: &Context) -> Result<u8> {
    let plan = engine_plan(context).await?;
    context.screen.end();
    output::data(&crate::render::plan::render(&plan))?;
    let code = super::plan::exit_code(&plan);
    if code == 0 {
        Outside(context).may_begin()?;
    }
    Ok(code)
}

async fn engine_plan(context: &Context) -> Result<Plan> {
    context.migration()?.live_plan().await
}

/// `resume`, of a live run: a running engine goes on, or a new one takes the run up.
pub(crate) async fn resume(context: &Context, run: &str, detach: bool) -> Result<u8> {
    let asked = match ask(context, Some(run), &Request::Resume).await {
        // The engine that was asked has ended meanwhile. Where its socket is still being closed, that is said twice; whether it has
        // ended is what the lock of the run's folder says to whoever takes the run up.
        Err(error) if error.kind() == Kind::Unavailable => {
            match ask(context, Some(run), &Request::Resume).await {
                Err(error) if error.kind() == Kind::Unavailable => None,
                asked => asked?,
            }
        }
        asked => asked?,
    };
    if let Some(answer) = asked {
        return answered(context, run, &answer);
    }
    if detach {
        return detached(context, "takes the run up").await;
    }
    let end = engine_take_up(context, run).await?;
    ended(context, end)
}

async fn engine_take_up(context: &Context, run: &str) -> Result<End> {
    context.migration_of(Some(run))?.take_up(Some(run), &Outside(context)).await
}

/// A verb that a running engine carries out, and nobody else.
pub(crate) async fn tell(context: &Context, run: &str, request: Request) -> Result<u8> {
    match ask(context, Some(run), &request).await? {
        Some(answer) => answered(context, run, &answer),
        None => Err(no_engine(context, Some(run))?),
    }
}

/// A verb that changes the owner or ends the run. It is meant for the owner that there is now: it may reach the engine when another
/// person, or a guard, has changed that.
pub(crate) async fn decide(context: &Context, run: &str, request: Request) -> Result<u8> {
    let request = request.meant_for(known_owner(context, run));
    carry_out(context, run, request).await
}

async fn carry_out(context: &Context, run: &str, request: Request) -> Result<u8> {
    let answer = match ask(context, Some(run), &request).await? {
        Some(answer) => answer,
        None => match engine_decide(context, run, request.clone()).await {
            // An engine took the run up at the same moment, and is the one to ask; where there is none, that was not why.
            Err(error) if error.kind() == Kind::Busy => {
                ask(context, Some(run), &request).await?.ok_or(error)?
            }
            decided => decided?,
        },
    };
    answered(context, run, &answer)
}

/// Who owns the data, as far as `status` knows.
fn known_owner(context: &Context, run: &str) -> Option<Ownership> {
    // What cannot be read is told by whoever needs it.
    status(&context.resolved.settings.state_dir, Some(run))
        .ok()
        .flatten()
        .and_then(|status| status.known_owner())
}

/// `finish`: says what goes, and asks first, since the way back goes with it.
pub(crate) async fn finish(
    context: &Context,
    header: &Header,
    abandon_source: bool,
    yes: bool,
) -> Result<u8> {
    let run = header.run.as_str();
    // What cannot be read is told by whoever needs it.
    if lacks_report(&context.resolved.settings.state_dir, Some(run)).unwrap_or(false) {
        // It is over, and nothing is left to ask.
        let report = engine_report(context, run).await?;
        return answered(context, run, &Answer::Finished { report: report.display().to_string() });
    }
    // Before anything is asked: the answer may take a while.
    let seen = known_owner(context, run);
    if !yes && !agree::agreed("finish", &taken(header, abandon_source))? {
        output::note("nothing was removed");
        return Ok(1);
    }
    if !abandon_source {
        return carry_out(context, run, Request::Finish { when_ready: false, seen }).await;
    }
    let report = engine_abandon(context, run).await?;
    answered(context, run, &Answer::Finished { report: report.display().to_string() })
}

async fn engine_report(context: &Context, run: &str) -> Result<PathBuf> {
    context.migration_of(Some(run))?.write_report(Some(run)).await
}

async fn engine_abandon(context: &Context, run: &str) -> Result<PathBuf> {
    context.migration_of(Some(run))?.abandon_source(Some(run), &Outside(context)).await
}

/// What `finish` takes away.
fn taken(header: &Header, abandon_source: bool) -> String {
    if abandon_source && registry::serves_reads_only(&header.target) {
        return format!(
            "After this nothing follows {} any more, which is not opened: what was written there and not taken yet is nowhere else. {} \
             stays as it is, with its objects and without the run's records. The backup and the run's folder stay.",
            header.source, header.target
        );
    }
    if abandon_source {
        return format!(
            "After this there is no way back: the triggers, the log and the run's records leave {}, which is the application's \
             alone then. {} is not opened: it lacks what was written since, for good, and whoever opens it reads old data. \
             The backup and the run's folder stay.",
            header.target, header.source
        );
    }
    if registry::serves_reads_only(&header.target) {
        return format!(
            "After finish nothing follows {} any more, which stays the application's store: the triggers and the log leave it. {} \
             stays as it is then, with its objects and without the run's records, and is older with each write: an alias leads there \
             still, and the route sends all reads to the source. The backup and the run's folder stay.",
            header.source, header.target
        );
    }
    format!(
        "After finish there is no way back: the triggers, the log and the fence leave {}, the triggers, the log and \
         the run's records leave {}, which is the application's alone then. A program that still has the source \
         open can write into it again, and nobody reads that. The data of both, the backup and the run's folder stay.",
        header.source, header.target
    )
}

/// `rollback` of a run that no journal knows, with both stores named.
pub(crate) async fn take_back_lost(context: &Context, run: &str, dry_run: bool) -> Result<u8> {
    if dry_run {
        context.migration()?.foresee_take_back_lost(run).await?;
        context.screen.end();
        output::data(&render::lost(run))?;
        return Ok(0);
    }
    context.migration()?.take_back_lost(run).await?;
    if let Err(error) = route::end(&super::route::path(context), run, Side::Source) {
        output::note(&error.to_string());
    }
    ended(context, End::TakenBack)
}

async fn engine_decide(context: &Context, run: &str, request: Request) -> Result<Answer> {
    // Nobody drives the run: it is brought up to date first, however long that takes.
    let request = match request {
        Request::Cutover(options) => Request::Cutover(SwitchOptions { when_ready: true, ..options }),
        Request::Rollback(options) => Request::Rollback(SwitchOptions { when_ready: true, ..options }),
        Request::Finish { seen, .. } => Request::Finish { when_ready: true, seen },
        other => other,
    };
    context.migration_of(Some(run))?.take_up_for(Some(run), &Outside(context), request).await
}

/// Asks the engine, and says what it waits for while it does not answer.
async fn ask(context: &Context, run: Option<&str>, request: &Request) -> Result<Option<Answer>> {
    let told = async {
        let mut said = String::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Ok(Some(now)) = status(&context.resolved.settings.state_dir, run) else { continue };
            let why = match request {
                // A pause ends when somebody says so, and a cutover waits for that.
                Request::Cutover(_) if now.paused && now.held.is_empty() => PAUSED.to_owned(),
                _ => now.held,
            };
            if !why.is_empty() && why != said {
                output::note(&format!("waiting: {why}"));
                said = why;
            }
        }
    };
    tokio::select! {
        () = told => Ok(None),
        answer = asked(&context.resolved.settings.state_dir, run, request) => answer,
        () = context.shutdown.requested() => Err(Error::new(Kind::Interrupted, "ask the engine")
            .detail("it was asked to stop waiting for the answer")
            .hint("what was not begun yet is not wanted any more; `switchover status` shows what was")),
    }
}

/// Asks the engine, and waits for one that has the run's lock and does not listen yet.
async fn asked(state_dir: &Path, run: Option<&str>, request: &Request) -> Result<Option<Answer>> {
    let until = Instant::now() + ANSWERS_WITHIN;
    loop {
        let answer = control::ask(state_dir, run, request).await?;
        if answer.is_some() || !Journal::is_active(state_dir, run)? {
            return Ok(answer);
        }
        if Instant::now() >= until {
            let detail =
                format!("another process works on the run, and does not answer within {ANSWERS_WITHIN:?}");
            return Err(Error::new(Kind::Busy, "ask the engine")
                .store(journal::folder_of(state_dir, run)?.display().to_string())
                .detail(detail)
                .hint("it backs the source up, waits for a store or ends: `switchover status` shows the run; ask again"));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn no_engine(context: &Context, run: Option<&str>) -> Result<Error> {
    let state_dir = &context.resolved.settings.state_dir;
    let header = Journal::header_of(state_dir, run)?;
    let runs = journal::list(state_dir)?;
    let last =
        runs.iter().find(|known| known.header.run == header.run).and_then(|known| known.entries.last());
    let error = Error::new(Kind::NotFound, "ask the engine").store(header.run);
    Ok(match last {
        _ if !header.live => error.detail("it is no live run").hint("`switchover status` shows the runs"),
        Some(last) if !last.state.can_resume() => error
            .detail(format!("the live run is over: {}", last.state.name()))
            .hint("`switchover status` shows the runs"),
        _ => error
            .detail("no engine is running")
            .hint("`switchover resume` takes the run up, with --detach in the background"),
    })
}

/// The run that a verb means which changes something, or compares: the one named, or the newest where no other live run goes on.
pub(crate) fn meant(context: &Context, run: Option<&str>) -> Result<Header> {
    journal::meant(&context.resolved.settings.state_dir, run)
}

/// `verify --live`: has the engine compare all rows again, and says what it found; again and again if asked.
pub(crate) async fn verify(context: &Context, run: &str, continuous: bool) -> Result<u8> {
    loop {
        let Some(answer) = ask(context, Some(run), &Request::Verify).await? else {
            return Err(no_engine(context, Some(run))?);
        };
        let status = proven(context, run, &answer).await?;
        context.screen.end();
        output::data(&render::verification(run, &status))?;
        let same = matches!(status.verification, Verification::Same { .. });
        if !continuous || !same {
            return Ok(u8::from(!same));
        }
        go_on_looking(context)?;
    }
}

/// It is the question that a signal ends, and not the engine.
fn go_on_looking(context: &Context) -> Result<()> {
    let stopped = |error: Error| error.hint("the engine goes on; `switchover status` shows what it finds");
    context.shutdown.check("compare the stores").map_err(stopped)
}

/// What the comparison came to that the engine answered with. What it told of an earlier one may still stand there for a moment.
async fn proven(context: &Context, run: &str, answer: &Answer) -> Result<LiveStatus> {
    let wanted = match answer {
        Answer::Comparing { number } => *number,
        _ => 0,
    };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        go_on_looking(context)?;
        // Before the status: what an engine told last stands there when it is gone.
        let alive = Journal::is_active(&context.resolved.settings.state_dir, Some(run))?;
        let told = engine_status(context, run)?;
        let held = match told.filter(|status| status.compared >= wanted) {
            Some(status) => match status.verification {
                Verification::Same { .. } | Verification::Different { .. } => return Ok(status),
                _ if status.phase == LivePhase::Ended => format!(": {}", status.held),
                _ if alive => continue,
                Verification::Unproven | Verification::Running { .. } => String::new(),
            },
            None if alive => continue,
            None => String::new(),
        };
        return Err(Error::new(Kind::Unavailable, "compare the stores")
            .detail(format!("the engine ended before all rows were compared{held}"))
            .hint("`switchover resume` takes the run up; then ask again"));
    }
}

fn engine_status(context: &Context, run: &str) -> Result<Option<LiveStatus>> {
    status(&context.resolved.settings.state_dir, Some(run))
}

/// `status` of a live run, once or until it ends.
pub(crate) async fn show(context: &Context, run: Option<&str>, json: bool, watch: bool) -> Result<u8> {
    loop {
        let state_dir = &context.resolved.settings.state_dir;
        let Some(mut found) = status(state_dir, run)? else {
            output::data("the run has not told anything yet\n")?;
            return Ok(0);
        };
        let alive = Journal::is_active(state_dir, run)?;
        if !alive {
            found.forget_lag();
        }
        output::data(&match json {
            true => render::json(&found, alive)?,
            false => render::status(&found, alive),
        })?;
        if !watch || !alive {
            return Ok(0);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY * 4) => {}
            () = context.shutdown.requested() => return Ok(0),
        }
    }
}

/// Exit code 2 where the owner changed, and the application could not be told or nothing follows yet.
fn answered(context: &Context, run: &str, answer: &Answer) -> Result<u8> {
    context.screen.end();
    output::data(&render::answer(run, answer))?;
    match answer {
        Answer::Switched(report) if report.untold.is_some() || report.owed.is_some() => Ok(2),
        _ => Ok(0),
    }
}

fn ended(context: &Context, end: End) -> Result<u8> {
    context.screen.end();
    output::data(&render::end(end))?;
    Ok(0)
}

/// Has the same verb drive the run in a process of its own, which ends with neither the terminal nor this one. Comes back when it drives
/// the run, so that other verbs find it, or has ended: then with its exit code. What it does `first` may take minutes.
async fn detached(context: &Context, first: &str) -> Result<u8> {
    use std::os::unix::process::CommandExt;
    let fail = |cause: std::io::Error| Error::new(Kind::Io, "start the engine").because(cause);
    let folder = &context.resolved.settings.state_dir;
    let log_path = folder.join(DETACHED_LOG);
    let unlogged = |cause| {
        fail(cause)
            .store(log_path.display().to_string())
            .hint("make the state folder writable, or name another one with --state-dir")
    };
    std::fs::create_dir_all(folder).map_err(unlogged)?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path).map_err(unlogged)?;
    let (errors, from) = (log.try_clone().map_err(fail)?, log.metadata().map_err(fail)?.len());
    let words = std::env::args_os().skip(1).filter(|word| word != "--detach");
    let mut command = std::process::Command::new(std::env::current_exe().map_err(fail)?);
    // A group of its own: Ctrl-C in the terminal does not reach it.
    command.args(words).stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
    let mut child = command.spawn().map_err(fail)?;
    context.screen.end();
    output::note(&format!("the engine {first}, as process {}", child.id()));
    let (mut say_at, mut listens_since) = (Some(Instant::now() + SAID_AFTER), None);
    loop {
        if let Some(status) = child.try_wait().map_err(fail)? {
            let said = last_lines(&log_path, from).map_err(fail)?;
            output::note(if said.is_empty() { NOTHING_SAID } else { &said });
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(ENDED_BY_SIGNAL));
        }
        match begun(folder, child.id()).await {
            Begun::Drives => break,
            Begun::Listens if listens_since.get_or_insert_with(Instant::now).elapsed() >= WRITES_WITHIN => {
                output::note(&format!(
                    "the engine has not written its status: the state folder ({}) may be full or not writable; other verbs reach \
                     the engine, and `switchover status` shows what was so before",
                    folder.display()
                ));
                break;
            }
            Begun::Listens | Begun::NotYet => {}
        }
        if say_at.take_if(|at| *at <= Instant::now()).is_some() {
            output::note(&format!(
                "the engine does not take requests yet: it plans, backs the source up or waits for a store; it writes to {}; Ctrl-C \
                 ends this wait and not the engine",
                log_path.display()
            ));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = context.shutdown.requested() => {
                return Err(Error::new(Kind::Interrupted, "wait for the engine")
                    .detail(format!("the engine goes on as process {}", child.id()))
                    .hint(format!("it writes to {}; `switchover status` shows the run", log_path.display())));
            }
        }
    }
    output::data(&format!(
        "the engine runs as process {}; it writes to {}\n`switchover status --watch` shows how far it is\n",
        child.id(),
        log_path.display()
    ))?;
    Ok(0)
}

/// How far an engine in the background has come.
enum Begun {
    /// It cannot be asked.
    NotYet,
    /// It can be asked, and no run says that it drives it: where nothing can be written, none will.
    Listens,
    /// A run says that this process drives it, and it can be asked.
    Drives,
}

/// How far a process has come. One that takes a run up says so before it has reached the stores, and may end without them.
async fn begun(state_dir: &Path, id: u32) -> Begun {
    // What cannot be read yet is being made.
    for known in journal::list(state_dir).unwrap_or_default().iter().filter(|known| known.header.live) {
        let run = Some(known.header.run.as_str());
        let own = status(state_dir, run).ok().flatten().filter(|now| now.pid == id);
        let over = own.as_ref().is_some_and(|now| now.phase == LivePhase::Ended);
        if own.is_some() && !over && control::listens(state_dir, run).await {
            return Begun::Drives;
        }
        if own.is_none() && control::driver(state_dir, run).await == Some(id) {
            return Begun::Listens;
        }
    }
    Begun::NotYet
}

/// The last lines of a file behind a place in it.
fn last_lines(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let near = file.metadata()?.len().saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(from.max(near)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n"))
}

/// How the owner is to change, from the flags.
pub(crate) fn options(switch: &crate::args::Switch) -> Result<SwitchOptions> {
    let default = SwitchOptions::default();
    let write_budget = match &switch.write_budget {
        None => default.write_budget,
        Some(text) => crate::config::span::parse(text).map_err(|why| {
            Error::new(Kind::Config, "read --write-budget")
                .detail(why)
                .hint("give a time, such as 3s or 500ms")
        })?,
    };
    let (dry_run, when_ready) = (switch.dry_run, switch.when_ready);
    Ok(SwitchOptions { write_budget, dry_run, when_ready, ..default })
}

/// `rows_per_s=N commit_ms_max=N`.
pub(crate) fn limits(words: &[String]) -> Result<Request> {
    let (mut rows_per_s, mut commit_ms_max) = (None, None);
    for word in words {
        let wrong = || {
            Error::new(Kind::Config, "read the limits")
                .detail(format!("'{word}' is no limit"))
                .hint("write rows_per_s=N or commit_ms_max=N, with a whole number of at least 1")
        };
        let (name, value) = word.split_once('=').ok_or_else(wrong)?;
        let number: u64 = value.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
        match name {
            "rows_per_s" => rows_per_s = Some(number),
            "commit_ms_max" => commit_ms_max = Some(number),
            _ => return Err(wrong()),
        }
    }
    Ok(Request::Throttle { rows_per_s, commit_ms_max })
}
