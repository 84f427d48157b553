//! The target side of JSON: a dump that is not there yet.
//!
//! A store without transactions: rows go to a private folder (`work`), a chunk a file; the last step makes the
//! dump of them and gives it its name (`publish`). Verification reads the dump itself (`readback`).

use super::config::JsonConfig;
use super::destination;
use super::dialect::JsonDialect;
use super::form::Form;
use super::publish::{self, is_ours, publish};
use super::readback::Index;
use super::work::Work;
use super::write::JsonWriter;
use crate::blocking::blocking;
use crate::place::{self, Lock, resolved};
use crate::sidecar::sync_directory;
use async_trait::async_trait;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use switchover_core::chunk::Checkpoint;
use switchover_core::connector::{
    Audit, BuildStage, BuildStep, Claim, Dialect, Mend, Quarantined, Reader, Remains, Target, TargetState,
    Writer,
};
use switchover_core::failpoint;
use switchover_core::finding::{Finding, Needs};
use switchover_core::plan::Plan;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// The one name that stands where other stores have schemas.
pub const SCHEMA: &str = "dump";

const GONE_HINT: &str = "the dump that the run made was moved away: put it back, or `switchover rollback --discard-target-changes` forgets it, and migrate again";

/// A dump to move data to.
#[derive(Debug)]
pub struct JsonTarget {
    config: JsonConfig,
    dialect: JsonDialect,
    form: Form,
    /// The last walk through the dump, for as long as the dump is what it was.
    index: Mutex<Option<Arc<Index>>>,
}

impl JsonTarget {
    /// The dump of that configuration; nothing is opened yet.
    ///
    /// # Errors
    /// `Config` where the name does not say what is to be written.
    pub fn new(config: JsonConfig) -> Result<JsonTarget> {
        let form = Form::of(&config)?;
        Ok(JsonTarget { config, dialect: JsonDialect { form }, form, index: Mutex::default() })
    }

    fn dump(&self) -> Result<PathBuf> {
        resolved(self.config.path(), "find the target")
    }

    fn work(&self) -> Result<Work> {
        Ok(Work::beside(&self.dump()?))
    }

    fn check_schema(&self, schema: &str) -> Result<()> {
        if schema == SCHEMA {
            return Ok(());
        }
        Err(Error::new(Kind::Config, "find the target's schema")
            .store(self.config.label())
            .detail(format!("a dump has no schemas, so none is called \"{schema}\""))
            .hint("leave --schema out"))
    }

    fn index(&self) -> Result<Arc<Index>> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        match index.as_ref().filter(|index| index.is_current(&self.config)) {
            Some(index) => Ok(Arc::clone(index)),
            None => {
                let made = Arc::new(Index::of(&self.config).map_err(|error| self.gone(error))?);
                *index = Some(Arc::clone(&made));
                Ok(made)
            }
        }
    }

    /// What to do about a dump that a run made, and that is not there any more.
    fn gone(&self, error: Error) -> Error {
        let made =
            || self.work().and_then(|work| work.published()).is_ok_and(|published| published.is_some());
        if error.kind() == Kind::NotFound && made() { error.hint(GONE_HINT) } else { error }
    }

    /// Takes back what the run made.
    fn take_back(&self, run: &str) -> Result<bool> {
        let operation = "roll back what the run made";
        let (dump, work) = (self.dump()?, self.work()?);
        match work.run()? {
            Some(found) if found == run => {}
            Some(_) => return Ok(false),
            // Killed before it said whose it is, so that nothing rests on it.
            None => {
                work.clear()?;
                return Ok(false);
            }
        }
        failpoint::hit("discard-before-commit");
        let there = fs::symlink_metadata(&dump).is_ok();
        if let Some(published) = work.published()?.filter(|_| there) {
            if !is_ours(&dump, &published)? {
                return Err(Error::new(Kind::Refused, operation)
                    .store(dump.display().to_string())
                    .detail("it is no longer what the run made: another has its name")
                    .hint("move it away, and `switchover rollback --discard-target-changes` again"));
            }
            publish::remove(&dump, &published, operation)?;
            sync_directory(&dump)?;
        }
        work.clear()?;
        Ok(true)
    }
}

/// The lock on a dump's name.
struct JsonClaim {
    lock: Lock,
    label: String,
}

#[async_trait]
impl Claim for JsonClaim {
    async fn check(&self) -> Result<()> {
        if self.lock.holds() {
            return Ok(());
        }
        Err(Error::new(Kind::Busy, "check the lock on the target")
            .store(self.label.clone())
            .detail("another process has taken the lock over")
            .hint("let the other process end; `switchover status` shows the run"))
    }
}

#[async_trait]
impl Target for JsonTarget {
    fn label(&self) -> String {
        self.config.label()
    }

    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn transactional(&self) -> bool {
        false
    }

    fn identity(&self) -> Option<String> {
        place::identity(self.config.path())
    }

    async fn inspect(&self, schema: &str) -> Result<TargetState> {
        self.check_schema(schema)?;
        blocking(|| destination::state(&self.config))
    }

    /// What goes first of a run is its dump, or a file of it, by which what a killed rollback left is known.
    async fn remains(&self, schema: &str, run: &str) -> Result<Remains> {
        self.check_schema(schema)?;
        blocking(|| {
            let (dump, work) = (self.dump()?, self.work()?);
            if work.run()?.as_deref() != Some(run) {
                return Ok(Remains::Nothing);
            }
            let whole = work.published()?.is_some_and(|published| publish::is_whole(&dump, &published));
            Ok(if whole { Remains::All } else { Remains::Part })
        })
    }

    async fn examine(&self, schema: &str, needs: &Needs) -> Vec<Finding> {
        if let Err(error) = self.check_schema(schema) {
            return vec![Finding::of_error("schema", &error)];
        }
        blocking(|| destination::examine(&self.config, needs))
    }

    async fn claim(&self, schema: &str, _: &str) -> Result<Box<dyn Claim>> {
        self.check_schema(schema)?;
        let dump = resolved(self.config.path(), "lock the target")?;
        Ok(Box::new(JsonClaim { lock: Lock::take(&dump)?, label: self.label() }))
    }

    async fn prepare(&self, plan: &Plan, run: &str) -> Result<()> {
        self.check_schema(&plan.options.schema)?;
        blocking(|| {
            let operation = "prepare the target";
            let (dump, work) = (self.dump()?, self.work()?);
            match work.run()? {
                Some(found) if found == run => return Ok(()),
                Some(found) => {
                    return Err(Error::new(Kind::Refused, operation)
                        .store(self.label())
                        .detail(format!("the run {found} has this name"))
                        .hint("resume it, roll it back, or clean up after it"));
                }
                None => {}
            }
            if fs::symlink_metadata(&dump).is_ok() {
                return Err(Error::new(Kind::AlreadyExists, operation)
                    .store(self.label())
                    .detail("something of this name is there already")
                    .hint("name a file or folder that is not there"));
            }
            failpoint::hit("prepare-before-commit");
            work.begin(run, &plan.made_by)?;
            failpoint::hit("prepare-after-commit");
            Ok(())
        })
    }

    async fn writer(&self, plan: Arc<Plan>, run: &str) -> Result<Box<dyn Writer>> {
        let work = self.work()?;
        Ok(Box::new(JsonWriter { work, plan, run: run.to_owned(), form: self.form, text: Vec::new() }))
    }

    async fn checkpoints(&self, _: &Plan, _: &str) -> Result<Vec<Checkpoint>> {
        blocking(|| {
            let (dump, work) = (self.dump()?, self.work()?);
            match work.published()? {
                Some(published) if is_ours(&dump, &published)? => Ok(published.checkpoints),
                _ => Ok(work.chunks()?.into_iter().map(|(head, _)| head.checkpoint).collect()),
            }
        })
    }

    fn build_steps(&self, _: &Plan) -> Vec<BuildStep> {
        vec![BuildStep {
            id: "dump".into(),
            table: None,
            stage: BuildStage::Finish,
            what: "the dump of all rows".into(),
            sql: String::new(),
        }]
    }

    async fn build(&self, plan: &Plan, _: &str, _: &BuildStep) -> Result<()> {
        blocking(|| publish(&self.dump()?, &self.work()?, plan, self.form))
    }

    async fn read(&self, plan: &Plan, table: usize, _: usize) -> Result<Vec<Box<dyn Reader>>> {
        blocking(|| {
            let reader = self.index()?.reader(&Arc::new(plan.clone()), table, self.label());
            Ok(reader.into_iter().map(|reader| Box::new(reader) as Box<dyn Reader>).collect())
        })
    }

    /// A dump has no index: the table is read to its end for each call.
    async fn fetch(&self, plan: &Plan, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        let key = plan.tables[table].key_fields();
        let wanted: HashSet<&[OwnedValue]> = keys.iter().map(Vec::as_slice).collect();
        let mut found = Rows::new(0, plan.tables[table].columns.len());
        for mut reader in self.read(plan, table, 1).await? {
            let mut spare = Rows::default();
            while let Some(rows) = reader.next(spare).await? {
                for row in rows.iter() {
                    let own: Vec<OwnedValue> =
                        key.iter().map(|field| row.value(*field).to_owned_value()).collect();
                    if wanted.contains(own.as_slice()) {
                        row.values().for_each(|value| found.push(value));
                    }
                }
                spare = rows;
            }
        }
        Ok(found)
    }

    async fn quarantined(
        &self,
        plan: &Plan,
        table: usize,
        observe: &mut (dyn FnMut(Quarantined) + Send),
    ) -> Result<()> {
        blocking(|| {
            let name = &plan.tables[table].source;
            let entries = self.work()?.published()?.map(|published| published.quarantine).unwrap_or_default();
            let own = entries.into_iter().filter(|entry| entry.table == *name);
            own.for_each(|entry| observe(entry.quarantined()));
            Ok(())
        })
    }

    async fn audit(&self, plan: &Plan) -> Result<Audit> {
        blocking(|| self.index()?.audit(plan))
    }

    async fn touched(&self, _: &Plan) -> Result<Vec<String>> {
        blocking(|| match self.work()?.published()? {
            Some(published) => publish::touched(&self.dump()?, &published),
            None => Ok(Vec::new()),
        })
    }

    async fn repair(&self, _: &Plan, _: &[Mend]) -> Result<()> {
        Err(Error::new(Kind::Unsupported, "repair the target")
            .store(self.label())
            .detail("a dump is written as a whole: single rows of it are not mended")
            .hint("`verify` without --repair names what differs; `switchover rollback --discard-target-changes` takes the dump back, and `migrate` writes it anew"))
    }

    async fn discard(&self, schema: &str, run: &str) -> Result<bool> {
        self.check_schema(schema)?;
        blocking(|| self.take_back(run))
    }

    async fn forget(&self, schema: &str, _: &str) -> Result<()> {
        self.check_schema(schema)?;
        blocking(|| self.work()?.clear())
    }
}
