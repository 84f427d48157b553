//! What is asked: tables, columns, and values of rows that are there, with the answers that they must have.

use super::report::LeftOut;
use super::{QueriesOptions, Stores};
use crate::evidence::planned_table;
use crate::progress::{Event, Progress};
use crate::shutdown::Shutdown;
use crate::sight::Sight;
use crate::verify::sample::some_rows;
use crate::verify::{SourceSide, digester};
use std::collections::{BTreeMap, HashSet};
use switchover_core::digest::Side;
use switchover_core::plan::{LogicalType, Plan, TablePlan};
use switchover_core::query::{Queries, Query, newest_first};
use switchover_core::schema::Table;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// Letters of a word that is asked for, at least: shorter ones are in most texts.
const WORD_LETTERS_MIN: usize = 5;

/// Different words: each costs a look through all texts before anything is measured.
const WORDS_MAX: usize = 20;

/// Words looked at for each that can be asked.
const TRIES_PER_WORD: usize = 10;

/// Rows that hold a word, at most: their digests are held to know right answers by.
const MATCHES_MAX: u32 = 50_000;

/// The kinds of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    ById,
    Latest,
    Words,
}

impl Asking {
    const ALL: [Asking; 3] = [Asking::ById, Asking::Latest, Asking::Words];

    /// As the report says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Asking::ById => "by id",
            Asking::Latest => "latest",
            Asking::Words => "words",
        }
    }
}

/// A store, in a report.
pub(crate) fn word(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Target => "target",
    }
}

/// Questions of one kind, to one table.
pub(super) struct Subject {
    pub(super) kind: Asking,
    pub(super) table: usize,
    /// The columns that are asked by, in words.
    pub(super) by: String,
    pub(super) questions: Vec<Question>,
}

/// A question, and what its answer must be.
pub(super) struct Question {
    pub(super) query: Query,
    wanted: Wanted,
}

/// By the digests of rows.
enum Wanted {
    /// These, in this order.
    InOrder(Vec<u128>),
    /// So many of these, each once.
    Among(usize, HashSet<u128>),
}

impl Question {
    /// Whether rows of these digests are the answer.
    pub(super) fn is_answered(&self, found: &[u128]) -> bool {
        match &self.wanted {
            Wanted::InOrder(wanted) => wanted == found,
            Wanted::Among(count, all) => {
                let distinct: HashSet<&u128> = found.iter().collect();
                found.len() == *count
                    && distinct.len() == *count
                    && found.iter().all(|digest| all.contains(digest))
            }
        }
    }
}

/// What can be asked, and what not.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) subjects: Vec<Subject>,
    pub(super) left_out: Vec<LeftOut>,
}

/// The digests of the rows that a store answered.
pub(super) fn digests(table: &TablePlan, side: Side, rows: &Rows) -> Vec<u128> {
    let mut digester = digester(table, side);
    rows.iter().map(|row| digester.digest(row, |_| false).row).collect()
}

/// A form of question before it has values: to which table, and by which column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    kind: Asking,
    table: usize,
    by: Option<usize>,
}

pub(super) async fn choose(
    stores: &Stores,
    sight: &Sight,
    options: &QueriesOptions,
    shutdown: &Shutdown,
    progress: &dyn Progress,
) -> Result<Chosen> {
    let plan = &stores.plan;
    let mut asker = Asker {
        stores,
        sight,
        options,
        shutdown,
        source: stores.client(Side::Source).await?,
        target: stores.client(Side::Target).await?,
        rows: BTreeMap::new(),
    };
    let (named, tables) = tables(plan, options)?;
    known(plan, options, &tables)?;
    let mut chosen = Chosen::default();
    for kind in Asking::ALL {
        progress.event(Event::Note { text: format!("choosing what to ask: {}", kind.name()) });
        let (mut done, mut why_not) = (false, Vec::new());
        for table in &tables {
            for form in asker.forms(kind, *table) {
                match asker.subject(form).await? {
                    Ok(subject) => {
                        chosen.subjects.push(subject);
                        done = true;
                        break;
                    }
                    Err(why) => {
                        why_not.push(LeftOut { lookup: kind.name().into(), table: source(plan, form), why });
                    }
                }
            }
            // Without names the largest table that can be asked stands for all.
            if done && !named {
                break;
            }
        }
        // Why others were passed over matters only to who named them, or where none was left.
        if named || !done {
            chosen.left_out.extend(why_not);
        }
    }
    Ok(chosen)
}

fn source(plan: &Plan, form: Form) -> String {
    plan.tables[form.table].source.clone()
}

/// The tables that are looked at, the largest first, and whether they were named.
fn tables(plan: &Plan, options: &QueriesOptions) -> Result<(bool, Vec<usize>)> {
    let mut all: Vec<usize> = (0..plan.tables.len()).collect();
    all.sort_by_key(|at| std::cmp::Reverse(plan.tables[*at].rows));
    if options.tables.is_empty() {
        return Ok((false, all));
    }
    let find = |name: &String| {
        let is = |table: &TablePlan| table.source == *name || table.target == *name;
        plan.tables.iter().position(is).ok_or_else(|| {
            let names: Vec<&str> = plan.tables.iter().map(|table| table.source.as_str()).collect();
            Error::new(Kind::Config, "ask both stores questions")
                .table(name.clone())
                .detail("the plan has no such table")
                .hint(format!("it has {}", names.join(", ")))
        })
    };
    Ok((true, options.tables.iter().map(find).collect::<Result<_>>()?))
}

/// That the column whose newest rows are asked for is one of a table that is looked at.
fn known(plan: &Plan, options: &QueriesOptions, tables: &[usize]) -> Result<()> {
    let Some(name) = &options.by else { return Ok(()) };
    let columns = |at: &usize| plan.tables[*at].columns.iter().map(|column| column.source.as_str());
    if tables.iter().flat_map(columns).any(|column| column.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let one = tables.first().filter(|_| tables.len() == 1);
    let all = one.map(|at| columns(at).collect::<Vec<_>>().join(", "));
    let error = Error::new(Kind::Config, "ask both stores questions")
        .column(name.clone())
        .detail("no table that is asked has such a column on the source");
    Err(match all {
        Some(all) => error.hint(format!("--by takes one of {all}")),
        None => error.hint("--by takes a column's name as it is on the source"),
    })
}

struct Asker<'a> {
    stores: &'a Stores,
    sight: &'a Sight,
    options: &'a QueriesOptions,
    shutdown: &'a Shutdown,
    source: Box<dyn Queries>,
    target: Box<dyn Queries>,
    /// Rows of a table, chosen by the seed, once they were asked for.
    rows: BTreeMap<usize, Vec<Vec<OwnedValue>>>,
}

impl Asker<'_> {
    fn planned(&self, table: usize) -> &TablePlan {
        &self.stores.plan.tables[table]
    }

    fn catalogued(&self, table: usize) -> Option<&Table> {
        self.sight.catalog.table(&self.planned(table).source)
    }

    /// The forms in which a table can be asked, the best first.
    fn forms(&self, kind: Asking, table: usize) -> Vec<Form> {
        let planned = self.planned(table);
        let field =
            |name: &str| planned.columns.iter().position(|column| column.source.eq_ignore_ascii_case(name));
        let form = |by| Form { kind, table, by };
        match kind {
            Asking::ById => vec![form(None)],
            Asking::Latest => {
                let given = self.options.by.as_deref().map(|name| field(name).into_iter().collect());
                let keys = || {
                    let keys = self.catalogued(table).map_or(&[][..], |table| &table.foreign_keys);
                    let one = |columns: &[String]| match columns {
                        [one] => field(one),
                        _ => None,
                    };
                    keys.iter().filter_map(|key| one(&key.columns)).collect::<Vec<usize>>()
                };
                given.unwrap_or_else(keys).into_iter().map(|by| form(Some(by))).collect()
            }
            Asking::Words => {
                let is_text = |at: &usize| {
                    let ty = planned.columns[*at].r#type;
                    matches!(ty, LogicalType::Text | LogicalType::Varchar(_) | LogicalType::Declared)
                };
                let mut texts: Vec<usize> = (0..planned.columns.len()).filter(is_text).collect();
                texts.sort_by_key(|at| std::cmp::Reverse(planned.columns[*at].census.text_bytes_max));
                texts.into_iter().map(|at| form(Some(at))).collect()
            }
        }
    }

    /// The questions of a form; else why it has none.
    async fn subject(&mut self, form: Form) -> Result<Result<Subject, String>> {
        let plan = std::sync::Arc::clone(&self.stores.plan);
        let table = &plan.tables[form.table];
        let name = |field: usize| table.columns[field].source.clone();
        let key = table.key_fields();
        let known = self.stores.relations.contains_key(&table.source)
            || self.sight.plain.catalog().await?.table(&table.source).is_some();
        if !known {
            return Ok(Err("it is made on the way, and not on the source".into()));
        }
        if table.has_exceptions() {
            return Ok(Err("some of its values are in quarantine, so the answers are not the same".into()));
        }
        let (query, by) = match (form.kind, form.by) {
            (Asking::ById, _) if key.is_empty() => return Ok(Err("it has no primary key".into())),
            (Asking::ById, _) | (_, None) => {
                let names: Vec<String> = key.iter().map(|field| name(*field)).collect();
                (Query::ById { table: form.table, key: Vec::new() }, names.join(", "))
            }
            (Asking::Latest, Some(by)) => match newest_first(table) {
                None => return Ok(Err("nothing says in which order its rows were made".into())),
                Some(order) => {
                    let names: Vec<String> = order.iter().map(|field| name(*field)).collect();
                    let text = format!("{}, newest by {}", name(by), names.join(", "));
                    let (limit, value) = (self.options.rows, OwnedValue::Null);
                    (Query::Latest { table: form.table, by, value, order, limit }, text)
                }
            },
            (Asking::Words, Some(column)) => {
                let (limit, word) = (self.options.rows, String::new());
                (Query::Words { table: form.table, column, word, limit }, name(column))
            }
        };
        for client in [&mut self.source, &mut self.target] {
            if let Some(why) = client.obstacle(&query).await? {
                return Ok(Err(why));
            }
        }
        let questions = self.questions(form, &query).await?;
        Ok(match questions.is_empty() {
            false => Ok(Subject { kind: form.kind, table: form.table, by, questions }),
            true => Err(match form.kind {
                Asking::Words => format!(
                    "none of the words of {by} that were tried can be asked for: of {WORD_LETTERS_MIN} ASCII letters \
                     or more, never within other words"
                ),
                Asking::ById | Asking::Latest => "it has no rows to ask for".into(),
            }),
        })
    }

    /// Rows of a table, chosen by the seed.
    async fn some_rows(&mut self, table: usize) -> Result<Vec<Vec<OwnedValue>>> {
        if let Some(rows) = self.rows.get(&table) {
            return Ok(rows.clone());
        }
        let read = planned_table(self.planned(table));
        let seed = self.options.seed ^ (table as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let rows =
            some_rows(&self.sight.snapshot, &read, self.options.samples as u64, seed, self.shutdown).await?;
        self.rows.insert(table, rows.clone());
        Ok(rows)
    }

    async fn questions(&mut self, form: Form, query: &Query) -> Result<Vec<Question>> {
        let rows = self.some_rows(form.table).await?;
        if let Query::Words { column, .. } = query {
            return self.words(&rows, query, *column).await;
        }
        let key = self.planned(form.table).key_fields();
        let mut questions: Vec<Question> = Vec::with_capacity(rows.len());
        for row in rows {
            let query = match query.clone() {
                Query::ById { table, .. } => {
                    Query::ById { table, key: key.iter().map(|field| row[*field].clone()).collect() }
                }
                Query::Latest { by, .. } if row[by] == OwnedValue::Null => continue,
                Query::Latest { table, by, order, limit, .. } => {
                    Query::Latest { table, by, value: row[by].clone(), order, limit }
                }
                words @ Query::Words { .. } => words,
            };
            if questions.iter().any(|other| other.query == query) {
                continue;
            }
            let found = self.source.ask(&query).await?;
            let wanted = Wanted::InOrder(self.of_source(form.table, &found));
            questions.push(Question { query, wanted });
        }
        Ok(questions)
    }

    fn of_source(&self, table: usize, rows: &Rows) -> Vec<u128> {
        let mut side = SourceSide::new(self.planned(table));
        rows.iter().filter_map(|row| side.digest(row, |_, _| {})).map(|digest| digest.row).collect()
    }

    /// Words of the rows' texts that both stores find in the same rows.
    async fn words(
        &mut self,
        rows: &[Vec<OwnedValue>],
        query: &Query,
        column: usize,
    ) -> Result<Vec<Question>> {
        let wanted = WORDS_MAX.min(self.options.samples);
        let mut questions = Vec::with_capacity(wanted);
        let (mut seen, mut tried) = (HashSet::new(), 0);
        let table = query.table();
        for (at, row) in rows.iter().enumerate() {
            let OwnedValue::Text(text) = &row[column] else { continue };
            let words: Vec<&str> = tokens(text).filter(|word| is_asked_for(word)).collect();
            // Another place in each text, so that the first words of all are not the only ones.
            let Some(word) = words.get(at % words.len().max(1)) else { continue };
            let word = word.to_ascii_lowercase();
            if !seen.insert(word.clone()) {
                continue;
            }
            tried += 1;
            if questions.len() == wanted || tried > wanted * TRIES_PER_WORD {
                break;
            }
            self.shutdown.check("choose words to ask for")?;
            let asked = Query::Words { table, column, word: word.clone(), limit: self.options.rows };
            if self.target.obstacle(&asked).await?.is_some() {
                continue;
            }
            let all = Query::Words { table, column, word: word.clone(), limit: MATCHES_MAX };
            let found = self.source.ask(&all).await?;
            let whole = found.iter().all(|row| match row.value(column).to_owned_value() {
                OwnedValue::Text(text) => tokens(&text).any(|token| token.eq_ignore_ascii_case(&word)),
                _ => false,
            });
            let within = self.source.whole_words() == self.target.whole_words() || whole;
            if found.len() >= MATCHES_MAX as usize || !within {
                continue;
            }
            let digests: HashSet<u128> = self.of_source(table, &found).into_iter().collect();
            // Rows that are equal in every field could not be told apart.
            if digests.len() == found.len() {
                let count = found.len().min(self.options.rows as usize);
                questions.push(Question { query: asked, wanted: Wanted::Among(count, digests) });
            }
        }
        Ok(questions)
    }
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|token| !token.is_empty())
}

fn is_asked_for(word: &str) -> bool {
    word.len() >= WORD_LETTERS_MIN && word.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_all_of_it_in_order_or_so_many_of_the_right_ones() {
        let query = Query::ById { table: 0, key: Vec::new() };
        let ordered = Question { query: query.clone(), wanted: Wanted::InOrder(vec![1, 2]) };
        assert!(ordered.is_answered(&[1, 2]));
        for wrong in [&[2, 1][..], &[1], &[], &[1, 2, 3]] {
            assert!(!ordered.is_answered(wrong), "{wrong:?}");
        }
        let among = Question { query, wanted: Wanted::Among(2, HashSet::from([1, 2, 3])) };
        assert!(among.is_answered(&[3, 1]));
        for wrong in [&[1, 1][..], &[1], &[1, 4], &[1, 2, 3]] {
            assert!(!among.is_answered(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn words_are_ascii_and_long_and_stand_alone() {
        let text = "Ada's analytical Engine, größer: weaves42 flowers";
        let words: Vec<&str> = tokens(text).filter(|word| is_asked_for(word)).collect();
        assert_eq!(words, ["analytical", "Engine", "flowers"]);
    }
}
