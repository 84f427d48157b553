//! That every field of a plan stands in docs/reference/plan.md, and every codec.
//!
//! The names are taken from the source itself, so a new one cannot be forgotten. Absent on purpose: whether what is said of
//! each is right, which only a reader can tell.
#![allow(clippy::unwrap_used, clippy::panic, clippy::allow_attributes, reason = "tests")]

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/reference/plan.md");

/// Words that stand in the page as names: between backticks.
fn named() -> BTreeSet<&'static str> {
    let spans = PAGE.split('`').skip(1).step_by(2);
    spans.flat_map(|span| span.split(|c: char| !(c.is_alphanumeric() || c == '_'))).collect()
}

/// The body of a type's declaration, without comments and attributes.
fn body<'s>(source: &'s str, declaration: &str) -> impl Iterator<Item = &'s str> + use<'s> {
    let at = source.find(declaration).unwrap_or_else(|| panic!("there is no {declaration}"));
    let text = source[at..].split_once('\n').unwrap().1;
    let text = text.split_once("\n}").unwrap().0;
    text.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.starts_with('#'))
}

/// `LeftOut` as serde writes it.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[track_caller]
fn check(what: &str, names: impl Iterator<Item = String>) {
    let page = named();
    let missing: Vec<String> = names.filter(|name| !page.contains(name.as_str())).collect();
    assert_eq!(missing, Vec::<String>::new(), "of {what}, docs/reference/plan.md does not name these");
}

#[test]
fn every_field_of_a_plan_is_documented() {
    let plan = include_str!("../src/plan.rs");
    let existing = include_str!("../src/existing.rs");
    for (source, name) in [
        (plan, "PlanOptions"),
        (plan, "Plan"),
        (plan, "Fingerprint"),
        (plan, "TablePlan"),
        (plan, "PreviewRow"),
        (plan, "PreviewCell"),
        (plan, "OrphanPlan"),
        (plan, "ColumnPlan"),
        (plan, "KeyPlan"),
        (plan, "IndexPlan"),
        (plan, "ForeignKeyPlan"),
        (plan, "CheckPlan"),
        (plan, "ViewPlan"),
        (plan, "TriggerPlan"),
        (plan, "Outcome"),
        (plan, "Refusal"),
        (plan, "DiskPlan"),
        (plan, "MemoryPlan"),
        (existing, "Standing"),
        (existing, "Rebuilt"),
    ] {
        let fields = body(source, &format!("pub struct {name} {{"));
        let fields = fields.filter_map(|line| line.strip_prefix("pub ")?.split_once(':'));
        check(name, fields.map(|(field, _)| field.trim_start_matches("r#").to_owned()));
    }
}

#[test]
fn every_codec_and_its_parameters_are_documented() {
    for (source, name) in [
        (include_str!("../src/codec.rs"), "Codec"),
        (include_str!("../src/native.rs"), "Native"),
        (include_str!("../src/native/forms.rs"), "VectorForm"),
        (include_str!("../src/plan.rs"), "Fate"),
        (include_str!("../src/plan.rs"), "Policy"),
    ] {
        let lines = body(source, &format!("pub enum {name} {{"));
        let names = lines.filter_map(|line| {
            let end = line.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(line.len());
            (end > 0).then(|| snake(&line[..end]))
        });
        check(name, names);
    }
}
