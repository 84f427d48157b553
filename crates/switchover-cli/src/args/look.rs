//! The arguments of the verbs that look at stores and change nothing.

use super::Stores;
use clap::Subcommand;
use std::path::PathBuf;

/// `search`.
#[derive(clap::Args)]
pub(crate) struct SearchArgs {
    /// The words.
    #[arg(value_name = "WORDS")]
    pub(crate) words: Option<String>,
    /// The store: weaviate://host:8080?grpc=50051, or env:NAME.
    #[arg(long, value_name = "URL", help_heading = "Stores")]
    pub(crate) to: Option<String>,
    /// The file that holds the API key, and nothing else [default: WEAVIATE_API_KEY].
    #[arg(long, value_name = "FILE", help_heading = "Stores")]
    pub(crate) api_key_file: Option<String>,
    /// The collection, or an alias of it.
    #[arg(long = "in", value_name = "COLLECTION", help_heading = "Search")]
    pub(crate) collection: String,
    /// Search by words alone [the default where no vector is given].
    #[arg(long, help_heading = "Search", conflicts_with_all = ["hybrid", "near_vector"])]
    pub(crate) bm25: bool,
    /// Search by words and a vector: that of --near-vector, or one that the server makes of the words.
    #[arg(long, help_heading = "Search")]
    pub(crate) hybrid: bool,
    /// Search by the vector in this file: a JSON array, or numbers of 4 bytes, little-endian.
    #[arg(long, value_name = "FILE", help_heading = "Search")]
    pub(crate) near_vector: Option<PathBuf>,
    /// Which vector is compared, where objects have several.
    #[arg(long, value_name = "NAME", help_heading = "Search")]
    pub(crate) vector: Option<String>,
    /// At most so many objects.
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Search", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// The verbs of `bench`.
#[derive(Subcommand)]
pub(crate) enum BenchVerb {
    /// Ask both stores the same questions, alone and by several clients: are the answers alike, and how fast do they come?
    #[command(after_help = "\
Examples:
  switchover bench queries --from sqlite:app.db --to weaviate://db:8080
  switchover bench queries --table messages --by conversation_id
  switchover bench queries --seconds 10 --clients 16 --report queries.md

Asked are rows by their id, the newest rows of a parent (by a foreign key, or
--by), and rows by a word of a text. What the source answers first is what
every answer must be; one that differs is counted, and its time is not.

Exit codes: 0 all answers the same; 1 some differ; 2 some questions failed.")]
    Queries(QueriesArgs),
}

/// `bench queries`.
#[derive(clap::Args)]
pub(crate) struct QueriesArgs {
    #[command(flatten)]
    pub(crate) stores: Stores,
    /// The schema on a PostgreSQL target [default: public].
    #[arg(long, value_name = "NAME", help_heading = "Stores")]
    pub(crate) schema: Option<String>,
    /// Ask these tables [default: the largest that can be asked, for each kind of question].
    #[arg(long, value_name = "NAME", num_args = 1.., help_heading = "Questions")]
    pub(crate) table: Vec<String>,
    /// Ask for the newest rows of a value of this column [default: of a foreign key's].
    #[arg(long, value_name = "COLUMN", requires = "table", help_heading = "Questions")]
    pub(crate) by: Option<String>,
    /// Different questions of each kind.
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = "Questions", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) samples: u32,
    /// Rows of an answer, at most.
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "Questions", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rows: u32,
    /// Choose the questions by this number, which an earlier report gave.
    #[arg(long, value_name = "N", help_heading = "Questions", value_parser = clap::value_parser!(u64).range(..=0xffff_ffff))]
    pub(crate) seed: Option<u64>,
    /// Ask each store so many seconds, by each number of clients.
    #[arg(long, value_name = "N", default_value = "2", help_heading = "Limits", value_parser = seconds)]
    pub(crate) seconds: std::time::Duration,
    /// Clients at a time, after one alone.
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Limits", value_parser = clap::value_parser!(u32).range(2..=16))]
    pub(crate) clients: u32,
    /// Write the report there as well: Markdown for *.md, JSON otherwise.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<String>,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// From a tenth of a second to an hour.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let number = text.parse().ok().filter(|number: &f64| (0.1..=3600.0).contains(number));
    number.map(std::time::Duration::from_secs_f64).ok_or_else(|| "it is not from 0.1 to 3600".into())
}
