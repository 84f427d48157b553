//! The verbs, one module each: resolve, open, do, show.
//!
//! Each module has one function `engine` through which alone it calls the engine. Absent on purpose:
//! decisions about data. A verb only chooses which of the engine's operations runs.

mod agree;
mod backup;
mod bench;
mod cleanup;
mod completions;
mod doctor;
mod keep;
mod live;
mod man;
mod migrate;
mod plan;
mod presets;
mod rehearse;
mod resume;
mod rollback;
mod route;
mod search;
mod status;
mod verify;

use crate::args::{BackupVerb, BenchVerb, Cli, Global, PresetsVerb, Verb};
use crate::config::{Environment, Layer, Origin, Request, Resolved, StoreRef, resolve};
use crate::render::progress::{LogFile, Screen};
use crate::render::{output, report};
use crate::signals::{self, Stop};
use crate::{logging, registry};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchover::Migration;
use switchover::journal::Journal;
use switchover::report::Report;
use switchover::shutdown::Shutdown;
use switchover_core::{Error, Kind, Result};

/// What every verb that touches a store works with.
pub(crate) struct Context {
    pub(crate) resolved: Resolved,
    pub(crate) screen: Screen,
    pub(crate) shutdown: Shutdown,
}

impl Context {
    /// Resolves the configuration, and begins to log and to listen for signals.
    fn new(
        global: &Global,
        stop: Stop,
        flags: Layer,
        plan: Option<PathBuf>,
        early: &mut Screen,
    ) -> Result<Context> {
        let context = Context::resolved(global, flags, plan, early)?;
        if let Some(report) = context.resolved.report.as_deref() {
            report::check_place(report)?;
            context.check_apart(report, "--report")?;
        }
        signals::listen(&context.shutdown, &context.screen, Some(stop.said()))?;
        Ok(context)
    }

    /// The same for a verb that only looks: a signal ends it, and no run with it.
    fn looking(global: &Global, flags: Layer, early: &mut Screen) -> Result<Context> {
        let context = Context::resolved(global, flags, None, early)?;
        signals::listen(&context.shutdown, &context.screen, None)?;
        Ok(context)
    }

    /// The same for a verb that drives a live run. A signal ends the wait for an engine in the background, and not the engine.
    fn driving(
        global: &Global,
        stop: Stop,
        flags: Layer,
        detach: bool,
        early: &mut Screen,
    ) -> Result<Context> {
        match detach {
            true => Context::looking(global, flags, early),
            false => Context::new(global, stop, flags, None, early),
        }
    }

    fn resolved(
        global: &Global,
        mut flags: Layer,
        plan: Option<PathBuf>,
        early: &mut Screen,
    ) -> Result<Context> {
        global.add_to(&mut flags);
        let request = Request { flags, config: global.config.clone(), plan, verbosity: global.verbose };
        let resolved = resolve(request, Environment::of_process()?)?;
        #[cfg(feature = "failpoints")]
        let resolved = small_chunks(resolved);
        let file = resolved.log_file.as_deref().map(LogFile::open).transpose()?;
        let screen = Screen::new(resolved.progress).logging_to(file);
        *early = screen.clone();
        logging::begin(&resolved, &screen)?;
        resolved.warnings.iter().for_each(|warning| screen.warn(warning));
        let shutdown = Shutdown::default();
        Ok(Context { resolved, screen, shutdown })
    }

    /// That a file to be written is not among a dump's own, where it would be a table the next time.
    fn check_apart(&self, file: &Path, option: &str) -> Result<()> {
        let mut stores = self.resolved.from.iter().chain(&self.resolved.to);
        let Some(dump) = stores.find(|store| registry::is_table_of(store, file)) else {
            return Ok(());
        };
        Err(Error::new(Kind::Config, "choose where to write")
            .store(dump.label())
            .detail(format!("{} would be a table of this dump", file.display()))
            .hint(format!("name a file in another folder with {option}; nothing was done yet")))
    }

    /// The engine on both stores. Nothing is opened yet.
    fn migration(&self) -> Result<Migration> {
        self.between(self.resolved.source()?, self.resolved.target()?)
    }

    /// The engine on the stores of a run of the journal, unless others are named. The journal holds no
    /// passwords: they come from the environment, `.env` or a password file again.
    fn migration_of(&self, run: Option<&str>) -> Result<Migration> {
        let (from, to) = self.stores_of(run)?;
        self.between(&from, &to)
    }

    /// The stores of a run of the journal, unless others are named.
    fn stores_of(&self, run: Option<&str>) -> Result<(StoreRef, StoreRef)> {
        let header = Journal::header_of(&self.resolved.settings.state_dir, run)?;
        let named = |given: &Option<StoreRef>, kept: &str| {
            let environment = &self.resolved.environment;
            let known = given.clone().or_else(|| registry::in_environment(kept, environment));
            known.unwrap_or_else(|| StoreRef::new(kept, Origin::Journal))
        };
        Ok((named(&self.resolved.from, &header.source), named(&self.resolved.to, &header.target)))
    }

    fn between(&self, from: &StoreRef, to: &StoreRef) -> Result<Migration> {
        let resolved = &self.resolved;
        registry::is_pair(from, to)?;
        let source = registry::source(from, resolved.from_schema.as_deref(), &resolved.environment)?;
        Ok(Migration::new(source, registry::target(to, &self.resolved.environment)?)
            .settings(self.resolved.settings.clone())
            .progress(Arc::new(self.screen.clone()))
            .shutdown(self.shutdown.clone()))
    }

    /// Ends a run: the summary, the file of `--report`, the exit code.
    fn finish(&self, report: &Report) -> Result<u8> {
        self.screen.end();
        let summary = report::summary(report);
        self.screen.answer(&summary);
        output::data(&summary)?;
        if let Some(path) = &self.resolved.report {
            report::write(report, path)?;
        }
        Ok(report::exit_code(report.verdict))
    }
}

/// Lets the tests have many chunks of little data.
#[cfg(feature = "failpoints")]
fn small_chunks(mut resolved: Resolved) -> Resolved {
    let bytes = std::env::var("SWITCHOVER_TEST_CHUNK_BYTES").ok().and_then(|text| text.parse().ok());
    resolved.settings.chunk_bytes = bytes;
    resolved
}

/// What a stop means for a verb.
fn stop_of(verb: &Verb) -> Stop {
    match verb {
        Verb::Migrate(_) | Verb::Start(_) => Stop::Run,
        Verb::Resume(_)
        | Verb::Rollback(_)
        | Verb::Cutover(_)
        | Verb::Finish(_)
        | Verb::Cleanup(_)
        | Verb::Pause(_)
        | Verb::Throttle(_)
        | Verb::Reads(_) => Stop::Again,
        Verb::Plan(_)
        | Verb::Verify(_)
        | Verb::Status(_)
        | Verb::Route(_)
        | Verb::Rehearse(_)
        | Verb::Doctor(_)
        | Verb::Search(_)
        | Verb::Bench { .. }
        | Verb::Backup { .. }
        | Verb::Presets { .. }
        | Verb::Completions { .. }
        | Verb::Man { .. } => Stop::Anew,
    }
}

/// Carries out a verb; the number is the exit code. `screen` becomes the one that was configured.
pub(crate) async fn run(cli: Cli, screen: &mut Screen) -> Result<u8> {
    let stop = stop_of(&cli.verb);
    carry_out(cli, stop, screen).await.map_err(|error| stop.advise(error))
}

async fn carry_out(cli: Cli, stop: Stop, screen: &mut Screen) -> Result<u8> {
    let (global, mut flags) = (cli.global, Layer::default());
    match cli.verb {
        Verb::Completions { shell } => completions::run(shell),
        Verb::Presets { verb } => presets::run(verb.as_ref().map(|PresetsVerb::Show { name }| name.as_str())),
        Verb::Man { dir } => man::run(dir.as_deref()),
        Verb::Plan(args) => {
            args.stores.add_to(&mut flags);
            args.mapping.add_to(&mut flags);
            args.limits.add_to(&mut flags);
            let context = Context::new(&global, stop, flags, None, screen)?;
            plan::run(&context, args.out.as_deref()).await
        }
        Verb::Migrate(args) => {
            args.stores.add_to(&mut flags);
            args.mapping.add_to(&mut flags);
            args.safety.add_to(&mut flags);
            args.validation.add_to(&mut flags);
            args.limits.add_to(&mut flags);
            flags.flag(crate::config::Key::Report, &args.report);
            let context = Context::new(&global, stop, flags, args.plan, screen)?;
            migrate::run(&context, args.dry_run, args.archive.dir.as_deref()).await
        }
        Verb::Verify(args) => {
            args.stores.add_to(&mut flags);
            args.mapping.add_to(&mut flags);
            args.limits.add_to(&mut flags);
            flags.flag(crate::config::Key::Report, &args.report);
            if args.live {
                let context = Context::looking(&global, flags, screen)?;
                let meant = live::meant(&context, args.run.as_deref())?;
                return live::verify(&context, &meant.run, args.continuous).await;
            }
            let context = Context::new(&global, stop, flags, args.plan, screen)?;
            let chosen = !(args.mapping.tables.is_empty() && args.mapping.exclude.is_empty());
            verify::run(&context, args.sample, args.seed, args.repair, chosen).await
        }
        Verb::Resume(args) => {
            args.stores.add_to(&mut flags);
            args.validation.add_to(&mut flags);
            args.limits.add_to(&mut flags);
            flags.flag(crate::config::Key::OnFailure, &args.on_failure);
            flags.flag(crate::config::Key::Report, &args.report);
            flags.flag(crate::config::Key::Route, &args.route);
            let context = Context::driving(&global, stop, flags, args.detach, screen)?;
            let meant = live::meant(&context, args.run.id.as_deref())?;
            resume::only_what_it_knows(&args, meant.live)?;
            if meant.live {
                return live::resume(&context, &meant.run, args.detach).await;
            }
            resume::run(&context, Some(&meant.run), args.archive.dir.as_deref()).await
        }
        Verb::Status(args) => {
            let context = Context::looking(&global, flags, screen)?;
            if args.watch {
                return live::show(&context, args.run.id.as_deref(), args.json, true).await;
            }
            status::run(&context, args.run.id.as_deref(), args.json).await
        }
        Verb::Route(args) => {
            flags.flag(crate::config::Key::Route, &args.route);
            let context = Context::looking(&global, flags, screen)?;
            route::show(&context, args.json).await
        }
        Verb::Reads(args) => {
            flags.flag(crate::config::Key::Route, &args.route);
            let context = Context::new(&global, stop, flags, None, screen)?;
            route::move_reads(&context, &args).await
        }
        Verb::Rollback(args) => {
            args.stores.add_to(&mut flags);
            let context = Context::new(&global, stop, flags, None, screen)?;
            let run = args.run.id.as_deref();
            let meant = live::meant(&context, run);
            if let (Err(error), Some(run)) = (&meant, run)
                && error.kind() == Kind::NotFound
                && context.resolved.from.is_some()
                && context.resolved.to.is_some()
            {
                return live::take_back_lost(&context, run, args.switch.dry_run).await;
            }
            let meant = meant?;
            if meant.live {
                let mut options = live::options(&args.switch)?;
                options.accept_difference = args.discard_target_changes;
                let request = switchover::live::Request::Rollback(options);
                return live::decide(&context, &meant.run, request).await;
            }
            rollback::without_a_switch(&args.switch)?;
            rollback::run(&context, Some(&meant.run), args.discard_target_changes, args.switch.dry_run).await
        }
        Verb::Start(args) => {
            args.stores.add_to(&mut flags);
            args.mapping.add_to(&mut flags);
            args.safety.add_to(&mut flags);
            args.limits.add_to(&mut flags);
            flags.flag(crate::config::Key::Route, &args.route);
            let context = Context::driving(&global, stop, flags, args.detach, screen)?;
            match args.dry_run {
                true => live::dry_run(&context).await,
                false => live::start(&context, args.detach).await,
            }
        }
        Verb::Rehearse(args) => {
            args.stores.add_to(&mut flags);
            args.mapping.add_to(&mut flags);
            args.limits.add_to(&mut flags);
            let context = Context::new(&global, stop, flags, None, screen)?;
            rehearse::run(&context).await
        }
        Verb::Pause(args) => {
            args.stores.add_to(&mut flags);
            let context = Context::new(&global, stop, flags, None, screen)?;
            let meant = live::meant(&context, args.run.id.as_deref())?;
            live::tell(&context, &meant.run, switchover::live::Request::Pause).await
        }
        Verb::Throttle(args) => {
            let request = live::limits(&args.limits)?;
            let context = Context::new(&global, stop, flags, None, screen)?;
            let meant = live::meant(&context, args.run.id.as_deref())?;
            live::tell(&context, &meant.run, request).await
        }
        Verb::Cutover(args) => {
            args.stores.add_to(&mut flags);
            let options = live::options(&args.switch)?;
            let context = Context::new(&global, stop, flags, None, screen)?;
            let request = switchover::live::Request::Cutover(options);
            let meant = live::meant(&context, args.run.id.as_deref())?;
            live::decide(&context, &meant.run, request).await
        }
        Verb::Finish(args) => {
            args.stores.add_to(&mut flags);
            let context = Context::new(&global, stop, flags, None, screen)?;
            let meant = live::meant(&context, args.run.id.as_deref())?;
            live::finish(&context, &meant, args.abandon_source, args.yes).await
        }
        Verb::Cleanup(args) => {
            args.stores.add_to(&mut flags);
            let context = Context::new(&global, stop, flags, None, screen)?;
            cleanup::run(&context, args.run.id.as_deref(), args.yes).await
        }
        Verb::Doctor(args) => {
            args.stores.add_to(&mut flags);
            flags.flag(crate::config::Key::Schema, &args.schema);
            flags.flag(crate::config::Key::Into, &args.into);
            let context = Context::new(&global, stop, flags, None, screen)?;
            doctor::run(&context, args.json).await
        }
        Verb::Search(args) => {
            flags.flag(crate::config::Key::To, &args.to);
            flags.flag(crate::config::Key::ApiKeyFile, &args.api_key_file);
            let context = Context::new(&global, stop, flags, None, screen)?;
            search::run(&context, &args).await
        }
        Verb::Bench { verb: BenchVerb::Queries(args) } => {
            args.stores.add_to(&mut flags);
            flags.flag(crate::config::Key::Schema, &args.schema);
            flags.flag(crate::config::Key::Report, &args.report);
            let context = Context::looking(&global, flags, screen)?;
            bench::queries(&context, &args).await
        }
        Verb::Backup { verb } => {
            let url = match &verb {
                BackupVerb::Create { url, .. }
                | BackupVerb::Verify { url, .. }
                | BackupVerb::Restore { url, .. }
                | BackupVerb::List { url, .. } => url.clone(),
            };
            if let Some(url) = &url {
                flags.flag_as("the URL", crate::config::Key::From, url);
            }
            let context = Context::new(&global, stop, flags, None, screen)?;
            backup::run(&context, &verb).await
        }
    }
}
