//! From layers to one value a key.
//!
//! Invariants: flag wins over environment, that over the file, that over the preset, that over the default, key by key
//! (lists replace each other, they are never joined); every error names where the value stands.
//! Nothing is opened but the configuration file itself.

use super::{Environment, Given, Key, Layer, Origin, Raw, StoreRef, file, invalid, near, preset, size, span};
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchover::routing::Routing;
use switchover::settings::{OnFailure, Settings};
use switchover::watch::WatchOptions;
use switchover_core::existing::{ExistingOptions, OnConflict};
use switchover_core::mapping::Mapping;
use switchover_core::moment::EpochUnit;
use switchover_core::names::Naming;
use switchover_core::plan::Policy;
use switchover_core::{Error, Kind, Result};

/// The file that is read when none is named.
const FILE: &str = "switchover.toml";

/// More streams than any machine this runs on has cores; a typing error beyond it is caught.
const JOBS_MAX: usize = 64;

/// More rows than a chunk of the largest size holds; a typing error beyond it is caught.
const BATCH_ROWS_MAX: usize = 1_000_000;

/// With the longest wait between two tries this is days; a typing error beyond it is caught.
const RETRIES_MAX: usize = 100_000;

/// A try that waits longer is no retry; a typing error beyond it (milliseconds, for instance) is caught.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(3600);

/// How progress looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, lines otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// Nothing.
    None,
}

/// What the command line says about configuration.
#[derive(Default)]
pub(crate) struct Request {
    /// The flags that are configuration keys.
    pub(crate) flags: Layer,
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--plan`.
    pub(crate) plan: Option<PathBuf>,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
}

/// Everything that is configured, decided.
pub(crate) struct Resolved {
    /// The source, when one is named.
    pub(crate) from: Option<StoreRef>,
    /// The schema of the source, when one is named.
    pub(crate) from_schema: Option<String>,
    /// The target, when one is named.
    pub(crate) to: Option<StoreRef>,
    /// What the engine is given.
    pub(crate) settings: Settings,
    /// Where a further copy of the report goes.
    pub(crate) report: Option<PathBuf>,
    /// Where what is told goes as well.
    pub(crate) log_file: Option<PathBuf>,
    /// How progress looks.
    pub(crate) progress: ProgressMode,
    /// How the application is told where its data is.
    pub(crate) routing: Routing,
    /// What is watched after the cutover.
    pub(crate) watch: WatchOptions,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
    /// The plan to carry out.
    pub(crate) plan: Option<PathBuf>,
    /// Where connectors look up `PGPASSWORD` and the like: the process's environment and `.env`.
    pub(crate) environment: Environment,
    /// What a user should know, though nothing is wrong.
    pub(crate) warnings: Vec<String>,
}

impl Resolved {
    /// The source, or the error that none is named.
    pub(crate) fn source(&self) -> Result<&StoreRef> {
        self.from.as_ref().ok_or_else(|| missing("source", "from"))
    }

    /// The target, or the error that none is named.
    pub(crate) fn target(&self) -> Result<&StoreRef> {
        self.to.as_ref().ok_or_else(|| missing("target", "to"))
    }
}

fn missing(side: &str, key: &str) -> Error {
    let upper = key.to_uppercase();
    Error::new(Kind::Config, format!("find the {side}"))
        .detail(format!("no {side} is named"))
        .hint(format!("give --{key} URL, set SWITCHOVER_{upper}, or write `{key} = \"…\"` into {FILE}"))
}

/// Decides every key.
pub(crate) fn resolve(request: Request, environment: Environment) -> Result<Resolved> {
    let Request { flags, config, plan, verbosity } = request;
    let above = [flags, environment.layer()?, read_file(config.as_deref(), &environment)?];
    let asked = above.iter().find_map(|layer| layer.given.get(&Key::Preset));
    let preset = preset::layer(asked.map(|given| (text_of(given), given)))?;
    let [flags, variables, file] = above;
    let layers = Layers { layers: [flags, variables, file, preset] };
    let mut warnings = Vec::new();
    let from = layers.store(Key::From, Key::FromEnv, &environment, &mut warnings)?;
    let to = layers.store(Key::To, Key::ToEnv, &environment, &mut warnings)?;
    let from_schema = match layers.text(Key::FromSchema) {
        Some(("", origin)) => return Err(invalid(origin).detail("the schema's name is empty")),
        given => given.map(|(schema, _)| schema.to_owned()),
    };
    let mut settings = Settings::default();
    if let Some((schema, origin)) = layers.text(Key::Schema) {
        if schema.is_empty() {
            return Err(invalid(origin).detail("the schema's name is empty"));
        }
        settings.plan.schema = schema.to_owned();
    } else if let Some(schema) = to.as_ref().and_then(crate::registry::schema_default) {
        settings.plan.schema = schema.to_owned();
    }
    if let Some(names) = layers.choice(Key::Names, &[("keep", Naming::Keep), ("snake", Naming::Snake)])? {
        settings.plan.names = names;
    }
    if let Some(policy) = layers.choice(Key::Policy, POLICIES)? {
        settings.plan.policy = policy;
    }
    // Only the file and the preset have sections for tables.
    let mappings = layers.layers.iter().map(|layer| layer.mapping.clone());
    settings.plan.mapping = mappings.reduce(Mapping::over).unwrap_or_default();
    settings.plan.tables = layers.list(Key::Tables);
    settings.plan.exclude = layers.list(Key::Exclude);
    settings.plan.existing = layers.existing()?;
    if let Some(backup) = layers.choice(Key::Backup, &[("true", true), ("false", false)])? {
        settings.backup = backup;
    }
    if let Some((folder, _)) = layers.text(Key::StateDir) {
        settings.state_dir = PathBuf::from(folder);
    }
    let choices = [("rollback", OnFailure::Rollback), ("keep", OnFailure::Keep)];
    if let Some(on_failure) = layers.choice(Key::OnFailure, &choices)? {
        settings.on_failure = on_failure;
        // What a file says of every run may be other than what this one was begun with.
        settings.on_failure_chosen = matches!(layers.text(Key::OnFailure), Some((_, Origin::Flag(_))));
    }
    settings.jobs = layers.jobs()?;
    if let Some(bytes) = layers.memory()? {
        settings.memory_limit_bytes = bytes;
        settings.memory_limit_chosen = true;
    }
    settings.chunk_rows = layers.batch_rows()?;
    if let Some(tries) = layers.number(Key::MaxRetries, 0..=RETRIES_MAX as u64)? {
        settings.retries.tries_max = usize::try_from(tries).unwrap_or(RETRIES_MAX);
    }
    if let Some(wait) = layers.retry_delay()? {
        settings.retries.wait_min = wait;
    }
    if let Some(rows) = layers.number(Key::ValidationSample, 0..=crate::args::SAMPLE_ROWS_MAX)? {
        settings.validation_rows = rows;
    }
    let environment = layers.api_key_file(to.as_ref(), environment)?;
    let choices = [("auto", ProgressMode::Auto), ("json", ProgressMode::Json), ("none", ProgressMode::None)];
    let progress = layers.choice(Key::Progress, &choices)?.unwrap_or(ProgressMode::Auto);
    let report = layers.text(Key::Report).map(|(path, _)| PathBuf::from(path));
    let log_file = layers.text(Key::LogFile).map(|(path, _)| PathBuf::from(path));
    let route = layers.text(Key::Route).map(|(path, _)| environment.folder().join(path));
    // Only the file has such sections.
    let watch = layers.layers[2].watch.clone();
    let routing = layers.layers[2].cutover.resolve(route, &environment)?;
    Ok(Resolved {
        from,
        from_schema,
        to,
        settings,
        report,
        log_file,
        progress,
        routing,
        watch,
        verbosity,
        plan,
        environment,
        warnings,
    })
}

/// The policies by their names.
pub(super) const POLICIES: &[(&str, Policy)] = &[
    ("refuse", Policy::Refuse),
    ("quarantine", Policy::Quarantine),
    ("bytea", Policy::Bytea),
    ("escape", Policy::Escape),
];

/// What numbers count, by their names.
pub(super) const EPOCHS: &[(&str, EpochUnit)] =
    &[("seconds", EpochUnit::Seconds), ("millis", EpochUnit::Millis), ("micros", EpochUnit::Micros)];

/// The file's layer; empty when none is named and none is there.
fn read_file(named: Option<&Path>, environment: &Environment) -> Result<Layer> {
    let (path, must_exist) = match (named, environment.get("SWITCHOVER_CONFIG")?) {
        (Some(path), _) => (path.to_owned(), true),
        (None, Some(path)) => (PathBuf::from(path), true),
        (None, None) => (PathBuf::from(FILE), false),
    };
    let name = path.display().to_string();
    match std::fs::read_to_string(environment.folder().join(&path)) {
        Ok(text) => file::parse(&text, &name),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => Ok(Layer::default()),
        Err(error) => Err(invalid(&name).detail("the file cannot be read").because(error)),
    }
}

/// Flags, environment, file, preset: in the order in which they win.
struct Layers {
    layers: [Layer; 4],
}

impl Layers {
    fn pick(&self, key: Key) -> Option<&Given> {
        self.layers.iter().find_map(|layer| layer.given.get(&key))
    }

    fn text(&self, key: Key) -> Option<(&str, &Origin)> {
        self.pick(key).map(|given| (text_of(given), &given.origin))
    }

    fn list(&self, key: Key) -> Vec<String> {
        match self.pick(key).map(|given| &given.raw) {
            Some(Raw::List(list)) => list.clone(),
            Some(Raw::Text(one)) => vec![one.clone()],
            None => Vec::new(),
        }
    }

    fn choice<T: Copy>(&self, key: Key, choices: &[(&str, T)]) -> Result<Option<T>> {
        let name =
            super::KEYS.iter().find(|spelling| spelling.key == key).map_or("", |spelling| spelling.file[0]);
        self.pick(key).map(|given| choose(given, name, choices)).transpose()
    }

    /// A store: the first layer that has either its URL or the name of a variable that holds it.
    fn store(
        &self,
        url: Key,
        url_env: Key,
        environment: &Environment,
        warnings: &mut Vec<String>,
    ) -> Result<Option<StoreRef>> {
        for layer in &self.layers {
            let (name, origin) = match (layer.given.get(&url), layer.given.get(&url_env)) {
                (None, None) => continue,
                (Some(given), Some(other)) => {
                    let detail = format!("the same store stands in {} already", other.origin);
                    return Err(invalid(&given.origin).detail(detail).hint("keep one of the two"));
                }
                (None, Some(given)) => (text_of(given).to_owned(), &given.origin),
                (Some(given), None) => match text_of(given).trim().strip_prefix("env:") {
                    Some(name) => (name.to_owned(), &given.origin),
                    None => {
                        let store = StoreRef::new(text_of(given), given.origin.clone());
                        if store.expose().is_empty() {
                            return Err(invalid(&given.origin).detail("the URL is empty"));
                        }
                        if let (Origin::Flag(flag), true) = (&given.origin, store.has_password()) {
                            warnings.push(visible_password(flag));
                        }
                        return Ok(Some(store));
                    }
                },
            };
            let value = environment.require(&name, origin)?;
            if value.trim().starts_with("env:") {
                let detail = format!("the variable {name} holds 'env:…' again, not a URL");
                return Err(invalid(origin).detail(detail));
            }
            return Ok(Some(StoreRef::new(&value, Origin::Variable(name))));
        }
        Ok(None)
    }

    /// What is asked for where the target's own tables are filled.
    fn existing(&self) -> Result<Option<ExistingOptions>> {
        let into = self.choice(Key::Into, &[("new", false), ("existing", true)])?.unwrap_or(false);
        let on_conflict = self.choice(
            Key::OnConflict,
            &[("refuse", OnConflict::Refuse), ("replace", OnConflict::Replace), ("keep", OnConflict::Keep)],
        )?;
        let rebuild = self.choice(Key::Rebuild, &[("true", true), ("false", false)])?;
        let utc = self.choice(Key::NaiveTimes, &[("refuse", false), ("utc", true)])?;
        let epoch = self.choice(Key::Epoch, EPOCHS)?;
        let cut_fractions = self.choice(Key::Fractions, &[("refuse", false), ("cut", true)])?;
        if into {
            return Ok(Some(ExistingOptions {
                on_conflict: on_conflict.unwrap_or_default(),
                rebuild: rebuild.unwrap_or_default(),
                utc: utc.unwrap_or_default(),
                epoch,
                cut_fractions: cut_fractions.unwrap_or_default(),
                live: false,
            }));
        }
        let alone = [Key::OnConflict, Key::Rebuild, Key::NaiveTimes, Key::Epoch, Key::Fractions];
        match alone.into_iter().find_map(|key| self.pick(key)) {
            None => Ok(None),
            Some(given) => Err(invalid(&given.origin)
                .detail("it is about tables that are there already, and the tables are to be made")
                .hint("say --into existing as well, or leave it out")),
        }
    }

    fn jobs(&self) -> Result<Option<usize>> {
        let Some((text, origin)) = self.text(Key::Jobs) else { return Ok(None) };
        match text.trim().parse::<usize>() {
            Ok(jobs) if (1..=JOBS_MAX).contains(&jobs) => Ok(Some(jobs)),
            _ => Err(invalid(origin)
                .detail(format!("jobs (or workers) is '{text}'; it must be from 1 to {JOBS_MAX}"))),
        }
    }

    fn batch_rows(&self) -> Result<Option<usize>> {
        match self.text(Key::BatchSize) {
            None | Some(("auto", _)) => Ok(None),
            Some((text, origin)) => match text.trim().parse::<usize>() {
                Ok(rows) if (1..=BATCH_ROWS_MAX).contains(&rows) => Ok(Some(rows)),
                _ => Err(invalid(origin).detail(format!(
                    "batch_size is '{text}'; it must be auto, or from 1 to {BATCH_ROWS_MAX} rows"
                ))),
            },
        }
    }

    /// A whole number within bounds.
    fn number(&self, key: Key, bounds: std::ops::RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some((text, origin)) = self.text(key) else { return Ok(None) };
        match text.trim().parse::<u64>() {
            Ok(number) if bounds.contains(&number) => Ok(Some(number)),
            _ => {
                let name = super::KEYS.iter().find(|spelling| spelling.key == key);
                let name = name.map_or("", |spelling| spelling.file[0]);
                let (least, most) = (bounds.start(), bounds.end());
                Err(invalid(origin).detail(format!("{name} is '{text}'; it must be from {least} to {most}")))
            }
        }
    }

    /// A bare number counts seconds here, as the option's name in other tools has it.
    fn retry_delay(&self) -> Result<Option<Duration>> {
        let Some((text, origin)) = self.text(Key::RetryDelay) else { return Ok(None) };
        let bare = text.trim().parse::<f64>().is_ok();
        let wait = span::parse(&if bare { format!("{}s", text.trim()) } else { text.to_owned() });
        match wait {
            Ok(wait) if wait <= RETRY_DELAY_MAX => Ok(Some(wait)),
            _ => Err(invalid(origin)
                .detail(format!("retry_delay is '{text}'; it must be from 1ms to 1h"))
                .hint("a bare number counts seconds; or write a unit, such as 500ms")),
        }
    }

    /// The file of the target's API key, where the connector looks for it. A target without one has no use for it.
    fn api_key_file(&self, to: Option<&StoreRef>, environment: Environment) -> Result<Environment> {
        let Some((path, origin)) = self.text(Key::ApiKeyFile) else { return Ok(environment) };
        let wrong = |detail: &str, hint: &str| Err(invalid(origin).detail(detail).hint(hint));
        if path.is_empty() {
            return wrong("the file's name is empty", "name the file that holds the key alone");
        }
        match to.map(crate::registry::api_key) {
            // The URL comes from the journal, or is missing, which is said where it is needed.
            None => {}
            Some(None) => {
                return wrong(
                    "it is about a Weaviate target, and the target is another kind of store",
                    "leave it out; a password goes into PGPASSWORD, ~/.pgpass or env:NAME",
                );
            }
            Some(Some(true)) => {
                return wrong("the target's URL names such a file too", "keep one of the two");
            }
            Some(Some(false)) => {}
        }
        Ok(environment.with("WEAVIATE_API_KEY_FILE", path))
    }

    fn memory(&self) -> Result<Option<u64>> {
        let Some((text, origin)) = self.text(Key::MemoryLimit) else { return Ok(None) };
        let bytes = size::parse(text).map_err(|why| invalid(origin).detail(why))?;
        if bytes < size::MEMORY_BYTES_MIN {
            let least = size::MEMORY_BYTES_MIN / 1_000_000;
            let detail = format!("memory_limit is '{text}'; no run works within less than {least}MB");
            return Err(invalid(origin)
                .detail(detail)
                .hint("a bare number counts bytes; write a unit, such as 100MB"));
        }
        Ok(Some(bytes))
    }
}

fn text_of(given: &Given) -> &str {
    match &given.raw {
        Raw::Text(text) => text,
        Raw::List(list) => list.first().map_or("", String::as_str),
    }
}

pub(super) fn choose<T: Copy>(given: &Given, key: &str, choices: &[(&str, T)]) -> Result<T> {
    let text = text_of(given);
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let detail = format!("{key} is '{text}'; it must be {}", words.join(" or "));
    let error = invalid(&given.origin).detail(detail);
    Err(match near::nearest(text, words.iter().copied()) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error,
    })
}

fn visible_password(flag: &str) -> String {
    format!(
        "the password in {flag} can be read by every user of this machine (ps) and stays in the \
         shell's history; use {flag} env:NAME, PGPASSWORD, ~/.pgpass, or url_env in {FILE}"
    )
}
