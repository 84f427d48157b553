//! `[cutover]` of the file: how the application is told where its data is.
//!
//! Invariants: no message holds a value that is to be set; a value `env:NAME` is looked up when the configuration is resolved, so that one
//! that is missing is known before anything is done.

use super::section::{Entry, entries};
use super::{Environment, Key, Layer, Origin, Raw, file::Reader};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::time::Duration;
use switchover::routing::{Command, EnvFile, Hooks, Routing};
use switchover_core::Result;
use toml::de::DeTable;

const KEYS: [&str; 5] = ["route", "env_file", "set", "hooks", "hook_timeout"];
const MOMENTS: [&str; 4] = ["before", "at", "after", "alarm"];

/// Longer, and a cutover waits for a command that will not end.
const HOOK_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// The section as written. Not `Debug`: it holds secrets.
#[derive(Clone, Default)]
pub(crate) struct Cutover {
    env_file: Option<(String, Origin)>,
    set: Vec<(String, SecretString, Origin)>,
    hooks: Hooks,
}

/// Reads the section.
pub(super) fn read(reader: &Reader<'_>, table: &DeTable<'_>, layer: &mut Layer) -> Result<()> {
    let cutover = &mut layer.cutover;
    for entry in entries(reader, "cutover", table) {
        match entry.word {
            "route" => {
                let given = super::Given { raw: Raw::Text(entry.text()?), origin: entry.origin() };
                layer.given.insert(Key::Route, given);
            }
            "env_file" => cutover.env_file = Some((entry.text()?, entry.origin())),
            "set" => {
                for variable in entry.section("a section, such as { DATABASE_URL = \"…\" }")? {
                    let value = variable.text()?.into();
                    cutover.set.push((variable.word.to_owned(), value, variable.origin()));
                }
            }
            "hooks" => {
                for moment in entry.section("a section, such as { before = [\"…\"] }")? {
                    let commands = commands(&moment)?;
                    match moment.word {
                        "before" => cutover.hooks.before = commands,
                        "at" => cutover.hooks.at = commands,
                        "after" => cutover.hooks.after = commands,
                        "alarm" => cutover.hooks.alarm = commands,
                        _ => return Err(moment.unknown(&MOMENTS)),
                    }
                }
            }
            "hook_timeout" => {
                cutover.hooks.timeout = entry.span()?;
                if cutover.hooks.timeout > HOOK_TIMEOUT_MAX {
                    return Err(entry.wrong("it must be at most an hour: the cutover waits for it"));
                }
            }
            _ => return Err(entry.unknown(&KEYS)),
        }
    }
    match (&cutover.env_file, cutover.set.first()) {
        (None, Some((.., origin))) => Err(super::invalid(origin)
            .detail("cutover.set: there is no file to set it in")
            .hint("name one with `env_file` in [cutover]")),
        (Some((_, origin)), None) => Err(super::invalid(origin)
            .detail("cutover.env_file: there is nothing to set in it")
            .hint("say what with `set` in [cutover]")),
        _ => Ok(()),
    }
}

fn commands(moment: &Entry<'_, '_>) -> Result<Vec<Command>> {
    let one = |item: &Entry<'_, '_>| {
        if item.is_list() {
            let words = item.list("a list of words")?.iter().map(Entry::text).collect::<Result<Vec<_>>>()?;
            if words.first().is_none_or(String::is_empty) {
                return Err(item.wrong("the command is empty"));
            }
            return Ok(Command::Program(words));
        }
        let text = item.text()?;
        if text.trim().is_empty() {
            return Err(item.wrong("the command is empty"));
        }
        Ok(Command::Shell(text))
    };
    moment.list("a list of commands, such as [\"systemctl restart app\"]")?.iter().map(one).collect()
}

impl Cutover {
    /// The section with its variables looked up. `route` is decided already.
    pub(super) fn resolve(&self, route: Option<PathBuf>, environment: &Environment) -> Result<Routing> {
        let value = |(name, value, origin): &(String, SecretString, Origin)| {
            let value = match value.expose_secret().strip_prefix("env:") {
                Some(variable) => environment.require(variable, origin)?.into(),
                None => value.clone(),
            };
            Ok((name.clone(), value))
        };
        let set = self.set.iter().map(value).collect::<Result<Vec<_>>>()?;
        let env_file =
            self.env_file.as_ref().map(|(path, _)| EnvFile { path: environment.folder().join(path), set });
        Ok(Routing { route, env_file, hooks: self.hooks.clone() })
    }
}
