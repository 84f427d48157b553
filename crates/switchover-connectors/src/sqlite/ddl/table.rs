//! CREATE TABLE.
//!
//! What SQLite accepts and ignores is read as SQLite acts on it: the last DEFAULT and the last
//! COLLATE of a column win, a MATCH clause means nothing, DEFERRABLE defers only together with
//! INITIALLY DEFERRED.

use sqlite3_parser::ast::{
    ColumnConstraint, ColumnDefinition, CreateTableBody, DeferSubclause, Expr as Sql, ForeignKeyClause,
    InitDeferredPred, Literal, NamedTableConstraint, RefAct, RefArg, ResolveType, SortOrder, SortedColumn,
    Stmt, TabFlags, TableConstraint,
};
use switchover_core::expr::Expr;

use super::convert::{self, Names};
use super::name::{collation, plain, plain_id, unquote};

/// A table as its CREATE TABLE says it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDdl {
    /// Its name.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<ColumnDdl>,
    /// Its CHECK constraints, the columns' own first in their order.
    pub checks: Vec<CheckDdl>,
    /// Its foreign keys, in the order of the text (`PRAGMA foreign_key_list` gives the reverse).
    pub foreign_keys: Vec<FkDdl>,
    /// Its primary key.
    pub primary_key: Option<KeyDdl>,
    /// Its UNIQUE constraints.
    pub uniques: Vec<KeyDdl>,
    /// WITHOUT ROWID.
    pub without_rowid: bool,
    /// STRICT.
    pub strict: bool,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDdl {
    /// Its name.
    pub name: String,
    /// The type as declared, with its size; empty if there is none.
    pub declared_type: String,
    /// The collation, in upper case; `None` is BINARY.
    pub collation: Option<String>,
    /// NOT NULL, if it is declared.
    pub not_null: Option<NotNullDdl>,
    /// The default.
    pub default: Option<Expr>,
    /// GENERATED ALWAYS AS.
    pub generated: Option<GeneratedDdl>,
    /// AUTOINCREMENT.
    pub autoincrement: bool,
}

/// NOT NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotNullDdl {
    /// The ON CONFLICT clause in upper case, if it is another than ABORT. PostgreSQL has none.
    pub conflict: Option<String>,
}

/// A generated column's expression.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedDdl {
    /// The expression.
    pub expr: Expr,
    /// STORED; otherwise VIRTUAL.
    pub stored: bool,
}

/// A CHECK constraint.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckDdl {
    /// Its name.
    pub name: Option<String>,
    /// The column that it was written at; it may name others too.
    pub column: Option<String>,
    /// The condition.
    pub expr: Expr,
    /// The condition as SQL, for the reader: SQLite's tokens, spaced anew.
    pub text: String,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FkDdl {
    /// Its name.
    pub name: Option<String>,
    /// The referring columns.
    pub columns: Vec<String>,
    /// The table referred to; it need not exist.
    pub parent_table: String,
    /// The columns referred to; empty means the primary key of the parent.
    pub parent_columns: Vec<String>,
    /// ON DELETE: `NO ACTION`, `RESTRICT`, `CASCADE`, `SET NULL` or `SET DEFAULT`.
    pub on_delete: String,
    /// ON UPDATE, in the same words.
    pub on_update: String,
    /// DEFERRABLE.
    pub deferrable: bool,
    /// DEFERRABLE INITIALLY DEFERRED: the only form that defers.
    pub initially_deferred: bool,
}

/// A PRIMARY KEY or UNIQUE constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDdl {
    /// Its name.
    pub name: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<KeyColumn>,
    /// The ON CONFLICT clause in upper case, if it is another than ABORT. PostgreSQL has none.
    pub conflict: Option<String>,
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// The column, spelled as it is declared.
    pub name: String,
    /// The collation, in upper case, if the key names one; otherwise the column's own holds.
    pub collation: Option<String>,
    /// DESC.
    pub desc: bool,
}

/// Parses a CREATE TABLE.
///
/// # Errors
/// With the reason, if the text is no CREATE TABLE with columns: a virtual table, a CREATE TABLE …
/// AS SELECT (SQLite stores the columns instead), another statement, or no SQLite grammar.
pub fn parse_table(sql: &str) -> Result<TableDdl, String> {
    super::with_statement(sql, |statement| match statement {
        Stmt::CreateTable { tbl_name, body, .. } => match body {
            CreateTableBody::ColumnsAndConstraints { columns, constraints, flags } => {
                table(plain(&tbl_name.name), columns, constraints.unwrap_or(&[]), *flags)
            }
            CreateTableBody::AsSelect(_) => Err("it is a CREATE TABLE … AS SELECT".to_owned()),
        },
        Stmt::CreateVirtualTable { module_name, .. } => {
            Err(format!("it is a virtual table of the module {}", plain(module_name)))
        }
        _ => Err("it is no CREATE TABLE".to_owned()),
    })
}

/// The expressions of a table's generated columns as they are written, with the columns' names.
///
/// # Errors
/// As [`parse_table`].
pub fn generated_texts(sql: &str) -> Result<Vec<(String, String)>, String> {
    super::with_statement(sql, |statement| match statement {
        Stmt::CreateTable { body: CreateTableBody::ColumnsAndConstraints { columns, .. }, .. } => {
            let generated = columns.iter().flat_map(|definition| {
                definition.constraints.iter().filter_map(|constraint| match &constraint.constraint {
                    ColumnConstraint::Generated { expr, .. } => {
                        Some((plain(&definition.col_name), expr.to_string().trim().to_owned()))
                    }
                    _ => None,
                })
            });
            Ok(generated.collect())
        }
        _ => Err("it is no CREATE TABLE with columns".to_owned()),
    })
}

fn table(
    name: String,
    definitions: &[ColumnDefinition<'_>],
    constraints: &[NamedTableConstraint<'_>],
    flags: TabFlags,
) -> Result<TableDdl, String> {
    let columns: Vec<String> = definitions.iter().map(|d| plain(&d.col_name)).collect();
    let names = Names::of_table(&name, &columns);
    let mut ddl = TableDdl {
        name: name.clone(),
        columns: Vec::with_capacity(columns.len()),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        primary_key: None,
        uniques: Vec::new(),
        without_rowid: flags.contains(TabFlags::WithoutRowid),
        strict: flags.contains(TabFlags::Strict),
    };
    for definition in definitions {
        column(definition, &names, &mut ddl);
    }
    for constraint in constraints {
        table_constraint(constraint, &columns, &names, &mut ddl)?;
    }
    Ok(ddl)
}

fn column(definition: &ColumnDefinition<'_>, names: &Names<'_>, ddl: &mut TableDdl) {
    let name = plain(&definition.col_name);
    let mut column = ColumnDdl {
        name: name.clone(),
        declared_type: definition.col_type.as_ref().map(convert::type_text).unwrap_or_default(),
        collation: None,
        not_null: None,
        default: None,
        generated: None,
        autoincrement: false,
    };
    let itself = |desc| vec![KeyColumn { name: name.clone(), collation: None, desc }];
    for constraint in definition.constraints {
        let label = constraint.name.as_ref().map(plain);
        match &constraint.constraint {
            ColumnConstraint::PrimaryKey { order, conflict_clause, auto_increment } => {
                column.autoincrement = *auto_increment;
                ddl.primary_key = Some(KeyDdl {
                    name: label,
                    columns: itself(*order == Some(SortOrder::Desc)),
                    conflict: conflict(*conflict_clause),
                });
            }
            ColumnConstraint::NotNull { nullable: false, conflict_clause } => {
                column.not_null = Some(NotNullDdl { conflict: conflict(*conflict_clause) });
            }
            // A plain NULL declares nothing, not even after NOT NULL.
            ColumnConstraint::NotNull { nullable: true, .. } => {}
            ColumnConstraint::Unique(clause) => {
                ddl.uniques.push(KeyDdl { name: label, columns: itself(false), conflict: conflict(*clause) })
            }
            ColumnConstraint::Check(expr) => {
                ddl.checks.push(check(label, Some(name.clone()), expr, names));
            }
            ColumnConstraint::Default(expr) => {
                column.default = Some(convert::expr(expr, &Names::of_default()));
            }
            ColumnConstraint::Defer(clause) => {
                if let Some(key) = ddl.foreign_keys.last_mut() {
                    (key.deferrable, key.initially_deferred) = deferral(Some(clause));
                }
            }
            ColumnConstraint::Collate { collation_name } => {
                column.collation = Some(collation(collation_name.0));
            }
            ColumnConstraint::ForeignKey { clause, defer_clause } => {
                ddl.foreign_keys.push(foreign_key(label, vec![name.clone()], clause, defer_clause.as_ref()));
            }
            ColumnConstraint::Generated { expr, typ } => {
                let stored = typ.as_ref().is_some_and(|id| plain_id(id).eq_ignore_ascii_case("stored"));
                column.generated = Some(GeneratedDdl { expr: convert::expr(expr, names), stored });
            }
        }
    }
    ddl.columns.push(column);
}

fn table_constraint(
    constraint: &NamedTableConstraint<'_>,
    columns: &[String],
    names: &Names<'_>,
    ddl: &mut TableDdl,
) -> Result<(), String> {
    let label = constraint.name.as_ref().map(plain);
    match &constraint.constraint {
        TableConstraint::PrimaryKey { columns: parts, auto_increment, conflict_clause } => {
            let parts = key_columns(parts, columns)?;
            if *auto_increment
                && let Some(key) = parts.first()
                && let Some(column) = ddl.columns.iter_mut().find(|column| column.name == key.name)
            {
                column.autoincrement = true;
            }
            ddl.primary_key =
                Some(KeyDdl { name: label, columns: parts, conflict: conflict(*conflict_clause) });
        }
        TableConstraint::Unique { columns: parts, conflict_clause } => ddl.uniques.push(KeyDdl {
            name: label,
            columns: key_columns(parts, columns)?,
            conflict: conflict(*conflict_clause),
        }),
        // SQLite ignores the conflict clause of a CHECK.
        TableConstraint::Check(expr, _) => ddl.checks.push(check(label, None, expr, names)),
        TableConstraint::ForeignKey { columns: parts, clause, defer_clause } => {
            let mut own = Vec::with_capacity(parts.len());
            for part in *parts {
                own.push(declared(&plain(&part.col_name), columns)?);
            }
            ddl.foreign_keys.push(foreign_key(label, own, clause, defer_clause.as_ref()));
        }
    }
    Ok(())
}

fn check(name: Option<String>, column: Option<String>, expr: &Sql<'_>, names: &Names<'_>) -> CheckDdl {
    let text = expr.to_string().trim().to_owned();
    CheckDdl { name, column, expr: convert::expr(expr, names), text }
}

fn foreign_key(
    name: Option<String>,
    columns: Vec<String>,
    clause: &ForeignKeyClause<'_>,
    defer: Option<&DeferSubclause>,
) -> FkDdl {
    let (deferrable, initially_deferred) = deferral(defer);
    let mut key = FkDdl {
        name,
        columns,
        parent_table: plain(&clause.tbl_name),
        parent_columns: clause.columns.unwrap_or(&[]).iter().map(|c| plain(&c.col_name)).collect(),
        on_delete: action(RefAct::NoAction),
        on_update: action(RefAct::NoAction),
        deferrable,
        initially_deferred,
    };
    for arg in clause.args {
        match arg {
            RefArg::OnDelete(act) => key.on_delete = action(*act),
            RefArg::OnUpdate(act) => key.on_update = action(*act),
            // Accepted and ignored by SQLite.
            RefArg::OnInsert(_) | RefArg::Match(_) => {}
        }
    }
    key
}

fn deferral(clause: Option<&DeferSubclause>) -> (bool, bool) {
    clause.map_or((false, false), |c| {
        (c.deferrable, c.deferrable && c.init_deferred == Some(InitDeferredPred::InitiallyDeferred))
    })
}

fn action(act: RefAct) -> String {
    match act {
        RefAct::SetNull => "SET NULL",
        RefAct::SetDefault => "SET DEFAULT",
        RefAct::Cascade => "CASCADE",
        RefAct::Restrict => "RESTRICT",
        RefAct::NoAction => "NO ACTION",
    }
    .to_owned()
}

fn conflict(clause: Option<ResolveType>) -> Option<String> {
    let word = match clause? {
        ResolveType::Abort => return None,
        ResolveType::Rollback => "ROLLBACK",
        ResolveType::Fail => "FAIL",
        ResolveType::Ignore => "IGNORE",
        ResolveType::Replace => "REPLACE",
    };
    Some(word.to_owned())
}

/// The columns of a key. SQLite takes a string literal there as a column's name.
fn key_columns(parts: &[SortedColumn<'_>], columns: &[String]) -> Result<Vec<KeyColumn>, String> {
    let mut keys = Vec::with_capacity(parts.len());
    for part in parts {
        let (expr, named) = uncollated(&part.expr);
        let name = column_name(expr).ok_or_else(|| format!("the key holds the expression {}", part.expr))?;
        keys.push(KeyColumn {
            name: declared(&name, columns)?,
            collation: named,
            desc: part.order == Some(SortOrder::Desc),
        });
    }
    Ok(keys)
}

/// Splits the outermost COLLATE off an indexed expression.
pub(super) fn uncollated<'a, 'b>(expr: &'a Sql<'b>) -> (&'a Sql<'b>, Option<String>) {
    match expr {
        Sql::Collate(inner, name) => (uncollated(inner).0, Some(collation(name))),
        Sql::Parenthesized(items) => match items.as_slice() {
            [Sql::Collate(inner, name)] => (uncollated(inner).0, Some(collation(name))),
            _ => (expr, None),
        },
        _ => (expr, None),
    }
}

/// The name, if the expression can be nothing but a column's name in a key.
pub(super) fn column_name(expr: &Sql<'_>) -> Option<String> {
    match expr {
        Sql::Id(id) => Some(plain_id(id)),
        Sql::Name(name) => Some(plain(name)),
        Sql::Literal(Literal::String(text)) => Some(unquote(text).0),
        _ => None,
    }
}

fn declared(name: &str, columns: &[String]) -> Result<String, String> {
    columns
        .iter()
        .find(|column| column.eq_ignore_ascii_case(name))
        .cloned()
        .ok_or_else(|| format!("a constraint names the column {name}, which the table does not have"))
}
