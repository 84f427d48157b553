//! Presets: configuration for known applications, inside the binary.
//!
//! A preset is a `switchover.toml` like any other, one layer below the file. It says what becomes of
//! tables and columns, and which tables are taken, and names no store and no other preset. Its first lines of comment say what
//! it is for. Messages call its place `preset NAME, line N`.

use super::{Given, Layer, file, invalid, near};
use switchover_core::{Error, Result};

/// How messages begin the name of a preset's text.
const PLACE: &str = "preset ";

/// What is shipped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preset {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its TOML.
    pub(crate) text: &'static str,
}

/// All presets, by name.
pub(crate) const PRESETS: &[Preset] = &[
    Preset { name: "cortex-core", text: include_str!("../../presets/cortex-core.toml") },
    Preset { name: "cortex-core-postgres", text: include_str!("../../presets/cortex-core-postgres.toml") },
    Preset { name: "cortex-core-weaviate", text: include_str!("../../presets/cortex-core-weaviate.toml") },
    Preset { name: "gremlins", text: include_str!("../../presets/gremlins.toml") },
];

impl Preset {
    /// What it is for: its comment's first sentence.
    pub(crate) fn about(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix("# "));
        lines.collect::<Vec<_>>().join(" ")
    }

    fn layer(&self) -> Result<Layer> {
        file::parse(self.text, &format!("{PLACE}{}", self.name))
    }
}

/// The preset of that name, or the nearest.
pub(crate) fn find(name: &str, at: impl std::fmt::Display) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        invalid(at).detail(format!("there is no preset '{name}'")).hint(near::hint(name, &names))
    })
}

/// The layer of the preset that is asked for; empty when none is.
pub(super) fn layer(asked: Option<(&str, &Given)>) -> Result<Layer> {
    match asked {
        Some((name, given)) => find(name, &given.origin)?.layer(),
        None => Ok(Layer::default()),
    }
}

/// Adds to an error about a preset how to have another one.
pub(crate) fn advise(error: Error) -> Error {
    let place = error.subject().store.clone();
    let Some(name) = place.strip_prefix(PLACE).and_then(|rest| rest.split_once(',')).map(|(name, _)| name)
    else {
        return error;
    };
    let known = error.what_to_do().to_owned();
    let first = if known.is_empty() { known } else { format!("{known}; ") };
    error.hint(format!(
        "{first}where the data differs from what the preset expects, write `switchover presets show {name} > \
         switchover.toml`, change it there, and leave --preset out"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_mapping_and_says_what_it_is_for() {
        for preset in PRESETS {
            let layer = preset.layer().map_err(|error| error.to_string()).ok();
            let layer = layer.unwrap_or_default();
            assert!(!layer.mapping.is_empty(), "{} is understood", preset.name);
            let only_tables = layer.given.keys().all(|key| *key == crate::config::Key::Tables);
            assert!(only_tables, "{} names no store and no preset", preset.name);
            assert!(preset.about().ends_with('.'), "{}: {}", preset.name, preset.about());
        }
    }
}
