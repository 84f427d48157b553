//! The plan as a person reads it before agreeing to it.

use super::layout::{WIDTH, bytes, columns, count, fit, pad, plural, seconds, shown, width, wrap};
use std::collections::BTreeMap;
use switchover_core::plan::{Fate, LogicalType, Outcome, Plan, Policy, Refusal, TablePlan};

/// Outcomes and refusals of one kind that are listed; the rest is counted, and in the JSON.
const LISTED_MAX: usize = 40;

/// The whole plan.
pub(crate) fn render(plan: &Plan) -> String {
    let mut out = head(plan);
    for table in &plan.tables {
        out.push('\n');
        out.push_str(&self::table(table));
    }
    if !plan.views.is_empty() {
        let rows: Vec<_> = plan.views.iter().map(|view| [shown(&view.source), shown(&view.name)]).collect();
        out.push_str(&format!("\nViews\n{}", columns(2, [36, 0], &rows)));
    }
    if !plan.triggers.is_empty() {
        let rows: Vec<_> = plan.triggers.iter().map(|trigger| [shown(&trigger.name)]).collect();
        out.push_str(&format!("\nTriggers\n{}", columns(2, [0], &rows)));
    }
    out.push_str(&outcomes("Changed on the way", plan, Fate::Changed));
    out.push_str(&outcomes("Left out", plan, Fate::LeftOut));
    out.push_str(&refusals(&plan.refusals));
    out.push_str(&foot(plan));
    out
}

fn head(plan: &Plan) -> String {
    let store = |store: &switchover_core::schema::StoreInfo| {
        let size =
            if store.size_bytes > 0 { format!(", {}", bytes(store.size_bytes)) } else { String::new() };
        format!("{} ({} {}{size})", shown(&store.label), shown(&store.kind), shown(&store.version))
    };
    let policy = match plan.options.policy {
        Policy::Refuse => "values that do not fit refuse the run",
        Policy::Quarantine => "values that do not fit go to quarantine, exactly",
        Policy::Bytea => "texts that do not fit make their column one of bytes; else the run is refused",
        Policy::Escape => "texts that do not fit are escaped; other values refuse the run",
    };
    let amount = format!(
        "{}, {}, {}",
        plural(plan.tables.len() as u64, "table"),
        plural(plan.source.rows, "row"),
        bytes(plan.source.bytes)
    );
    let rows = [
        ["source".into(), store(&plan.source.store)],
        ["target".into(), format!("{}, schema {}", store(&plan.target), shown(&plan.options.schema))],
        ["moves".into(), amount],
        ["policy".into(), policy.into()],
    ];
    format!("Plan of {}\n{}", shown(&plan.made_at), columns(2, [8, 0], &rows))
}

fn table(table: &TablePlan) -> String {
    let amount = format!("{}, {}", plural(table.rows, "row"), bytes(table.bytes));
    let name = match (shown(&table.source), shown(&table.target)) {
        (source, target) if source == target => source,
        (source, target) => format!("{source} -> {target}"),
    };
    let name = fit(&name, WIDTH - width(&amount) - 2);
    let mut out = format!("{}{amount}\n", pad(&name, WIDTH - width(&amount)));
    let mut rows = vec![["column".to_owned(), "type".to_owned(), "why".to_owned()]];
    for column in &table.columns {
        let name = match (shown(&column.source), shown(&column.target)) {
            (source, target) if source == target => source,
            (source, target) => format!("{source} -> {target}"),
        };
        let null = if column.not_null { " not null" } else { "" };
        let mut why = shown(&column.why);
        let mut add = |more: String| why.push_str(&format!("; {more}"));
        if let Some(default) = &column.default {
            add(format!("default {}", shown(default)));
        }
        if let Some(generated) = &column.generated {
            add(format!("generated as {}", shown(generated)));
        }
        if let Some(next) = column.identity_next {
            add(format!("numbered by the target from {next}"));
        }
        match column.policy {
            _ if column.exceptions == 0 => {}
            policy if !policy.quarantines() => {
                add(format!("{} NOT FIT", plural(column.exceptions, "value")));
            }
            _ => add(format!("{} to quarantine", plural(column.exceptions, "value"))),
        }
        let ty = match column.r#type {
            LogicalType::Declared if column.declared.is_empty() => "(no type)".to_owned(),
            LogicalType::Declared => shown(&column.declared),
            ty => ty.to_string(),
        };
        rows.push([name, format!("{ty}{null}"), why]);
    }
    out.push_str(&columns(2, [24, 20, 0], &rows));
    let keys = keys(table);
    if !keys.is_empty() {
        out.push_str(&columns(2, [12, 0], &keys));
    }
    out.push_str(&preview(table));
    out
}

/// Columns of a value in a preview; a secret of any length is not for a terminal.
const PREVIEW_WIDTH: usize = 20;

/// What the mapping does to the first rows.
fn preview(table: &TablePlan) -> String {
    let mut rows = Vec::new();
    for row in &table.preview {
        let mut name = shown(&row.row);
        if !row.taken {
            rows.push([name, "left out".into(), String::new(), String::new()]);
            continue;
        }
        for cell in &row.cells {
            let column = match (cell.from.as_str(), cell.to.as_str()) {
                ("", to) => format!("-> {}", shown(to)),
                (from, "") => format!("{} ->", shown(from)),
                (from, to) if from == to => shown(from),
                (from, to) => format!("{} -> {}", shown(from), shown(to)),
            };
            let value = |side: &str, text: &str| match side {
                "" => "-".to_owned(),
                _ => fit(&shown(text), PREVIEW_WIDTH),
            };
            let cells = [value(&cell.from, &cell.before), value(&cell.to, &cell.after)];
            let [before, after] = cells;
            rows.push([std::mem::take(&mut name), fit(&column, 22), before, after]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    rows.insert(0, ["first rows".into(), "column".into(), "before".into(), "after".into()]);
    columns(2, [14, 22, PREVIEW_WIDTH, 0], &rows)
}

fn keys(table: &TablePlan) -> Vec<[String; 2]> {
    let list = |names: &[String]| names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    let mut rows = Vec::new();
    if let Some(key) = &table.primary_key {
        rows.push(["primary key".into(), format!("({})", list(&key.columns))]);
    }
    for key in &table.uniques {
        rows.push(["unique".into(), format!("({})", list(&key.columns))]);
    }
    for index in &table.indexes {
        let unique = if index.unique { "unique " } else { "" };
        let method = if index.method.is_btree() { "" } else { "gin " };
        let predicate =
            index.predicate.as_ref().map(|sql| format!(" where {}", shown(sql))).unwrap_or_default();
        let cost = match shown(&index.cost) {
            cost if cost.is_empty() => String::new(),
            cost => format!("; costs {cost}"),
        };
        rows.push([
            "index".into(),
            format!("{unique}{} {method}({}){predicate}{cost}", shown(&index.name), list(&index.parts)),
        ]);
    }
    for key in &table.foreign_keys {
        let (parent, columns) = (shown(&key.parent), list(&key.parent_columns));
        let orphans = match key.orphans {
            0 => String::new(),
            orphans => format!("; {} WITHOUT A PARENT", plural(orphans, "row")),
        };
        let own = list(&key.columns);
        rows.push(match key.reference {
            true => ["reference".into(), format!("{} of ({own}) to {parent}{orphans}", shown(&key.name))],
            false => ["foreign key".into(), format!("({own}) to {parent} ({columns}){orphans}")],
        });
    }
    for check in &table.checks {
        rows.push(["check".into(), shown(&check.sql)]);
    }
    rows
}

fn outcomes(title: &str, plan: &Plan, fate: Fate) -> String {
    let all: Vec<&Outcome> = plan.outcomes.iter().filter(|outcome| outcome.fate == fate).collect();
    if all.is_empty() {
        return String::new();
    }
    let row = |outcome: &&Outcome| [shown(&outcome.kind), shown(&outcome.name), shown(&outcome.why)];
    let rows: Vec<_> = all.iter().take(LISTED_MAX).map(row).collect();
    format!("\n{title} ({})\n{}{}", all.len(), columns(2, [12, 26, 0], &rows), more(all.len()))
}

fn more(all: usize) -> String {
    match all.saturating_sub(LISTED_MAX) {
        0 => String::new(),
        rest => format!("  and {} more, in the plan's file\n", count(rest as u64)),
    }
}

/// Rows of one refusal that are shown; the rest is counted, and in the plan's file.
const ROWS_SHOWN: usize = 3;

/// Refusals that differ only in the row and its value.
struct Alike<'a> {
    first: &'a Refusal,
    rows: Vec<&'a Refusal>,
}

fn alike(refusals: &[Refusal]) -> Vec<Alike<'_>> {
    let mut groups: Vec<Alike<'_>> = Vec::new();
    // There can be as many as rows.
    let mut places = BTreeMap::new();
    for refusal in refusals {
        let words = (&refusal.table, &refusal.column, &refusal.why, &refusal.hint);
        let place = *places.entry(words).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.rows.push(refusal),
            None => groups.push(Alike { first: refusal, rows: vec![refusal] }),
        }
    }
    groups
}

/// Where it is: a row with its value, or several, the first of them shown.
fn place(group: &Alike<'_>) -> String {
    let mut place = format!("table {}", shown(&group.first.table));
    let mut add = |label: &str, part: &str| {
        if !part.is_empty() {
            place.push_str(&format!(", {label} {}", shown(part)));
        }
    };
    if let [one] = group.rows[..] {
        add("row", &one.key);
        add("column", &one.column);
        add("value", &one.value);
        return place;
    }
    add("column", &group.first.column);
    for row in group.rows.iter().take(ROWS_SHOWN) {
        add("row", &row.key);
        add("value", &row.value);
    }
    match group.rows.len().saturating_sub(ROWS_SHOWN) {
        0 => place,
        rest => place + &format!(" and {}", plural(rest as u64, "more row")),
    }
}

fn refusals(refusals: &[Refusal]) -> String {
    if refusals.is_empty() {
        return String::new();
    }
    let mut out = format!("\nRefused ({}): as it is, this plan will not be carried out\n", refusals.len());
    let groups = alike(refusals);
    for (at, group) in groups.iter().enumerate().take(LISTED_MAX) {
        // What is to be done about several, one after the other, is said once, behind the last of them.
        let next = groups.get(at + 1).filter(|_| at + 1 < LISTED_MAX);
        let again = next.is_some_and(|next| next.first.hint == group.first.hint);
        let hint = if again { String::new() } else { shown(&group.first.hint) };
        for (first, next, text) in [
            ("  ", "    ", &place(group)),
            ("    ", "    ", &shown(&group.first.why)),
            ("    hint: ", "    ", &hint),
        ] {
            if text.is_empty() {
                continue;
            }
            for (at, line) in wrap(text, WIDTH - first.len()).iter().enumerate() {
                out.push_str(&format!("{}{line}\n", if at == 0 { first } else { next }));
            }
        }
    }
    out + &more(groups.len())
}

fn foot(plan: &Plan) -> String {
    let disk = |needed: u64, free: Option<u64>| match free {
        Some(free) if free < needed => format!("{} needed, ONLY {} free", bytes(needed), bytes(free)),
        Some(free) => format!("{} needed, {} free", bytes(needed), bytes(free)),
        None => format!("{} needed; how much is free is not known", bytes(needed)),
    };
    let mut rows = Vec::new();
    if plan.disk.backup_needed_bytes > 0 {
        rows.push(["backup".into(), disk(plan.disk.backup_needed_bytes, plan.disk.backup_free_bytes)]);
    }
    rows.push(["target".into(), disk(plan.disk.target_needed_bytes, plan.disk.target_free_bytes)]);
    if let Some(memory) = &plan.memory {
        let text = format!(
            "up to {}, ABOVE the limit of {}: {}.{} holds a value of {}",
            bytes(memory.needed_bytes),
            bytes(memory.limit_bytes),
            memory.table,
            memory.column,
            bytes(memory.value_bytes)
        );
        rows.push(["memory".into(), shown(&text)]);
    }
    rows.push(["time".into(), format!("about {}", seconds(plan.estimate_s))]);
    format!("\nDisk and time\n{}", columns(2, [8, 0], &rows))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A plan with something of everything, as its file holds it, but for the censuses: so this
    /// also fails when the format changes without its documentation.
    const SAMPLE: &str = include_str!("../../tests/data/plan.json.in");

    #[test]
    fn refusals_that_are_alike_are_one() {
        let refusal = |table: &str, row: usize, why: &str, hint: &str| Refusal {
            table: table.into(),
            key: format!("id={row}"),
            column: "at".into(),
            value: format!("'{row}'"),
            why: why.into(),
            hint: hint.into(),
        };
        let mut all: Vec<Refusal> = (1..=50)
            .flat_map(|row| ["a", "b"].map(|table| refusal(table, row, "no time", "mend it")))
            .collect();
        all.push(refusal("c", 7, "too long", "cut it"));
        insta::assert_snapshot!(refusals(&all));
    }

    #[test]
    fn the_table_is_complete_and_fits() {
        let plan: Plan = {
            let census = serde_json::to_string(&switchover_core::census::ColumnCensus::default()).unwrap();
            serde_json::from_str(&SAMPLE.replace("CENSUS", &census)).unwrap()
        };
        let text = render(&plan);
        assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
        insta::assert_snapshot!(text);
    }
}
