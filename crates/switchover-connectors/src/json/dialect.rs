//! What a dump can say of a source's schema: the planner's view of JSON as a target. Pure.
//!
//! A dump holds rows and no rules, so every rule is listed as left out. Each value gets the form that the source
//! side reads back as the same value: truth values and JSON columns their own forms of JSON, everything else as
//! its storage class has it, so that nothing depends on what a column was declared.

use super::form::Form;
use switchover_core::census::{ColumnCensus, Interest};
use switchover_core::codec::Codec;
use switchover_core::connector::{Choice, Dialect, ScopeColumn};
use switchover_core::expr::Expr;
use switchover_core::plan::{LogicalType, TablePlan};
use switchover_core::reverse;
use switchover_core::schema::{Column, Generated, Index, View};

/// Columns of one table: what the source side reads (`survey::COLUMNS_MAX`).
const COLUMNS_MAX: usize = super::survey::COLUMNS_MAX;

/// JSON limits no name; one longer than this is a mistake somewhere.
const IDENTIFIER_BYTES_MAX: usize = 1 << 16;

const NO_RULES: &str = "a dump holds rows, and no rules about them";

/// The dialect of a dump.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonDialect {
    pub(super) form: Form,
}

fn choice(r#type: LogicalType, codec: Codec, why: impl Into<String>) -> Choice {
    Choice { r#type, codec, why: why.into() }
}

/// A column whose store sees to it what every value is.
fn choose_typed(kind: LogicalType, column: &Column, census: &ColumnCensus) -> Choice {
    let declared = |how: &str| format!("declared {}: {how}", column.declared);
    match kind {
        // Beside a tagged NaN they would be read again as JSON, and the NaN as an object.
        LogicalType::Numeric(_)
            if census.decimals_special > 0 && census.decimals_long > census.decimals_special =>
        {
            let how = format!(
                "as text, because {} values are no numbers (NaN, infinity) and {} others have more digits than a double holds",
                census.decimals_special,
                census.decimals_long - census.decimals_special
            );
            choice(LogicalType::Text, reverse::decimal_text(), declared(&how))
        }
        LogicalType::Numeric(_) => {
            choice(kind, reverse::decimal_text(), declared("numbers with all their digits"))
        }
        LogicalType::Json | LogicalType::Jsonb => {
            choice(LogicalType::Jsonb, Codec::JsonText, declared("as JSON"))
        }
        _ => match reverse::of_kind(kind) {
            Some(codec) if kind == LogicalType::Bool => choice(kind, codec, declared("true and false")),
            Some(codec) => choice(kind, codec, declared("as text")),
            None => choose(column, census),
        },
    }
}

/// A column whose cells each have a type of their own.
fn choose(column: &Column, census: &ColumnCensus) -> Choice {
    let present = census.present();
    let interest = Interest::of_declared(&column.declared);
    if interest == Interest::Boolean
        && census.integers == present
        && census.integers_not_boolean == 0
        && present > 0
    {
        return choice(LogicalType::Bool, Codec::BoolInt, "declared boolean, all values are 0 or 1");
    }
    if interest == Interest::Json && census.texts == present && present > 0 {
        let json = census.json_fit + census.json_lossy == present;
        if json && !census.json_kinds.reads_as_json() {
            let why = "declared JSON, and all values are plain ones of one kind: read again as JSON they would be those, so they stay the texts that they are";
            return choice(LogicalType::Text, Codec::Plain, why);
        }
        if json {
            return choice(LogicalType::Jsonb, Codec::JsonText, "declared JSON, all values are JSON");
        }
        let why = "declared JSON, but not all values are: they stay texts";
        return choice(LogicalType::Text, Codec::Plain, why);
    }
    match census.classes().as_slice() {
        [] => choice(LogicalType::Any, Codec::Plain, "no values yet"),
        [("integer", _)] => choice(LogicalType::Int8, Codec::Int, "all values are integers"),
        [("real", _)] => choice(LogicalType::Float8, Codec::Plain, "all values are reals"),
        [("text", _)] => choice(LogicalType::Text, Codec::Plain, "all values are text"),
        [("blob", _)] => choice(LogicalType::Bytea, Codec::Plain, "all values are blobs"),
        _ => choice(LogicalType::Any, Codec::Plain, "values of several kinds, each in its own form"),
    }
}

impl Dialect for JsonDialect {
    fn identifier_bytes_max(&self) -> usize {
        IDENTIFIER_BYTES_MAX
    }

    fn columns_max(&self) -> usize {
        COLUMNS_MAX
    }

    fn takes(&self, logical: LogicalType, codec: &Codec) -> bool {
        use LogicalType::{Any, Bool, Bytea, Float8, Int8, Jsonb, Text, Varchar};
        if matches!(codec, Codec::Reverse { .. }) {
            return true;
        }
        matches!(logical, Any | Bool | Bytea | Float8 | Int8 | Jsonb | Text | Varchar(_))
            && matches!(
                codec,
                Codec::Plain
                    | Codec::JsonText
                    | Codec::Json
                    | Codec::Int
                    | Codec::Float
                    | Codec::Text { .. }
                    | Codec::TextEscaped { .. }
                    | Codec::TextBytes
                    | Codec::Bytes
                    | Codec::BoolInt
                    | Codec::BoolText { .. }
                    | Codec::Uuid5 { text: true, .. }
            )
    }

    fn place(&self, _: &str) -> (String, &'static str) {
        ("the target's place".to_owned(), "name a file or folder that is not there yet")
    }

    fn folded(&self, name: &str) -> String {
        self.form.folded(name)
    }

    fn is_reserved_name(&self, name: &str) -> bool {
        self.form.refuses(name)
    }

    fn names_constraints(&self) -> bool {
        false
    }

    fn keeps_no_rules(&self) -> Option<&'static str> {
        Some(NO_RULES)
    }

    fn choose(&self, column: &Column, census: &ColumnCensus) -> Choice {
        match column.kind {
            Some(kind) => choose_typed(kind, column, census),
            None => choose(column, census),
        }
    }

    fn translate_default(&self, _: &Column, _: LogicalType) -> Result<String, String> {
        Err(NO_RULES.into())
    }

    fn translate_generated(
        &self,
        _: &Generated,
        _: LogicalType,
        _: &[ScopeColumn],
    ) -> Result<String, String> {
        Err("a dump computes nothing".into())
    }

    fn translate_check(&self, _: &Expr, _: &[ScopeColumn]) -> Result<String, String> {
        Err(NO_RULES.into())
    }

    fn translate_index(&self, _: &Index, _: &[ScopeColumn]) -> Result<(Vec<String>, Option<String>), String> {
        Err(NO_RULES.into())
    }

    fn translate_view(&self, _: &View, _: &[TablePlan], _: &str) -> Result<String, String> {
        Err("a dump holds rows, and no queries".into())
    }
}
