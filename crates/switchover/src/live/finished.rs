//! The report of a live run that was finished: what was moved and proven, who owned the data when, what went and what stays.
//!
//! Invariants: made from the run's folder alone, so that whoever ends a `finish` that was killed writes the same; it is there
//! before anybody is told that the run is over, or can be written later where there was no room for it. Absent: what the stores hold,
//! which is gone by then.

use super::record;
use crate::clock;
use crate::journal::{self, Journal, State};
use crate::migration::Migration;
use crate::report::{LiveReport, REPORT_FORMAT, Report, TableReport, Verdict, markdown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchover_core::live::{LiveRun, Side};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result, failpoint};

/// The report for people; the one for programs is written before it.
const FOR_PEOPLE: &str = "report.md";

/// What the journal says of a run whose source was given up.
pub(super) const GAVE_UP: &str = "the source was given up: it lacks changes that the target has";

/// The same, where the target only served reads.
pub(super) const GAVE_UP_READS: &str = "the source was given up: the target has what had been taken from it";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The source was brought up to date, and left.
    Both,
    /// The source was given up.
    TargetAlone,
    /// The target only served reads: the source owns the data.
    Reads,
    /// The same, and the source was given up.
    ReadsAlone,
}

/// Writes the report into the run's folder, as JSON and as Markdown; gives the path of the latter.
///
/// # Errors
/// When it cannot be written, or the run's folder cannot be read.
pub(super) fn keep(journal: &Journal, plan: &Plan, ended: Ended, finish_seconds: f64) -> Result<PathBuf> {
    write(journal, &report(journal, plan, ended, finish_seconds)?)
}

/// Whether a live run, the one named or the newest, is finished and has no report: it could not be written then.
///
/// # Errors
/// `NotFound` without such a run; when the journal cannot be read.
pub fn lacks_report(state_dir: &Path, run: Option<&str>) -> Result<bool> {
    let (folder, run) = (journal::folder_of(state_dir, run)?, Journal::header_of(state_dir, run)?.run);
    let runs = journal::list(state_dir)?;
    let last = runs.iter().find(|known| known.header.run == run && known.header.live && !known.active);
    let last = last.and_then(|known| known.entries.last());
    Ok(last.is_some_and(|last| last.state == State::CleanedUp) && !folder.join(FOR_PEOPLE).is_file())
}

impl Migration {
    /// Writes the report of a run that [`lacks_report`], as it would have been written then but for how long the end took; gives its
    /// path. Of the stores, the target is asked alone, and only where no change of the owner is on record.
    ///
    /// # Errors
    /// `NotFound` where the run is not finished; when the report cannot be written now either.
    pub async fn write_report(&self, run: Option<&str>) -> Result<PathBuf> {
        let journal = Journal::open(&self.settings.state_dir, run)?;
        self.same_stores(journal.header()).await?;
        let over = journal.last()?.filter(|last| journal.header().live && last.state == State::CleanedUp);
        let last = over.ok_or_else(|| {
            Error::new(Kind::NotFound, "write the report of the run")
                .store(journal.header().run.clone())
                .detail("it is no live run that was finished")
                .hint("`switchover status` shows the runs")
        })?;
        let plan = journal.plan()?;
        let owned = record::all(journal.folder())?.last().is_some_and(|change| change.to == Side::Target);
        let ended = match &*last.detail {
            GAVE_UP => Ended::TargetAlone,
            GAVE_UP_READS => Ended::ReadsAlone,
            _ if owned || self.owns(&journal, &plan).await? => Ended::Both,
            _ => Ended::Reads,
        };
        let mut late = report(&journal, &plan, ended, 0.0)?;
        late.seconds = (late.seconds - clock::seconds_since(&last.at).unwrap_or(0.0)).max(0.0);
        late.finished_at = last.at;
        write(&journal, &late)
    }

    /// Whether the target of a run that is finished is one that can own the data.
    async fn owns(&self, journal: &Journal, plan: &Plan) -> Result<bool> {
        // One that was never reached may not know.
        self.again(async || self.target.inspect(&plan.options.schema).await).await?;
        let live = LiveRun { run: journal.header().run.clone(), plan: Arc::new(plan.clone()), attempt: 0 };
        Ok(self.target.live(&live)?.can_own())
    }
}

fn write(journal: &Journal, report: &Report) -> Result<PathBuf> {
    let json = serde_json::to_vec_pretty(report)
        .map_err(|error| Error::new(Kind::Internal, "write the report").because(error))?;
    failpoint::hit("live-report-before");
    let put = |name: &str, text: &[u8]| {
        let path = journal.folder().join(name);
        journal::write_whole(&path, text).map(|()| path).map_err(|error| unwritten(journal, &error))
    };
    put("report.json", &json)?;
    let path = put(FOR_PEOPLE, markdown(report).as_bytes())?;
    failpoint::hit("live-report-after");
    Ok(path)
}

/// The report is not there, and everything else is done.
fn unwritten(journal: &Journal, error: &Error) -> Error {
    Error::new(error.kind(), "write the report of the run")
        .store(error.subject().store.clone())
        .detail(format!("{}; the run is finished all the same", error.why()))
        .hint(format!(
            "mend that, and `switchover finish --run {}` writes it; `owners.jsonl` and `proof.json` beside it hold what it would say",
            journal.header().run
        ))
}

fn report(journal: &Journal, plan: &Plan, ended: Ended, finish_seconds: f64) -> Result<Report> {
    let (header, folder) = (journal.header(), journal.folder());
    let owners = record::all(folder)?;
    let proof = record::proof(folder)?;
    // Whatever the epoch is by now: it grew with each rollback that was given up.
    let found_later = if owners.is_empty() { None } else { record::difference(folder, u64::MAX)? };
    let differs = found_later.or_else(|| proof.as_ref().and_then(|proof| proof.differs.clone()));
    let (verdict, reasons) = match (differs, &proof) {
        (Some(why), _) => (Verdict::Different, vec![why]),
        (None, Some(_)) => (Verdict::Same, Vec::new()),
        (None, None) => {
            (Verdict::Unproven, vec!["all rows were not compared since they were copied".to_owned()])
        }
    };
    let compared = |at: usize| proof.as_ref().and_then(|proof| proof.tables.get(at).copied()).unwrap_or(0);
    let tables = plan.tables.iter().enumerate();
    let tables: Vec<TableReport> = tables
        .map(|(at, table)| TableReport {
            source: table.source.clone(),
            target: format!("{}.{}", plan.options.schema, table.target),
            source_rows: compared(at),
            target_rows: compared(at),
            bytes: table.bytes,
            copy_seconds: 0.0,
            verify_seconds: 0.0,
            source_digest: None,
            target_digest: None,
            verdict,
            reason: String::new(),
            sampled: None,
            differences: Vec::new(),
            differences_total: 0,
            quarantined: 0,
            quarantined_rows: 0,
            exceptions: Vec::new(),
        })
        .collect();
    let backup = record::backup(folder)?;
    let (removed, stays) = left(ended, &header.source, &header.target, backup.is_some());
    Ok(Report {
        format: REPORT_FORMAT,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        operation: "finish".into(),
        run: header.run.clone(),
        started_at: header.started_at.clone(),
        finished_at: clock::now(),
        source: header.source.clone(),
        target: header.target.clone(),
        verdict,
        reasons,
        sample: None,
        validation: None,
        phases: Vec::new(),
        // When it began is known to the second.
        seconds: clock::seconds_since(&header.started_at).unwrap_or(0.0).max(finish_seconds),
        resident_bytes_max: clock::resident_bytes_max(),
        backup,
        tables,
        audit: None,
        outcomes: plan.outcomes.clone(),
        refusals: plan.refusals.clone(),
        live: Some(LiveReport {
            compared_at: proof.as_ref().map(|proof| proof.at.clone()),
            compared_rows: proof.as_ref().map_or(0, |proof| proof.tables.iter().sum()),
            owners,
            removed,
            stays,
            finish_seconds,
        }),
    })
}

/// What was removed, and what stays.
fn left(ended: Ended, source: &str, target: &str, backup: bool) -> (Vec<String>, Vec<String>) {
    let at_target = format!("{target}: triggers, log of changes and the run's records");
    let (removed, mut stays) = match ended {
        Ended::Both => (
            vec![format!("{source}: triggers, log of changes, fence and the run's records"), at_target],
            vec![
                format!("{target}: all tables; it is the application's alone"),
                format!(
                    "{source}: all tables, as they were when the run ended; nothing follows there any more"
                ),
            ],
        ),
        Ended::TargetAlone => (
            vec![at_target],
            vec![
                format!("{target}: all tables; it is the application's alone"),
                format!(
                    "{source}: it was given up and not opened; it lacks what was written to the target since, and its fence \
                     and triggers stay where it can be opened"
                ),
            ],
        ),
        Ended::ReadsAlone => (
            vec![format!("{target}: the run's records")],
            vec![
                format!("{target}: all collections, with what had been taken from the source"),
                format!(
                    "{source}: it was given up and not opened; what was written there and not taken yet is nowhere else, and triggers and \
                     log stay where it can be opened"
                ),
            ],
        ),
        Ended::Reads => (
            vec![
                format!("{source}: triggers, log of changes and the run's records"),
                format!("{target}: the run's records"),
            ],
            vec![
                format!("{source}: all tables; it is the application's alone"),
                format!(
                    "{target}: all rows, as they were when the run ended; nothing follows there any more"
                ),
            ],
        ),
    };
    if backup {
        stays.push("the backup of the source, as it was when the run began".into());
    }
    stays.push("the run's folder, with its plan, its journal and this report".into());
    (removed, stays)
}
