//! What keeps a SQLite file from a live run, said before anything is written.

use super::super::error::classify;
use super::super::fragment::is_taken;
use super::super::quote::{ident, qualified};
use super::super::{connect, inspect};
use super::changes::WHOLE_BYTES_MAX;
use super::mapped;
use super::shape::{self, Shape};
use super::{SqliteLive, View, records, refused, triggers};
use rusqlite::Connection;
use switchover_core::codec::Codec;
use switchover_core::expr::Affinity;
use switchover_core::live::Side;
use switchover_core::plan::{ColumnPlan, Refusal};
use switchover_core::schema::Catalog;
use switchover_core::{Kind, Result};

const OPERATION: &str = "look for obstacles to a live run";

/// What gives a file the journal that live work needs.
const TO_WAL: &str = "while the application is stopped or idle, run `PRAGMA journal_mode = WAL` once: the file keeps it, and the application needs no change";

pub(super) fn refusal(table: &str, column: &str, why: impl Into<String>, hint: &str) -> Refusal {
    Refusal {
        table: table.to_owned(),
        key: String::new(),
        column: column.to_owned(),
        value: String::new(),
        why: why.into(),
        hint: hint.to_owned(),
    }
}

/// Whether a key's value is the same value on the other side. A column that prefers reals holds no integers, so that its numbers
/// do not change their class where the other side's are all reals.
fn keeps_its_value(column: &ColumnPlan) -> bool {
    let reals = column.codec == Codec::Float && Affinity::of_declared(&column.declared) == Affinity::Real;
    reals || column.codec.is_exact()
}

impl SqliteLive {
    pub(super) fn find_obstacles(&self, returns: bool) -> Result<Vec<Refusal>> {
        let mut found = self.of_the_plan(returns);
        found.extend(self.of_the_file());
        // A target that is not there yet will be made by the run itself.
        let empty = std::fs::metadata(self.path()).map_or(true, |meta| meta.is_file() && meta.len() == 0);
        if self.side == Side::Target && empty {
            return Ok(found);
        }
        let of_content = self.read(OPERATION, |connection, _, _| self.of_the_content(connection, returns))?;
        found.extend(of_content);
        Ok(found)
    }

    /// What the plan asks for that cannot be fed back.
    fn of_the_plan(&self, returns: bool) -> Vec<Refusal> {
        let plan = &self.run.plan;
        let mut found = Vec::new();
        if plan.options.existing.is_some() && self.side == Side::Target {
            let why = "the target's tables were there before: what they hold beside this run's rows would go and come with them";
            found.push(refusal("", "", why, "let the run make its own tables, or use `switchover migrate`"));
        }
        for (name, map) in &plan.options.mapping.tables {
            if self.side == Side::Target && map.foreign_keys.as_ref().is_some_and(|keys| !keys.is_empty()) {
                let why = "the mapping's `foreign_key`: rows follow without their foreign keys being looked at, which the source does for its own alone";
                let hint = "take it out of the mapping: a key that the source declares is made without it, and any other can be declared on the target \
                            after `switchover finish`; or use `switchover migrate`";
                found.push(refusal(name, "", why, hint));
            }
            for (column, word, why) in
                mapped::asked(map, plan.tables.iter().find(|table| table.source == *name), returns)
            {
                let hint = "take it out of the mapping, or use `switchover migrate`";
                found.push(refusal(name, column, format!("the mapping's `{word}`: {why}"), hint));
            }
        }
        for table in &plan.tables {
            let key = table.key_fields();
            let changes = |column: &&ColumnPlan| !keeps_its_value(column);
            for column in key.iter().map(|at| &table.columns[*at]).filter(changes) {
                let why = "the key's values are another text or number on the target, so a row would not be found again by its key";
                let hint =
                    "give the column a type that keeps its values exactly, or use `switchover migrate`";
                found.push(refusal(&table.source, &column.source, why, hint));
            }
            let nulls = |column: &&ColumnPlan| self.side == Side::Source && column.census.nulls > 0;
            for column in key.iter().map(|at| &table.columns[*at]).filter(nulls) {
                let why = format!(
                    "{} of its rows have NULL in their key, by which no row is found",
                    column.census.nulls
                );
                let hint =
                    "give these rows a key, leave the table out with --exclude, or use `switchover migrate`";
                found.push(refusal(&table.source, &column.source, why, hint));
            }
            if table.has_exceptions() {
                let why =
                    "some of its values go to quarantine, and a change of such a row could not be fed back";
                found.push(refusal(
                    &table.source,
                    "",
                    why,
                    "mend these values first, or use `switchover migrate`",
                ));
            }
        }
        found
    }

    fn of_the_file(&self) -> Vec<Refusal> {
        let path = self.path();
        let mut found = Vec::new();
        if self.config.immutable() {
            let why = "immutable=1 says that nothing changes the file, and a live run is about what changes";
            found.push(refusal("", "", why, "leave the parameter out"));
        }
        let may = |path: &std::path::Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        if path.exists() && !may(path) {
            let why = format!("the file {} cannot be written: capture makes triggers in it", path.display());
            found.push(refusal("", "", why, "run as the user that owns the file"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(std::path::Path::new("."));
        if folder.exists() && !may(folder) {
            let why =
                format!("the folder {} cannot be written, which SQLite needs for its log", folder.display());
            found.push(refusal("", "", why, "run as the user that owns the folder"));
        }
        found
    }

    fn of_the_content(&self, connection: &Connection, returns: bool) -> Result<Vec<Refusal>> {
        let fail = |error| classify(error, OPERATION, self.path());
        let mut found = Vec::new();
        if let Some(run) = records::run_of(connection).map_err(fail)?
            && run != self.run.run
        {
            let why = format!("the live run {run} has its records in {}", self.path().display());
            let hint = "go on with that run where it was begun, or take it back or finish it first; where its folder is lost, \
                 `switchover rollback --run NAME --from SOURCE --to TARGET` takes it back while the source owns the data";
            found.push(refusal("", "", why, hint));
        }
        if !records::present(connection).map_err(fail)?
            && let Some(name) = records::stranger(connection).map_err(fail)?
        {
            let why = format!("the file holds {name}, of a name that the run needs, and no run made it");
            found.push(refusal("", "", why, "rename it, or drop it if nothing needs it"));
        }
        if self.side == Side::Target {
            return Ok(found);
        }
        if let Some(why) = self.not_in_wal(connection)? {
            found.push(refusal("", "", why, TO_WAL));
        }
        let catalog = inspect::catalog(connection, self.path())?;
        for (number, view) in self.views().into_iter().enumerate() {
            found.extend(self.of_a_table(connection, &catalog, number, &view, returns)?);
        }
        Ok(found)
    }

    /// Why the file's journal lets the engine and the application not work side by side, if it does not.
    fn not_in_wal(&self, connection: &Connection) -> Result<Option<String>> {
        let mode = connect::text(connection, self.path(), "PRAGMA journal_mode")?;
        Ok((!mode.eq_ignore_ascii_case("wal")).then(|| {
            format!(
                "its journal mode is {mode}: the engine's reads would keep the application from writing, and the other way round"
            )
        }))
    }

    /// Refuses a file whose journal was changed since the run began: it can be while no engine has the file open.
    pub(super) fn still_in_wal(&self, connection: &Connection, operation: &str) -> Result<()> {
        match self.not_in_wal(connection)? {
            None => Ok(()),
            Some(why) => Err(refused(Kind::Refused, operation, self.path(), why).hint(TO_WAL)),
        }
    }

    fn of_a_table(
        &self,
        connection: &Connection,
        catalog: &Catalog,
        number: usize,
        view: &View<'_>,
        returns: bool,
    ) -> Result<Vec<Refusal>> {
        let fail = |error| classify(error, OPERATION, self.path()).table(view.name);
        let Some(table) = catalog.table(view.name) else {
            return Ok(vec![refusal(view.name, "", "it is not there any more", "plan again")]);
        };
        if table.virtual_module.is_some() {
            let why =
                "it is a virtual table, on which SQLite has no triggers: its changes cannot be captured";
            let hint =
                "leave it out with --exclude, and fill it anew on the target; or use `switchover migrate`";
            return Ok(vec![refusal(view.name, "", why, hint)]);
        }
        let mut found = Vec::new();
        if returns {
            let dropped = mapped::dropped(table, view, &self.run.plan);
            if dropped.is_empty() {
                found.extend(mapped::unshared(table, view, &self.run.plan));
            }
            found.extend(dropped);
            found.extend(mapped::added(table, view, &self.run.plan.options.mapping));
        }
        for column in &table.columns {
            let asked = self.run.plan.options.mapping.column(view.name, &column.name);
            if !view.columns.contains(&column.name.as_str()) && !asked.is_some_and(|map| map.drop) {
                let why = "the column is not in the plan, and a row that comes back would lose its value";
                found.push(refusal(view.name, &column.name, why, "plan again with all columns"));
            }
            if returns && column.generated.is_some() && self.is_stored_there(view, &column.name) {
                let why = "the source computes it, and the target keeps its values in a plain column, because its expression does not \
                     translate: a row that is written on the target could not come back, for SQLite lets nobody write a computed column";
                let hint = "write the expression so that the target can take it over (the plan says what it cannot), leave the table \
                     out with --exclude, or use `switchover migrate`, which moves the values as they are";
                found.push(refusal(view.name, &column.name, why, hint));
            }
        }
        let shape = match shape::read(connection, number, view.name, &view.key_names())
            .map_err(fail)?
            .map(|shape| shape.and_then(Shape::told))
        {
            Some(Ok(shape)) => shape,
            Some(Err(why)) => {
                let hint = "drop the index or the generated column, or leave the table out with --exclude";
                return Ok(vec![refusal(view.name, "", why, hint)]);
            }
            None => return Ok(vec![refusal(view.name, "", "it is not there any more", "plan again")]),
        };
        let mut own: Vec<&str> = shape.own_key.iter().map(String::as_str).collect();
        let mut planned = view.key_names();
        own.sort_unstable();
        planned.sort_unstable();
        if !planned.is_empty() && own != planned {
            let why = "the plan's key is not the table's own primary key, so nothing keeps it unique and no index finds rows by it";
            let hint = "declare the key in the source, or leave the table out";
            found.push(refusal(view.name, "", why, hint));
        }
        if let Err(why) = Self::compiles(connection, &shape).map_err(fail)? {
            let hint = "an index may use a function or collation that only the application has: drop the index, or leave the table out";
            found.push(refusal(view.name, "", why, hint));
        }
        if view.key.is_empty() {
            let own = view.plan.columns.iter().filter(|column| !column.added);
            let sizes: Vec<String> = own
                .map(|column| format!("coalesce(octet_length({}), 0) + 16", ident(&column.source)))
                .collect();
            let sql = format!(
                "SELECT coalesce(sum({}), 0) FROM {}",
                sizes.join(" + "),
                qualified("main", view.name)
            );
            let bytes: i64 = connection.query_row(&sql, [], |row| row.get(0)).map_err(fail)?;
            // The bound is a small number; half of it leaves the table room to grow.
            if bytes > (WHOLE_BYTES_MAX / 2) as i64 {
                let why = format!(
                    "it has no primary key, so each change would carry all of its rows, and they are {bytes} bytes; the bound is {}",
                    WHOLE_BYTES_MAX / 2
                );
                let hint = "give it a primary key, leave it out with --exclude, or use `switchover migrate`";
                found.push(refusal(view.name, "", why, hint));
            }
        }
        Ok(found)
    }

    /// Whether the target has a column's values without computing them. Of tables that were there the planner says so.
    fn is_stored_there(&self, view: &View<'_>, name: &str) -> bool {
        let stored = |column: &ColumnPlan| column.source == name && column.generated.is_none();
        self.run.plan.options.existing.is_none() && view.plan.columns.iter().any(stored)
    }

    /// Whether this SQLite understands what the guards will ask, as any of the application's must: each as a query, with NULL for
    /// the row's cells. The inner error says why it does not.
    fn compiles(connection: &Connection, shape: &Shape) -> rusqlite::Result<Result<(), String>> {
        for query in triggers::probes(shape) {
            if let Err(why) = is_taken(connection, &query)? {
                return Ok(Err(format!("its triggers cannot be made: {why}")));
            }
        }
        Ok(Ok(()))
    }
}
