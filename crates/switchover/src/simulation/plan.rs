//! The plan of the model's tables: an integer key, a unique integer, another integer. One is read in the order of its key, the
//! other as its rows lie.

use switchover_core::census::ColumnCensus;
use switchover_core::codec::Codec;
use switchover_core::plan::{
    ColumnPlan, DiskPlan, Fingerprint, KeyPlan, LogicalType, PLAN_FORMAT, Plan, Policy, TablePlan,
};
use switchover_core::schema::{Locator, StoreInfo};

fn column(name: &str) -> ColumnPlan {
    ColumnPlan {
        source: name.into(),
        target: name.into(),
        declared: "INTEGER".into(),
        collation: "BINARY".into(),
        added: false,
        r#type: LogicalType::Int8,
        codec: Codec::Int,
        not_null: true,
        whole_row: false,
        default: None,
        generated: None,
        generated_virtual: false,
        identity_next: None,
        identity_sequence: None,
        policy: Policy::Refuse,
        exceptions: 0,
        why: String::new(),
        census: ColumnCensus::default(),
    }
}

/// The table that is read by place.
pub(super) const BY_PLACE: usize = 1;

/// The name of a row's place.
pub(super) const PLACE: &str = "rowid";

fn table(name: &str, locator: &str) -> TablePlan {
    TablePlan {
        source: name.into(),
        target: name.into(),
        rows: 0,
        bytes: 0,
        locator: Locator::RowId(locator.into()),
        columns: vec![column("id"), column("u"), column("v")],
        primary_key: Some(KeyPlan::plain(format!("{name}_pkey"), vec!["id".into()])),
        uniques: vec![KeyPlan::plain(format!("{name}_u"), vec!["u".into()])],
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        clauses: Vec::new(),
        orphans: Vec::new(),
        parts: Vec::new(),
        preview: Vec::new(),
        standing: None,
    }
}

/// The plan.
pub(super) fn plan() -> Plan {
    Plan {
        format: PLAN_FORMAT,
        made_by: "model".into(),
        made_at: String::new(),
        options: crate::settings::Settings::default().plan,
        source: Fingerprint {
            store: StoreInfo::default(),
            schema_hash: String::new(),
            content_hash: String::new(),
            rows: 0,
            bytes: 0,
        },
        target: StoreInfo::default(),
        target_schema: None,
        tables: vec![table("item", "id"), table("part", PLACE)],
        views: Vec::new(),
        triggers: Vec::new(),
        outcomes: Vec::new(),
        refusals: Vec::new(),
        disk: DiskPlan::default(),
        memory: None,
        estimate_s: 0.0,
    }
}
