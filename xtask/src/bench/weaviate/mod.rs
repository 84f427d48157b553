//! `cargo xtask bench weaviate`: loading a chat's messages into Weaviate, beside the server's limit and its official
//! client, and reading them back.
//!
//! Invariants: one server, one collection with one definition, made anew for each load; the contestants take turns within
//! each round; a load that did not store every object has no time; figures are medians and are compared as ratios. The
//! definition is the one that Switchover makes; where the two differ, its load has no time either.
//! Absent on purpose: a threshold that fails a build.

mod indexes;
mod program;
mod source;
mod table;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Value, json};
use switchover_testkit::Weaviate;

use super::measure::{self, Run};
use crate::{Result, paths};

/// The collection that every contestant fills.
pub(super) const COLLECTION: &str = "Messages";

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many messages.
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// Each with a vector of 384 numbers (a fourth of the messages is enough then).
    #[arg(long)]
    vectors: bool,
    /// Nobody asks for words of the content, which is what a plan makes by default.
    #[arg(long)]
    no_words: bool,
    /// Rounds; the figures are medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// What each index costs, in place of the contestants.
    #[arg(long, conflicts_with = "only")]
    indexes: bool,
    /// Only these contestants (all by default).
    #[arg(long, value_delimiter = ',')]
    only: Vec<Contestant>,
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Contestant {
    /// The official Python client with `fixed_size`, at its best of three settings.
    PythonFixed,
    /// The same with `stream`.
    PythonStream,
    /// Switchover's whole `migrate`, without the backup: load and full verification.
    Switchover,
    /// Prepared requests sent again, one at a time; and the raw reading of the whole collection.
    #[value(name = "limit-1")]
    Limit1,
    /// Two at a time.
    #[value(name = "limit-2")]
    Limit2,
    /// Four at a time.
    #[value(name = "limit-4")]
    Limit4,
    /// Eight at a time.
    #[value(name = "limit-8")]
    Limit8,
}

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Self::PythonFixed => "python-fixed",
            Self::PythonStream => "python-stream",
            Self::Switchover => "switchover",
            Self::Limit1 => "limit-1",
            Self::Limit2 => "limit-2",
            Self::Limit4 => "limit-4",
            Self::Limit8 => "limit-8",
        }
    }

    /// How many requests are under way at a time, of those that only send.
    fn in_flight(self) -> Option<u32> {
        match self {
            Self::Limit1 => Some(1),
            Self::Limit2 => Some(2),
            Self::Limit4 => Some(4),
            Self::Limit8 => Some(8),
            Self::PythonFixed | Self::PythonStream | Self::Switchover => None,
        }
    }
}

/// One load.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    pub(super) run: Run,
    /// Processor seconds of the client, of all that it did.
    pub(super) cpu_seconds: Option<f64>,
    /// Reading all of it back: raw, or verified.
    pub(super) read_seconds: Option<f64>,
}

/// What every contestant is given.
pub(super) struct Field {
    server: Weaviate,
    source: PathBuf,
    folder: PathBuf,
    messages: u64,
    vectors: bool,
    words: bool,
    switchover: Option<PathBuf>,
    limit: Option<PathBuf>,
}

impl Field {
    /// The collection with nothing in it; gives the seconds that its making took, which are part of each contestant's load.
    fn empty(&self) -> Result<f64> {
        self.drop_all()?;
        settled(&self.server);
        let begun = Instant::now();
        let (status, said) = self.server.rest("POST", "/v1/schema", &self.definition().to_string())?;
        if status != 200 {
            return Err(format!("the server makes no collection: {said}").into());
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// No collection at all, also none of a run's records.
    fn drop_all(&self) -> Result {
        let (_, schema) = self.server.rest("GET", "/v1/schema", "")?;
        let schema: Value = serde_json::from_str(&schema)?;
        for class in schema["classes"].as_array().into_iter().flatten() {
            let name = class["class"].as_str().unwrap_or_default();
            self.server.rest("DELETE", &format!("/v1/schema/{name}"), "")?;
        }
        Ok(())
    }

    /// The collection: words of the content can be found, if they are asked for, and messages of a conversation in their order.
    fn definition(&self) -> Value {
        let property = |name: &str, kind: &str, filterable: bool, words: bool, range: bool| {
            let mut property = json!({
                "name": name, "dataType": [kind], "indexFilterable": filterable, "indexSearchable": words,
                "indexRangeFilters": range,
            });
            if kind == "text" {
                property["tokenization"] = json!(if words { "word" } else { "field" });
            }
            property
        };
        let mut class = json!({
            "class": COLLECTION,
            "properties": [
                property("original_id", "text", false, false, false),
                property("conversation_id", "text", true, false, false),
                property("sender_id", "text", false, false, false),
                property("content", "text", false, self.words, false),
                property("timestamp", "date", true, false, true),
                property("metadata", "text", false, false, false),
            ],
        });
        class["vectorizer"] = json!("none");
        if !self.vectors {
            // Without vectors the index of vectors costs nothing; it is left as the server makes it.
            return class;
        }
        class["vectorIndexType"] = json!("hnsw");
        class
    }

    /// Whether the collection is as all have it, with every object.
    fn check(&self) -> Result {
        let (_, class) = self.server.rest("GET", &format!("/v1/schema/{COLLECTION}"), "")?;
        let class: Value = serde_json::from_str(&class)?;
        let (wanted, found) = (features(&self.definition()), features(&class));
        if wanted != found {
            return Err(
                format!("its collection differs:\n{found:#?}\nand all others have\n{wanted:#?}").into()
            );
        }
        let query = format!("{{Aggregate{{{COLLECTION}{{meta{{count}}}}}}}}");
        let (_, said) = self.server.rest("POST", "/v1/graphql", &json!({ "query": query }).to_string())?;
        let said: Value = serde_json::from_str(&said)?;
        let count = &said["data"]["Aggregate"][COLLECTION][0]["meta"]["count"];
        if count.as_u64() != Some(self.messages) {
            return Err(format!("{count} objects are there, and {} were sent", self.messages).into());
        }
        Ok(())
    }
}

/// What of a definition costs time.
fn features(class: &Value) -> Vec<String> {
    let of = |property: &Value| {
        let on = |what: &str| property[what].as_bool().unwrap_or(false);
        let is = |what: &str| if on(what) { format!(" {what}") } else { String::new() };
        format!(
            "{} {} {}{}{}{}",
            property["name"].as_str().unwrap_or_default(),
            property["dataType"][0].as_str().unwrap_or_default(),
            property["tokenization"].as_str().unwrap_or_default(),
            is("indexFilterable"),
            is("indexSearchable"),
            is("indexRangeFilters")
        )
    };
    let mut features: Vec<String> = class["properties"].as_array().into_iter().flatten().map(of).collect();
    features.sort();
    features
}

/// Measures.
pub(super) fn run(args: &Args) -> Result {
    let chosen = if args.only.is_empty() { Contestant::value_variants() } else { &args.only };
    if args.indexes {
        return indexes::run(&prepare(args, &[Contestant::Limit2])?, args.runs);
    }
    let field = prepare(args, chosen)?;
    let mut results: Vec<(Contestant, Vec<Load>)> = chosen.iter().map(|who| (*who, Vec::new())).collect();
    let mut setting = None;
    for round in 1..=args.runs {
        // Back and forth, so that nobody always comes behind the same one.
        let mut order: Vec<usize> = (0..results.len()).collect();
        if round % 2 == 0 {
            order.reverse();
        }
        for at in order {
            let (who, done) = &mut results[at];
            if done.iter().any(|load| load.run.failure.is_some()) {
                continue;
            }
            let load = race(&field, *who, &mut setting);
            println!("round {round}: {}", load.run.line(who.name()));
            done.push(load);
        }
    }
    println!("\n{}", table::text(&field, &results));
    let path = table::write_json(&field, &results, setting)?;
    println!("written: {}", path.display());
    Ok(())
}

fn prepare(args: &Args, chosen: &[Contestant]) -> Result<Field> {
    let folder = paths::target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let source = source::database(&folder, args.messages, args.vectors)?;
    let switchover = match chosen.contains(&Contestant::Switchover) {
        true => paths::build_switchover()?,
        false => None,
    };
    let limit = chosen.iter().any(|who| who.in_flight().is_some()).then(program::build_limit).transpose()?;
    let server = Weaviate::builder().on_disk().start()?;
    println!("Weaviate {} on {}", switchover_testkit::weaviate::VERSION, server.http_url());
    Ok(Field {
        server,
        source,
        folder,
        messages: args.messages,
        vectors: args.vectors,
        words: !args.no_words,
        switchover,
        limit,
    })
}

/// One contestant's load; the best setting of the Python client is found in its first.
fn race(field: &Field, who: Contestant, setting: &mut Option<&'static str>) -> Load {
    let load = match (who, who.in_flight()) {
        (_, Some(in_flight)) => program::limit(field, in_flight),
        (Contestant::Switchover, None) => program::switchover(field),
        (Contestant::PythonStream, None) => program::python(field, "stream"),
        (_, None) => program::python_at_its_best(field, setting),
    };
    let load = load.and_then(|load| field.check().map(|()| load));
    load.unwrap_or_else(|error| Load { run: Run::failed(error.to_string()), ..Load::default() })
}

/// Waits until the server has nothing left to do of a load before: its processor time stands still. Nobody pays for
/// what the one before left. Where there is no `/proc`, nothing is waited for.
fn settled(server: &Weaviate) {
    const LOOK: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(60);
    /// Seconds of processor time between two looks: what an idle server uses.
    const IDLE: f64 = 0.1;
    let begun = Instant::now();
    let used = || measure::cpu(Path::new(&format!("/proc/{}/stat", server.process_id()?)));
    let Some(mut before) = used() else { return };
    while begun.elapsed() < LONGEST {
        thread::sleep(LOOK);
        match used() {
            Some(now) if now - before >= IDLE => before = now,
            _ => return,
        }
    }
}
