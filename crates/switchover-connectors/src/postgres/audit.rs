//! What the server itself says about the tables of a plan: an answer that shares nothing with the
//! comparison of values.
//!
//! Rows are counted by the server; of keys, unique and foreign keys and indexes it says whether they are there,
//! valid, and over the columns of the plan; of foreign keys also what they do, and when. A valid constraint is the server's own proof that no row breaks it.
//!
//! Absent: whether an expression or a predicate says what the plan's does, and of tables that were there
//! anything but `standing`'s look at them.

use super::connect::Connection;
use super::quote::{self, ident};
use super::steps::build_steps;
use super::structure::action;
use super::{live, standing};
use std::collections::BTreeMap;
use std::fmt;
use switchover_core::Result;
use switchover_core::connector::Audit;
use switchover_core::mapping::IndexMethod;
use switchover_core::plan::{ForeignKeyPlan, IndexPlan, KeyPlan, Plan, TablePlan};
use tokio_postgres::Client;

const OPERATION: &str = "audit the target";

/// The constraints of a schema: what each is, over which columns, where it leads to, and what a foreign key does, and when.
const CONSTRAINTS: &str = "SELECT r.relname, c.conname, c.convalidated, c.contype::text,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.o),
        p.relname::text,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY k(n, o)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.o),
        c.confdeltype::text, c.confupdtype::text, c.condeferrable, c.condeferred
    FROM pg_catalog.pg_constraint c
        JOIN pg_catalog.pg_class r ON r.oid = c.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
        LEFT JOIN pg_catalog.pg_class p ON p.oid = c.confrelid
    WHERE n.nspname = $1";

/// The indexes of a schema: what each is, and its parts, of which an expression has no name.
const INDEXES: &str =
    "SELECT r.relname, x.relname, i.indisvalid, i.indisunique, m.amname::text, i.indpred IS NOT NULL,
        ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o)
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
            WHERE k.o <= i.indnkeyatts ORDER BY k.o)
    FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class r ON r.oid = i.indrelid
        JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_am m ON m.oid = x.relam
        JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
    WHERE n.nspname = $1";

/// A constraint or an index, as far as two of one name are held against each other.
#[derive(Debug)]
struct Form {
    kind: String,
    /// Its columns; an expression has no name.
    parts: Vec<Option<String>>,
    /// What stands behind the columns.
    rest: String,
}

impl Form {
    fn of_columns(kind: &str, columns: &[String]) -> Form {
        let parts = columns.iter().cloned().map(Some).collect();
        Form { kind: kind.to_owned(), parts, rest: String::new() }
    }

    fn of_index(unique: bool, method: &str, partial: bool, parts: Vec<Option<String>>) -> Form {
        let unique = if unique { "a unique" } else { "an" };
        let rest = if partial { " WHERE ..." } else { "" };
        Form { kind: format!("{unique} index by {method}"), parts, rest: rest.to_owned() }
    }

    /// The key of a plan.
    fn of_key(kind: &str, key: &KeyPlan) -> Form {
        Form::of_columns(kind, &key.columns)
    }

    /// The foreign key of a plan.
    fn of_foreign_key(key: &ForeignKeyPlan) -> Form {
        let rest = format!(" REFERENCES {} ({}){}", key.parent, key.parent_columns.join(", "), key.clauses());
        Form { rest, ..Form::of_columns("FOREIGN KEY", &key.columns) }
    }

    /// The index of a plan, whose parts are SQL: a column stands there by its name, and anything else in parentheses.
    fn of_plan(table: &TablePlan, index: &IndexPlan) -> Form {
        let column = |part: &String| {
            let part = part.strip_suffix(" DESC").unwrap_or(part);
            table
                .columns
                .iter()
                .find(|column| ident(&column.target) == part)
                .map(|column| column.target.clone())
        };
        let method = match index.method {
            IndexMethod::Btree => "btree",
            IndexMethod::Gin => "gin",
        };
        let parts = index.parts.iter().map(column).collect();
        Form::of_index(index.unique, method, index.predicate.is_some(), parts)
    }

    /// A key as a clause.
    fn clause(&self) -> String {
        let parts: Vec<String> = self.parts.iter().flatten().map(|part| ident(part)).collect();
        format!("{} ({})", self.kind, parts.join(", "))
    }

    /// Whether the one that was found is what was wanted: an expression of the plan's is any part.
    fn is(&self, wanted: &Form) -> bool {
        let pairs = || self.parts.iter().zip(&wanted.parts);
        self.kind == wanted.kind
            && self.rest == wanted.rest
            && self.parts.len() == wanted.parts.len()
            && pairs().all(|(found, wanted)| wanted.is_none() || found == wanted)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> =
            self.parts.iter().map(|part| part.as_deref().unwrap_or("an expression")).collect();
        write!(f, "{} ({}){}", self.kind, parts.join(", "), self.rest)
    }
}

/// What the server says of constraints or indexes, by table and name: whether each is valid, and its form.
type Found = BTreeMap<(String, String), (bool, Form)>;

/// A key, constraint or index that is not as the run made it.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its table.
    pub(super) table: String,
    /// What is wrong with it.
    pub(super) why: String,
    /// What to do.
    pub(super) hint: String,
}

/// Counts and constraints.
pub(super) async fn audit(connection: &mut Connection, plan: &Plan) -> Result<Audit> {
    let mut audit = Audit::default();
    if plan.options.existing.is_some() {
        let label = connection.label().to_owned();
        let found = async {
            let transaction = connection.client_mut().transaction().await?;
            let faults = standing::faults(&transaction, plan).await?;
            transaction.rollback().await?;
            Ok(faults)
        };
        audit.faults = found.await.map_err(|error: tokio_postgres::Error| {
            super::error::classify(&error, OPERATION).store(label).because(error)
        })?;
    }
    let fail = |error| connection.classify(error, OPERATION);
    let client = connection.client();
    let schema = &plan.options.schema;
    for table in &plan.tables {
        let sql = format!("SELECT count(*) FROM {}", quote::qualified(schema, &table.target));
        let rows: i64 =
            client.query_one(&sql, &[]).await.map_err(|e| fail(e).table(table.source.clone()))?.get(0);
        audit.rows.push(u64::try_from(rows).unwrap_or(0));
    }
    let (constraints, indexes) = found(client, schema).await.map_err(fail)?;
    // The definitions of tables that were there are the application's.
    let own = plan.options.existing.is_none();
    for table in &plan.tables {
        let references = table.foreign_keys.iter().map(|key| (&key.name, Some(Form::of_foreign_key(key))));
        for (name, form) in of_table(table).chain(references) {
            audit.expect(&constraints, &table.target, name, "constraint", form.filter(|_| own));
        }
        for index in &table.indexes {
            let form = Some(Form::of_plan(table, index)).filter(|_| own);
            audit.expect(&indexes, &table.target, &index.name, "index", form);
        }
    }
    Ok(audit)
}

/// The constraints of a table but for its foreign keys: a check by its name alone.
fn of_table(table: &TablePlan) -> impl Iterator<Item = (&String, Option<Form>)> {
    let primary = table.primary_key.iter().map(|key| (&key.name, Some(Form::of_key("PRIMARY KEY", key))));
    let uniques = table.uniques.iter().map(|key| (&key.name, Some(Form::of_key("UNIQUE", key))));
    primary.chain(uniques).chain(table.checks.iter().map(|check| (&check.name, None)))
}

/// What there is of constraints, and of indexes.
async fn found(client: &Client, schema: &str) -> Result<(Found, Found), tokio_postgres::Error> {
    let mut constraints = Found::new();
    for row in client.query(CONSTRAINTS, &[&schema]).await? {
        let (columns, leads_to): (Vec<String>, Option<&str>) = (row.get(4), row.get(5));
        let form = match (row.get::<_, &str>(3), leads_to) {
            ("p", _) => Form::of_columns("PRIMARY KEY", &columns),
            ("u", _) => Form::of_columns("UNIQUE", &columns),
            ("f", Some(parent)) => Form::of_foreign_key(&ForeignKeyPlan {
                name: String::new(),
                columns,
                parent: parent.to_owned(),
                parent_columns: row.get(6),
                on_delete: action(row.get(7)).to_owned(),
                on_update: action(row.get(8)).to_owned(),
                deferrable: row.get(9),
                initially_deferred: row.get(10),
                orphans: 0,
                reference: false,
            }),
            _ => Form::of_columns("a constraint of another kind", &columns),
        };
        constraints.insert((row.get(0), row.get(1)), (row.get(2), form));
    }
    let mut indexes = Found::new();
    for row in client.query(INDEXES, &[&schema]).await? {
        let form = Form::of_index(row.get(3), row.get(4), row.get(5), row.get(6));
        indexes.insert((row.get(0), row.get(1)), (row.get(2), form));
    }
    Ok((constraints, indexes))
}

/// The first key, constraint or index that is not as a live run made it, in a schema whose tables are the run's. A foreign key that is
/// not there, or not proven yet, is none: the decision makes it, in its own form.
pub(super) async fn changed(client: &Client, plan: &Plan) -> Result<Option<Fault>, tokio_postgres::Error> {
    let schema = &plan.options.schema;
    let (constraints, indexes) = found(client, schema).await?;
    for (at, table) in plan.tables.iter().enumerate() {
        let qualified = quote::qualified(schema, &table.target);
        let fault = |why: String, hint: String| Ok(Some(Fault { table: table.target.clone(), why, hint }));
        let again = |found: &Found, name: &str, down: &str, up: &str| {
            let there = found.contains_key(&(table.target.clone(), name.to_owned()));
            let down = if there { format!("drop it ({down}), ") } else { String::new() };
            format!("{down}put it back ({up}), and ask again")
        };
        for (name, form) in of_table(table) {
            let check = table.checks.iter().find(|check| check.name == *name);
            let clause = match (&form, check) {
                (Some(form), _) => form.clause(),
                (None, check) => format!("CHECK ({})", check.map_or("", |check| check.sql.as_str())),
            };
            if let Some(why) = fault_of(&constraints, &table.target, name, "constraint", form) {
                let down = format!("ALTER TABLE {qualified} DROP CONSTRAINT {}", ident(name));
                let up = format!("ALTER TABLE {qualified} ADD CONSTRAINT {} {clause}", ident(name));
                return fault(why, again(&constraints, name, &down, &up));
            }
        }
        for index in &table.indexes {
            let (name, form) = (&index.name, Some(Form::of_plan(table, index)));
            if let Some(why) = fault_of(&indexes, &table.target, name, "index", form) {
                let id = format!("{at}:index {name}");
                let up = build_steps(plan).into_iter().find(|step| step.id == id).map(|step| step.sql);
                let down = format!("DROP INDEX {}", quote::qualified(schema, name));
                return fault(why, again(&indexes, name, &down, &up.unwrap_or_default()));
            }
        }
        for (number, key) in table.foreign_keys.iter().enumerate() {
            // Where both have one name, either may be there.
            let forms = [key.clone(), live::waiting_form((at, number), key)];
            for name in forms.iter().map(|form| &form.name) {
                let of_name = forms.iter().filter(|form| form.name == *name);
                let wanted: Vec<Form> = of_name.map(Form::of_foreign_key).collect();
                let there = constraints.get(&(table.target.clone(), name.clone()));
                let other = |form: &Form| !wanted.iter().any(|wanted| form.is(wanted));
                if let Some((_, form)) = there.filter(|(_, form)| other(form)) {
                    let why = format!(
                        "the constraint \"{name}\" of \"{}\" is {form} and should be {}",
                        table.target, wanted[0]
                    );
                    let down = format!("ALTER TABLE {qualified} DROP CONSTRAINT {}", ident(name));
                    let hint =
                        format!("drop it ({down}), and ask again: the cutover makes it as it should be");
                    return fault(why, hint);
                }
            }
        }
    }
    Ok(None)
}

/// What is wrong with a constraint or an index of that name.
fn fault_of(found: &Found, table: &str, name: &str, what: &str, wanted: Option<Form>) -> Option<String> {
    let fault = match found.get(&(table.to_owned(), name.to_owned())) {
        Some((true, form)) => {
            let wanted = wanted.filter(|wanted| !form.is(wanted))?;
            format!("is {form} and should be {wanted}: drop it, and make it so")
        }
        Some((false, _)) => "is not valid".to_owned(),
        None => "is not there".to_owned(),
    };
    Some(format!("the {what} \"{name}\" of \"{table}\" {fault}"))
}

trait Expect {
    fn expect(&mut self, found: &Found, table: &str, name: &str, what: &str, wanted: Option<Form>);
}

impl Expect for Audit {
    fn expect(&mut self, found: &Found, table: &str, name: &str, what: &str, wanted: Option<Form>) {
        match fault_of(found, table, name, what, wanted) {
            None => self.constraints_valid += 1,
            Some(fault) => self.faults.push(fault),
        }
    }
}
