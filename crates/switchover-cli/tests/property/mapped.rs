//! Random mappings, and what each must give, as SQL of the test's own.

use crate::made::{Key, Shape, named, quoted};
use switchover_core::mapping::{ColumnMap, Ids, Mapping, PartMap, TableMap};
use switchover_core::plan::{LogicalType, Policy};

/// How far a mapping goes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reach {
    /// Names, parts of tables, values.
    Rows,
    /// Types, policies and ids too.
    All,
}

/// What a table of the target is to hold.
pub(crate) struct Expected {
    /// Its name in the plan, and on the target.
    pub(crate) table: (String, String),
    /// Its columns likewise.
    pub(crate) columns: Vec<(String, String)>,
    /// The same rows by SQL of the test's own.
    pub(crate) select: String,
}

/// A table as it is.
pub(crate) fn unmapped((table, names): &(String, Vec<String>)) -> Expected {
    let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    Expected {
        table: (table.clone(), table.clone()),
        columns: names.iter().map(|name| (name.clone(), name.clone())).collect(),
        select: format!("SELECT {} FROM {}", list.join(", "), quoted(table)),
    }
}

/// A mapping of all tables, and what must come of each; `choices` has some numbers a table, one for each decision.
pub(crate) fn mapped(
    shapes: &[Shape],
    keys: &[Key],
    choices: &[Vec<u8>],
    reach: Reach,
) -> (Mapping, Vec<Expected>) {
    let mut mapping = Mapping::default();
    let mut all = Vec::new();
    let mut rest = 0;
    // Rows of two tables can be one table's where both are found by their numbers and neither has a key.
    let alike = |shape: &Shape| !matches!(shape.2, 1..=3);
    if let [one, two, ..] = shapes
        && alike(one)
        && alike(two)
        && choices[0][20].is_multiple_of(2)
    {
        all.push(Table::new(&choices[0], reach).united(&named(0, one), &named(1, two), &mut mapping));
        rest = 2;
    }
    for (at, (shape, choices)) in shapes.iter().zip(choices.iter().cycle()).enumerate().skip(rest) {
        let made = named(at, shape);
        // What refers to another's key becomes what that becomes.
        let refers = keys.iter().any(|key| key.child == at && key.columns.contains(&made.1[0]));
        let identified = matches!(shape.2, 1 | 2) && !refers;
        all.extend(Table::new(choices, reach).alone(&made, identified, &mut mapping));
    }
    (mapping, all)
}

/// The decisions about one table.
struct Table<'a> {
    choices: &'a [u8],
    reach: Reach,
    map: TableMap,
    columns: Vec<(String, String)>,
    /// By column, what is read for it.
    cells: Vec<String>,
}

impl<'a> Table<'a> {
    fn new(choices: &'a [u8], reach: Reach) -> Table<'a> {
        Table { choices, reach, map: TableMap::default(), columns: Vec::new(), cells: Vec::new() }
    }

    fn choice(&self, at: usize) -> u8 {
        self.choices[at % self.choices.len()]
    }

    /// What becomes of the columns: `first` of them stay, and only where `computes` does one become an expression.
    fn columns(&mut self, names: &[String], first: usize, computes: bool) {
        for (at, name) in names.iter().enumerate() {
            let column = quoted(name);
            let mut own = ColumnMap::default();
            let mut cell = column.clone();
            match self.choice(at) % 8 {
                0 | 1 if at >= first => {
                    self.map.columns.insert(name.clone(), ColumnMap { drop: true, ..own });
                    continue;
                }
                2 | 3 if at >= first && computes => {
                    cell = match self.choice(at + 7) % 4 {
                        0 => format!("typeof({column}) -- its class"),
                        1 => format!("coalesce({column}, 'none')"),
                        2 => format!("CASE WHEN typeof({column}) = 'text' THEN {column} ELSE 1 END"),
                        _ => format!("{column} IS NULL"),
                    };
                    own.value = Some(cell.clone());
                }
                _ => {}
            }
            let to = match self.choice(at + 3) % 12 {
                0 => format!("new {at}"),
                // A name that every target takes.
                3 | 6 | 9 => format!("new_{at}"),
                _ => name.clone(),
            };
            own.to = (to != *name).then(|| to.clone());
            if self.reach == Reach::All {
                (own.r#type, own.policy) = self.wish(at);
            }
            if own != ColumnMap::default() {
                self.map.columns.insert(name.clone(), own);
            }
            self.columns.push((name.clone(), to));
            self.cells.push(format!("({cell}\n)"));
        }
    }

    /// A type and a policy, for some columns.
    fn wish(&self, at: usize) -> (Option<LogicalType>, Option<Policy>) {
        const TYPES: [&str; 11] = [
            "bigint",
            "integer",
            "double precision",
            "numeric",
            "numeric(6,2)",
            "text",
            "varchar(3)",
            "boolean",
            "uuid",
            "bytea",
            "date",
        ];
        const POLICIES: [Policy; 4] = [Policy::Bytea, Policy::Escape, Policy::Escape, Policy::Refuse];
        let (ty, policy) = (usize::from(self.choice(at + 5)), usize::from(self.choice(at + 9)));
        let ty = TYPES.get(ty % 40).map(|ty| ty.parse().unwrap());
        (ty, POLICIES.get(policy % 24).copied())
    }

    fn select(&self, table: &str, cells: &[String], filter: &str) -> String {
        format!("SELECT {} FROM {} WHERE {filter}", cells.join(", "), quoted(table))
    }

    fn expected(&self, name: &str, target: &str, select: String) -> Expected {
        Expected { table: (name.to_owned(), target.to_owned()), columns: self.columns.clone(), select }
    }

    /// Two tables as one, whose columns are those of both: where one has none of a name, a value of the mapping's.
    fn united(
        mut self,
        one: &(String, Vec<String>),
        two: &(String, Vec<String>),
        mapping: &mut Mapping,
    ) -> Expected {
        let has = |names: &[String], name: &String| names.iter().any(|own| own.eq_ignore_ascii_case(name));
        let mut names = one.1.clone();
        names.extend(two.1.iter().filter(|name| !has(&one.1, name)).cloned());
        self.columns(&names, 0, false);
        let mut selects = Vec::new();
        for (at, (table, own)) in [one, two].into_iter().enumerate() {
            let mut part = PartMap::default();
            let mut cells = Vec::new();
            for (name, _) in &self.columns {
                if has(own, name) {
                    cells.push(quoted(name));
                    continue;
                }
                let value = ["NULL", "'none'", "7"][usize::from(self.choice(at + 2)) % 3];
                part.values.insert(name.clone(), value.to_owned());
                cells.push(value.to_owned());
            }
            let mut filter = "1".to_owned();
            if self.choice(at + 15).is_multiple_of(3) {
                filter = format!("{} IS NOT NULL", quoted(&own[0]));
                part.filter = Some(filter.clone());
            }
            selects.push(self.select(table, &cells, &filter));
            if part != PartMap::default() {
                self.map.parts.insert(table.clone(), part);
            }
        }
        let expected = self.expected("both of them", "both of them", selects.join(" UNION ALL "));
        let map = TableMap { from: vec![one.0.clone(), two.0.clone()], ..self.map };
        mapping.tables.insert("both of them".into(), map);
        expected
    }

    /// One table as one, or as two halves.
    fn alone(
        mut self,
        (table, names): &(String, Vec<String>),
        identified: bool,
        mapping: &mut Mapping,
    ) -> Vec<Expected> {
        // The first two may be keys, which are not dropped, and whose new values would have to be keys.
        self.columns(names, 2, true);
        if self.choice(11).is_multiple_of(4) {
            let value = ColumnMap { value: Some("1 + 1".into()), ..ColumnMap::default() };
            self.map.columns.insert("made".into(), value);
            self.columns.push(("made".into(), "made".into()));
            self.cells.push("2".into());
        }
        let first = quoted(&names[0]);
        if self.choice(13).is_multiple_of(3) {
            let halves = [
                format!("{first} IS NULL OR typeof({first}) = 'text'"),
                format!("NOT ({first} IS NULL OR typeof({first}) = 'text')"),
            ];
            let half = |(at, filter): (usize, &String)| {
                let name = format!("{table} half {at}");
                let map =
                    TableMap { from: vec![table.clone()], filter: Some(filter.clone()), ..self.map.clone() };
                mapping.tables.insert(name.clone(), map);
                self.expected(&name, &name, self.select(table, &self.cells, filter))
            };
            return halves.iter().enumerate().map(half).collect();
        }
        if self.reach == Reach::All && identified && self.choice(21).is_multiple_of(3) {
            let column = self.map.columns.entry(names[0].clone()).or_default();
            *column = ColumnMap { to: column.to.take(), ids: Some(Ids::Uuid5), ..ColumnMap::default() };
        }
        let filter = match self.choice(17) % 4 {
            0 => Some(format!("{first} IS NOT NULL")),
            1 => Some(format!("typeof({first}) <> 'integer' OR {first} % 2 = 0")),
            _ => None,
        };
        let number = table.rsplit(' ').next().unwrap_or_default();
        let to = match self.choice(19) % 16 {
            0 => Some(format!("renamed {table}")),
            even if even % 2 == 0 => Some(format!("Renamed_{number}")),
            _ => None,
        };
        let select = self.select(table, &self.cells, filter.as_deref().unwrap_or("1"));
        let found = self.expected(table, to.as_deref().unwrap_or(table), select);
        mapping.tables.insert(table.clone(), TableMap { to, filter, ..self.map });
        vec![found]
    }
}
