//! Rows held against the target's own rules before anything is written: unique indexes, exclusion constraints, checks,
//! partitions.
//!
//! The server decides, by its own definitions. What keeps rows apart is made again on a temporary table of the columns that it
//! looks at, and rows are inserted there `ON CONFLICT DO NOTHING`; those that do not come back are the ones that it would
//! refuse. What looks at a row by itself is asked as a question (`checks`). So predicates, expressions, collations and NULLs that
//! count as equal are all read by the one who will read them in the load. Everything is in one transaction that never
//! commits: nothing but temporary tables is written, and they end with it. Absent: any translation of a definition.

mod checks;

use super::connect::Connection;
use super::copy_encode::{self, Field, HEADER};
use super::quote::{ident, qualified};
use super::{error, keys};
use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use std::collections::BTreeSet;
use switchover_core::connector::{Met, Trial};
use switchover_core::existing::Rule;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::{Rows, Value};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "hold rows against the target's own rules";

/// The rows of a batch.
const BATCH: &str = "pg_temp.\"_switchover_trial\"";

/// A row's number in its batch; no application's column has this name.
const NUMBER: &str = "_switchover_n";

/// Classes of SQLSTATE that are about a row's values, and not about the server or the session: data, constraints, and
/// what functions say.
const ABOUT_ROWS: [&str; 6] = ["22", "23", "2F", "38", "39", "P0"];

/// The table that stands for one index.
fn stand_in(which: usize) -> String {
    format!("pg_temp.\"_switchover_trial_{which}\"")
}

/// A column of the target's table.
struct Column {
    name: String,
    /// Its type below its domains, with its collation.
    declared: String,
    /// Its default, where it has one.
    default: Option<String>,
    /// Its expression, where the server computes it.
    generated: Option<String>,
    /// Whether the server numbers it.
    numbered: bool,
}

const COLUMNS: &str = "WITH RECURSIVE walk AS (
        SELECT a.attnum, a.atttypid AS type, a.atttypmod AS modifier FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = $1::text::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT w.attnum, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE w.modifier END
        FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type WHERE t.typtype = 'd')
    SELECT a.attname::text,
        pg_catalog.format_type(w.type, w.modifier)
            || coalesce(' COLLATE ' || pg_catalog.quote_ident(ln.nspname) || '.' || pg_catalog.quote_ident(l.collname), ''),
        pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text <> '',
        a.attidentity::text <> '' OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend p
            JOIN pg_catalog.pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
            WHERE p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid
                AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
    FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type AND t.typtype <> 'd'
        JOIN pg_catalog.pg_attribute a ON a.attrelid = $1::text::pg_catalog.regclass AND a.attnum = w.attnum
        LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
        LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    ORDER BY a.attnum";

/// How the server writes an index's definition up to its method, and all of it; for a constraint that excludes, that.
const DEFINITION: &str =
    "SELECT pg_catalog.format('CREATE UNIQUE INDEX %I ON %s%I.%I ', x.relname,
            CASE WHEN x.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, c.relname),
        pg_catalog.pg_get_indexdef(x.oid), pg_catalog.pg_get_constraintdef(r.oid)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_constraint r ON r.conindid = x.oid AND r.contype = 'x'
    WHERE i.indrelid = $1::text::pg_catalog.regclass AND x.relname = $2";

/// A running trial.
#[derive(Debug)]
pub(super) struct PostgresTrial {
    connection: Connection,
    table: String,
    /// What the batch has: the plan's columns that something asked looks at.
    fields: Vec<Field>,
    asked: Vec<Asked>,
    unasked: Vec<(usize, String)>,
    scratch: Vec<u8>,
}

/// A rule that is asked.
#[derive(Debug, Clone)]
struct Asked {
    /// Place in the table's list.
    which: usize,
    /// The statement that holds a range of the batch against it, and gives the rows that it refuses.
    sql: String,
    held: HeldAgainst,
}

/// What a rule holds rows against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldAgainst {
    /// Those before them.
    EachOther,
    /// The target's own alone.
    Staying,
    /// None: each row by itself.
    Nothing,
}

/// What the definitions are made from.
struct Making<'a> {
    connection: &'a Connection,
    table: &'a TablePlan,
    name: String,
    columns: Vec<Column>,
    /// What rows that stay are told from those that give way by, where they come first.
    staying: Option<String>,
}

impl PostgresTrial {
    /// Begins one.
    pub(super) async fn open(
        connection: Connection,
        plan: &Plan,
        index: usize,
        which: &[usize],
        stay: bool,
    ) -> Result<PostgresTrial> {
        let table = &plan.tables[index];
        let fail = |error| connection.classify(error, OPERATION).table(table.source.clone());
        let name = qualified(&plan.options.schema, &table.target);
        connection.client().batch_execute("BEGIN").await.map_err(fail)?;
        let rows = connection.client().query(COLUMNS, &[&name]).await.map_err(fail)?;
        let column = |row: tokio_postgres::Row| {
            let (expression, generated): (Option<String>, bool) = (row.get(2), row.get(3));
            Column {
                name: row.get(0),
                declared: row.get(1),
                default: expression.clone().filter(|_| !generated),
                generated: expression.filter(|_| generated),
                numbered: row.get(4),
            }
        };
        let columns = rows.into_iter().map(column).collect();
        let staying = if stay { Some(staying(&connection, plan, index).await?) } else { None };
        let making = Making { connection: &connection, table, name, columns, staying };
        let list = table.standing.iter().flat_map(|standing| &standing.rules).collect::<Vec<_>>();
        let (mut asked, mut unasked, mut used) = (Vec::new(), Vec::new(), BTreeSet::new());
        for which in which.iter().copied() {
            let Some(rule) = list.get(which) else { continue };
            let made = match rule.is_apart() {
                true => {
                    making.stand_in(which, rule).await?.map(|held| (making.statement(which, &held), held))
                }
                false => making.question(rule).await?,
            };
            match made {
                Ok((sql, looked_at)) => {
                    used.extend(looked_at);
                    let held = match (rule.is_apart(), stay) {
                        (false, _) => HeldAgainst::Nothing,
                        (true, true) => HeldAgainst::Staying,
                        (true, false) => HeldAgainst::EachOther,
                    };
                    asked.push(Asked { which, sql, held });
                }
                Err(why) => unasked.push((which, why)),
            }
        }
        let mut fields = copy_encode::unproven(table);
        fields.retain(|field| used.contains(&table.columns[field.index].target));
        if !asked.is_empty() {
            making.batch(&fields).await.map_err(fail)?;
        }
        making.understood(&mut asked, &mut unasked).await?;
        let table = table.source.clone();
        Ok(PostgresTrial { connection, table, fields, asked, unasked, scratch: Vec::new() })
    }
}

/// The condition by which a row `t` of the table stays.
async fn staying(connection: &Connection, plan: &Plan, index: usize) -> Result<String> {
    let replaced = plan.tables[index].standing.as_ref().map_or(&[][..], |standing| &standing.replaced);
    if replaced.is_empty() {
        return Ok("true".to_owned());
    }
    let matched = keys::load(connection.client(), plan, index, replaced, OPERATION).await?;
    Ok(format!("NOT EXISTS (SELECT 1 FROM {} k WHERE {matched})", keys::TABLE))
}

type Answer<T> = std::result::Result<T, tokio_postgres::Error>;

impl Making<'_> {
    /// Whether rows bring a value for that column of the target.
    fn mapped(&self, name: &str) -> bool {
        self.table.columns.iter().any(|column| column.target == name && column.generated.is_none())
    }

    /// Makes the table that stands for one index; gives the plan's columns that it has, or why there is none.
    async fn stand_in(&self, which: usize, index: &Rule) -> Result<std::result::Result<Vec<String>, String>> {
        let fail = |error| self.connection.classify(error, OPERATION).table(self.table.source.clone());
        let mapped = |name: &str| self.mapped(name);
        let computed = |column: &&Column| column.generated.is_some() && index.columns.contains(&column.name);
        // What a computed column is computed from, the server knows.
        let all = self.columns.iter().any(|column| computed(&column));
        let needed = |column: &&Column| {
            let stored = all && column.generated.is_none();
            stored || index.columns.contains(&column.name)
        };
        let mut declared = vec![format!("{} bigint", ident(NUMBER))];
        let mut held = Vec::new();
        for column in self.columns.iter().filter(needed) {
            let own = format!("{} {}", ident(&column.name), column.declared);
            declared.push(match (&column.generated, &column.default) {
                _ if mapped(&column.name) => {
                    held.push(column.name.clone());
                    own
                }
                (Some(expression), _) => format!("{own} GENERATED ALWAYS AS ({expression}) STORED"),
                _ if column.numbered => {
                    return Ok(Err(format!("the target numbers \"{}\" by itself", column.name)));
                }
                (None, Some(default)) => format!("{own} DEFAULT {default}"),
                (None, None) => own,
            });
        }
        let row =
            self.connection.client().query_opt(DEFINITION, &[&self.name, &index.name]).await.map_err(fail)?;
        let Some(row) = row else { return Ok(Err("it is gone from the target".into())) };
        let (start, definition, exclusion): (String, String, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
        let stand_in = stand_in(which);
        let again = match (&exclusion, definition.strip_prefix(&start)) {
            // `ON CONFLICT` knows only what is checked at once.
            (Some(words), _) => {
                let at_once = words.trim_end_matches(" INITIALLY DEFERRED").trim_end_matches(" DEFERRABLE");
                format!("ALTER TABLE {stand_in} ADD {at_once}")
            }
            (None, Some(method)) => format!("CREATE UNIQUE INDEX ON {stand_in} {method}"),
            (None, None) => return Ok(Err(format!("its definition is not known: {definition}"))),
        };
        let make = format!(
            "SAVEPOINT made; CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP; {again}",
            stand_in.trim_start_matches("pg_temp."),
            declared.join(", ")
        );
        if let Err(error) = self.connection.client().batch_execute(&make).await {
            let Some(why) = error.as_db_error().map(|error| error.message().to_owned()) else {
                return Err(fail(error));
            };
            self.connection.client().batch_execute("ROLLBACK TO SAVEPOINT made").await.map_err(fail)?;
            return Ok(Err(why));
        }
        if let Some(staying) = &self.staying {
            let stored = self.columns.iter().filter(needed).filter(|column| column.generated.is_none());
            let names = stored.map(|column| ident(&column.name)).collect::<Vec<_>>();
            let sql = format!(
                "INSERT INTO {stand_in} ({0}) SELECT {0} FROM {1} t WHERE {staying} ON CONFLICT DO NOTHING",
                names.join(", "),
                self.name
            );
            self.connection.client().batch_execute(&sql).await.map_err(fail)?;
        }
        Ok(Ok(held))
    }

    /// The statement that holds the rows of a range of the batch against an index, and gives those that it refuses.
    fn statement(&self, which: usize, held: &[String]) -> String {
        let names: String = held.iter().map(|name| format!(", {}", ident(name))).collect();
        let n = ident(NUMBER);
        format!(
            "WITH held AS (INSERT INTO {} ({n}{names}) SELECT {n}{names} FROM {BATCH} WHERE {n} >= $1 AND {n} < $2
                ORDER BY {n} ON CONFLICT DO NOTHING RETURNING {n})
             SELECT b.{n} FROM {BATCH} b WHERE b.{n} >= $1 AND b.{n} < $2
                AND NOT EXISTS (SELECT 1 FROM held h WHERE h.{n} = b.{n}) ORDER BY b.{n}",
            stand_in(which)
        )
    }

    async fn batch(&self, fields: &[Field]) -> Answer<()> {
        let mut declared = vec![format!("{} bigint", ident(NUMBER))];
        for field in fields {
            let name = &self.table.columns[field.index].target;
            let found = self.columns.iter().find(|column| column.name == *name);
            declared.extend(found.map(|column| format!("{} {}", ident(name), column.declared)));
        }
        let sql = format!(
            "CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP",
            BATCH.trim_start_matches("pg_temp."),
            declared.join(", ")
        );
        self.connection.client().batch_execute(&sql).await
    }
}

#[async_trait]
impl Trial for PostgresTrial {
    fn unasked(&self) -> &[(usize, String)] {
        &self.unasked
    }

    async fn hold(
        &mut self,
        rows: &Rows,
        as_null: &BTreeSet<(usize, usize)>,
        left_out: &BTreeSet<usize>,
    ) -> Result<Vec<Met>> {
        if self.asked.is_empty() || rows.is_empty() {
            return Ok(Vec::new());
        }
        self.send(rows, as_null, left_out).await?;
        let mut met = Vec::new();
        for at in 0..self.asked.len() {
            let asked = self.asked[at].clone();
            let which = asked.which;
            let (refused, fault) = self.range(&asked, 0, rows.len()).await?;
            met.extend(refused.into_iter().map(|row| Met { row, which, fault: None }));
            met.extend(fault.map(|(row, why)| Met { row, which, fault: Some(why) }));
        }
        // Where a row has no key there, the target says so of each that follows, too: one is enough.
        let faulty = |which: usize| met.iter().any(|met| met.which == which && met.fault.is_some());
        self.asked.retain(|asked| !faulty(asked.which));
        met.sort_by_key(|met| met.row);
        Ok(met)
    }
}

impl PostgresTrial {
    fn failed(&self, error: tokio_postgres::Error) -> Error {
        self.connection.classify(error, OPERATION).table(self.table.clone())
    }

    /// Fills the batch.
    async fn send(
        &mut self,
        rows: &Rows,
        as_null: &BTreeSet<(usize, usize)>,
        left_out: &BTreeSet<usize>,
    ) -> Result<()> {
        let mut out = BytesMut::from(HEADER);
        for (at, row) in rows.iter().enumerate().filter(|(at, _)| !left_out.contains(at)) {
            // Tables end at 1,600 columns, and batches long before 2^63 rows.
            out.put_i16(self.fields.len() as i16 + 1);
            out.put_i32(8);
            out.put_i64(at as i64);
            for field in &self.fields {
                let null = as_null.contains(&(at, field.index));
                let value = if null { Value::Null } else { row.value(field.index) };
                let value = field.encode(value, &mut self.scratch).map_err(|misfit| {
                    Error::new(Kind::Internal, OPERATION).table(self.table.clone()).detail(misfit.unfit.0)
                })?;
                copy_encode::cell(value, field.r#type, &mut out);
            }
        }
        let truncate = format!("TRUNCATE {BATCH}");
        self.connection.client().batch_execute(&truncate).await.map_err(|error| self.failed(error))?;
        let sql = format!("COPY {BATCH} FROM STDIN (FORMAT binary)");
        keys::send(self.connection.client(), &sql, &self.table, out, OPERATION).await
    }

    /// Holds a range of the batch; gives the rows that are refused, and the first of which the server says something else.
    async fn range(
        &self,
        asked: &Asked,
        from: usize,
        upto: usize,
    ) -> Result<(Vec<usize>, Option<(usize, String)>)> {
        let mut refused = Vec::new();
        // Ranges to look at, the first of them last.
        let mut ranges = vec![(from, upto)];
        while let Some((from, upto)) = ranges.pop() {
            let client = self.connection.client();
            client.batch_execute("SAVEPOINT held").await.map_err(|error| self.failed(error))?;
            let answer = client.query(&asked.sql, &[&(from as i64), &(upto as i64)]).await;
            let error = match answer {
                Ok(rows) => {
                    let end = if asked.held == HeldAgainst::EachOther { "RELEASE" } else { "ROLLBACK TO" };
                    let end = format!("{end} SAVEPOINT held");
                    client.batch_execute(&end).await.map_err(|error| self.failed(error))?;
                    let rows = rows.iter().filter_map(|row| usize::try_from(row.get::<_, i64>(0)).ok());
                    if asked.held == HeldAgainst::Staying && upto - from > 1 {
                        // Whether an earlier row or one that stays was in the way, a row by itself tells.
                        ranges.extend(rows.map(|row| (row, row + 1)).rev());
                    } else {
                        refused.extend(rows);
                    }
                    continue;
                }
                Err(error) => error,
            };
            let about_row = error::sqlstate(&error)
                .is_some_and(|code| ABOUT_ROWS.iter().any(|class| code.starts_with(class)));
            let Some(server) = error.as_db_error().filter(|_| about_row) else {
                return Err(self.failed(error));
            };
            let message = server.message().to_owned();
            client.batch_execute("ROLLBACK TO SAVEPOINT held").await.map_err(|e| self.failed(e))?;
            if upto - from == 1 {
                return Ok((refused, Some((from, message))));
            }
            let middle = from + (upto - from) / 2;
            ranges.extend([(middle, upto), (from, middle)]);
        }
        Ok((refused, None))
    }
}
