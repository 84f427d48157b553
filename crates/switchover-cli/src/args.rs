//! The command line as typed: verbs and options, nothing resolved.
//!
//! Invariants: a value that the configuration file or the environment can also give stays a plain
//! string here and gets its meaning in [`crate::config`], so that one rule reads it wherever it
//! comes from. No field is ever printed with `Debug`: a URL may hold a password. Absent on purpose:
//! defaults (they belong to the last layer) and clap's own `env` (it would hide where a value is from).

mod live;
mod look;
mod options;

use clap::{Parser, Subcommand};
pub(crate) use live::{
    CutoverArgs, FinishArgs, LiveArgs, ReadsArgs, RehearseArgs, RollbackArgs, RouteArgs, StartArgs, Switch,
    ThrottleArgs,
};
pub(crate) use look::{BenchVerb, QueriesArgs, SearchArgs};
pub(crate) use options::{Archive, Global, Limits, Mapping, Run, Safety, Stores, Validation};
use std::path::PathBuf;

/// What `--help` of the program says last.
const EXAMPLES: &str = "\
Examples:
  switchover plan    --from sqlite:app.db --to env:DATABASE_URL
  switchover migrate --from sqlite:app.db --to env:DATABASE_URL
  switchover verify  --from sqlite:app.db --to env:DATABASE_URL
  switchover migrate --from json:dump.json --to sqlite:app.db
  switchover resume                       # after a crash or Ctrl-C
  switchover rollback                     # takes back what the run made

Each option can also stand in switchover.toml or in a variable
SWITCHOVER_<OPTION>; a flag wins over the environment, and that over the file.

Exit codes: 0 done and verified; 1 a definite no (refused, or the stores
differ); 2 failed, or unproven.";

/// Rows of a sample: their keys are held in memory, and whoever wants more should compare all.
pub(crate) const SAMPLE_ROWS_MAX: u64 = 1_000_000;

/// Moves an application's data between JSON, SQLite, PostgreSQL and Weaviate, and proves it.
///
/// Every field of every row is compared before a run counts as done, a run that was interrupted
/// resumes, and what a run made can be taken back. The source is only read.
#[derive(Parser)]
#[command(name = "switchover", version, max_term_width = 80, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(propagate_version = true, subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Say all that a migration would do; only reads.
    #[command(after_help = "\
Examples:
  switchover plan --from sqlite:app.db --to env:DATABASE_URL
  switchover plan --from sqlite:app.db --to postgres:///app -o plan.json
  switchover plan -c switchover.toml -o - | jq '.refusals'")]
    Plan(PlanArgs),
    /// Move the data: plan, backup, schema, copy, keys, verification, report.
    #[command(after_help = "\
Examples:
  switchover migrate --from sqlite:app.db --to env:DATABASE_URL
  switchover migrate --from sqlite:app.db --to postgresql://db/app --dry-run
  switchover migrate --from sqlite:app.db --to postgres:///app --into existing
  switchover migrate --from json:a.json --to sqlite:app.db --preset cortex-core
  switchover migrate --tables 'chat_*' users --exclude '*_old' --names snake
  switchover migrate --plan migration-plan-2026-01-31.json --report run.md

Exit codes: 0 done and verified; 1 refused, or different; 2 failed.")]
    Migrate(Box<MigrateArgs>),
    /// Compare every field of every row, at any time.
    #[command(after_help = "\
Examples:
  switchover verify --from sqlite:app.db --to env:DATABASE_URL
  switchover verify --sample 10000        # a quick look; says what it proves
  switchover verify --repair              # then make the target's rows right
  switchover verify --live --run 0197c0de # of several live runs

Exit codes: 0 the same; 1 different; 2 unproven.")]
    Verify(Box<VerifyArgs>),
    /// Go on with a run that stopped.
    #[command(after_help = "\
Examples:
  switchover resume                       # the newest run, URLs from the file
  switchover resume --to env:DATABASE_URL --run 0197c0de
  switchover resume --detach              # a live run, in the background")]
    Resume(ResumeArgs),
    /// Move the data while the application writes: copy, then follow every change.
    #[command(after_help = "\
Examples:
  switchover start --from sqlite:app.db --to env:DATABASE_URL
  switchover start --detach
  switchover status --watch               # in another terminal
  switchover cutover                      # the target becomes the owner
  switchover rollback                     # and back, without losing a write

The source needs WAL mode (PRAGMA journal_mode = WAL). Ctrl-C stops the engine,
not the capture: `switchover resume` goes on.")]
    Start(Box<StartArgs>),
    /// Go through a whole live run on a copy, with times; both stores are only read.
    #[command(after_help = "\
Examples:
  switchover rehearse --from sqlite:app.db --to env:DATABASE_URL

A copy of the source in the state folder, and a schema or file of its own on
the target's side, are moved, cut over, rolled back, cut over again and
finished, while a writer writes; then they are removed. It needs room for the
data twice, and the same work from the target's server as the real run.")]
    Rehearse(Box<RehearseArgs>),
    /// Let a live run rest: nothing is copied or taken, the source's log grows.
    Pause(LiveArgs),
    /// Set how fast a live run may go.
    #[command(after_help = "\
Examples:
  switchover throttle rows_per_s=5000
  switchover throttle commit_ms_max=20
  switchover throttle                     # no limits")]
    Throttle(ThrottleArgs),
    /// Make the target the owner of the data, in one decision.
    #[command(after_help = "\
Examples:
  switchover cutover --dry-run            # could it be done now?
  switchover cutover --write-budget 1s
  switchover cutover --when-ready         # waits until all is equal

The source refuses writes from the fence on; what is left in its log is taken,
read back, and then the target is opened. Given up, and the source opened
again, when that takes longer than the budget.")]
    Cutover(CutoverArgs),
    /// End the reverse window: remove triggers, logs and fences; there is no way back after it.
    #[command(after_help = "\
Examples:
  switchover finish                       # says what goes, and asks
  switchover finish --run 0197c0de --yes")]
    Finish(FinishArgs),
    /// Show the runs in the journal and how far they are.
    #[command(after_help = "\
Examples:
  switchover status
  switchover status --json | jq '.[0].state'
  switchover status --watch               # a live run, every second")]
    Status(StatusArgs),
    /// Print the route: which store owns the data, and where reads go.
    #[command(after_help = "\
Examples:
  switchover route
  switchover route --json | jq -r .owner")]
    Route(RouteArgs),
    /// Move a share of the reads to the target, or back.
    #[command(after_help = "\
Examples:
  switchover reads 10%
  switchover reads 0%                     # all reads at the source again
  switchover reads 10% --run 0197c0de     # of several live runs

Programs that use the route follow within moments; writes stay where they are.")]
    Reads(ReadsArgs),
    /// Take back exactly what a run made on the target.
    #[command(after_help = "\
Examples:
  switchover rollback
  switchover rollback --run 0197c0de --discard-target-changes")]
    Rollback(RollbackArgs),
    /// Accept a finished run: remove its records from the target.
    #[command(after_help = "\
Examples:
  switchover cleanup                      # asks first
  switchover cleanup --run 0197c0de --yes")]
    Cleanup(CleanupArgs),
    /// Make, check, restore or list backups of a store.
    #[command(
        subcommand_value_name = "VERB",
        subcommand_help_heading = "Verbs",
        after_help = "\
Examples:
  switchover backup create sqlite:app.db
  switchover backup list
  switchover backup restore sqlite:app.db --file app-2026-01-31.db --force"
    )]
    Backup {
        /// What to do.
        #[command(subcommand)]
        verb: BackupVerb,
    },
    /// Check versions, rights, disk and settings of both stores.
    #[command(after_help = "\
Examples:
  switchover doctor --from sqlite:app.db --to env:DATABASE_URL
  switchover doctor --from sqlite:app.db  # the source alone")]
    Doctor(DoctorArgs),
    /// Look whether the data on a Weaviate target is searchable, with times.
    #[command(after_help = "\
Examples:
  switchover search 'lost invoice' --to weaviate://db:8080 --in Message
  switchover search loom --in Document --hybrid --near-vector loom.json
  switchover search --in Document --near-vector loom.json --limit 3 --json")]
    Search(SearchArgs),
    /// Measure both stores with the same questions.
    #[command(
        subcommand_value_name = "VERB",
        subcommand_help_heading = "Verbs",
        after_help = "\
Examples:
  switchover bench queries --from sqlite:app.db --to weaviate://db:8080"
    )]
    Bench {
        /// What to measure.
        #[command(subcommand)]
        verb: BenchVerb,
    },
    /// List the mappings for known applications, or print one.
    #[command(after_help = "\
Examples:
  switchover presets
  switchover presets show cortex-core     # a switchover.toml to begin with")]
    Presets {
        /// What to do; without it they are listed.
        #[command(subcommand)]
        verb: Option<PresetsVerb>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = "\
Examples:
  switchover completions bash > ~/.local/share/bash-completion/completions/switchover
  switchover completions fish > ~/.config/fish/completions/switchover.fish")]
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page a verb into a folder.
    #[command(after_help = "\
Examples:
  switchover man | man -l -
  switchover man /usr/local/share/man/man1")]
    Man {
        /// The folder; standard output when absent.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// `plan`.
#[derive(clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) mapping: Mapping,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Write the plan there [default: migration-plan-DATE.json]; `-` prints it in place of the table.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
}

/// `migrate`.
#[derive(clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) mapping: Mapping,
    #[command(flatten)]
    pub(crate) safety: Safety,
    #[command(flatten)]
    pub(crate) archive: Archive,
    #[command(flatten)]
    pub(crate) validation: Validation,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Carry out this plan; refused when the source changed since.
    #[arg(long, value_name = "FILE", help_heading = "What is moved",
          conflicts_with_all = ["schema", "names", "tables", "exclude", "policy", "preset", "into", "on_conflict", "rebuild", "naive_times", "epoch", "fractions"])]
    pub(crate) plan: Option<PathBuf>,
    /// Say all that would be done, and write nothing.
    #[arg(long, help_heading = "Safety")]
    pub(crate) dry_run: bool,
    /// Write the report there as well: Markdown for *.md, JSON otherwise.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<String>,
}

/// `verify`.
#[derive(clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) mapping: Mapping,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Compare as this plan says, not as a new one would.
    #[arg(long, value_name = "FILE", help_heading = "What is moved",
          conflicts_with_all = ["schema", "names", "tables", "exclude", "policy", "preset", "into", "on_conflict", "rebuild", "naive_times", "epoch", "fractions"])]
    pub(crate) plan: Option<PathBuf>,
    /// Compare only N rows a table, and say what that proves.
    #[arg(long, value_name = "N", help_heading = "Verification", value_parser = clap::value_parser!(u64).range(1..=SAMPLE_ROWS_MAX))]
    pub(crate) sample: Option<u64>,
    /// Choose the rows of --sample by this number, which an earlier report gave.
    #[arg(long, value_name = "N", help_heading = "Verification", requires = "sample")]
    pub(crate) seed: Option<u64>,
    /// Have the engine of a live run compare all rows while the application writes.
    #[arg(long, help_heading = "Verification", conflicts_with_all = ["sample", "repair", "plan", "report", "tables", "exclude"])]
    pub(crate) live: bool,
    /// With --live: again and again, until the stores differ or it is stopped.
    #[arg(long, help_heading = "Verification", requires = "live")]
    pub(crate) continuous: bool,
    /// With --live: the run, or the beginning of its name [default: the newest; one of several live runs wants its name].
    #[arg(long, value_name = "ID", help_heading = "Verification", requires = "live")]
    pub(crate) run: Option<String>,
    /// Make the target's differing rows equal to the source's, then compare again.
    #[arg(long, help_heading = "Verification", conflicts_with = "sample")]
    pub(crate) repair: bool,
    /// Write the report there as well: Markdown for *.md, JSON otherwise.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<String>,
}

/// `resume`.
#[derive(clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) run: Run,
    #[command(flatten)]
    pub(crate) archive: Archive,
    #[command(flatten)]
    pub(crate) validation: Validation,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// What to do when the run fails after it began to write.
    #[arg(long, value_name = "WHAT", help_heading = "Safety", value_parser = ["rollback", "keep"])]
    pub(crate) on_failure: Option<String>,
    /// Write the report there as well: Markdown for *.md, JSON otherwise.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<String>,
    /// Run the engine of a live run in the background.
    #[arg(long, help_heading = "Output")]
    pub(crate) detach: bool,
    /// The route's file of a live run [default: route.json in the state folder].
    #[arg(long, value_name = "FILE", help_heading = "Stores")]
    pub(crate) route: Option<String>,
}

/// `status`.
#[derive(clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) run: Run,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// Show the newest run, a live one, until its engine ends.
    #[arg(long, help_heading = "Output")]
    pub(crate) watch: bool,
}

/// `cleanup`.
#[derive(clap::Args)]
pub(crate) struct CleanupArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) run: Run,
    /// Do not ask.
    #[arg(short, long, help_heading = "Safety")]
    pub(crate) yes: bool,
}

/// `doctor`.
#[derive(clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    /// The target's schema [default: public].
    #[arg(long, value_name = "NAME", help_heading = "What is moved")]
    pub(crate) schema: Option<String>,
    /// Whether the tables are to be made, or the application's own migrations made them [default: new].
    #[arg(long, value_name = "WHAT", value_parser = ["new", "existing"], help_heading = "What is moved")]
    pub(crate) into: Option<String>,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// The verbs of `presets`.
#[derive(Subcommand)]
pub(crate) enum PresetsVerb {
    /// Print the TOML of one.
    Show {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// The verbs of `backup`.
#[derive(Subcommand)]
pub(crate) enum BackupVerb {
    /// Make a backup, check it, and move it into place in one step.
    Create {
        /// The store [default: `from` of the configuration].
        #[arg(value_name = "URL")]
        url: Option<String>,
        /// The backup's file [default: a dated name in the state folder].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check a backup against its digest, and that it opens.
    Verify {
        /// The store [default: `from` of the configuration].
        #[arg(value_name = "URL")]
        url: Option<String>,
        /// The backup's file [default: the newest of the store].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Put a backup in the place of the store.
    Restore {
        /// The store [default: `from` of the configuration].
        #[arg(value_name = "URL")]
        url: Option<String>,
        /// The backup's file [default: the newest of the store].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Replace what is there.
        #[arg(long)]
        force: bool,
    },
    /// List backups, the newest first.
    List {
        /// Only those of this store.
        #[arg(value_name = "URL")]
        url: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
