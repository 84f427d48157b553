//! Guards of the reverse window: what is measured after a cutover, and when it means going back.
//!
//! Each [`Guard`] measures one thing once a window, beside the others: one that is slow delays none of them. A window is *over* when the
//! measure is above the guard's `max`; so many windows over, one after the other, and [`Watch::judge`] says [`Judgement::Rollback`], with
//! the reason. A window that says nothing (the endpoint does not answer, the counters began anew, there were too few requests) neither
//! counts nor ends the row.
//!
//! Invariants: what is not known never rolls back and never finishes; judging is pure, so that a recorded row of readings gives the same judgement
//! again. Absent on purpose: doing it. The engine rolls back, and records the reason.

mod http;
mod metrics;

pub use http::HttpFetch;

use async_trait::async_trait;
use metrics::{json_number, quantile, series};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use switchover_core::Result;
use switchover_core::live::Side;

/// How long a window is, when nothing else is said: long enough for a few requests, short enough to matter.
pub const WINDOW_DEFAULT: Duration = Duration::from_secs(10);

/// How many windows over, when nothing else is said: one may be a restart, two may be chance.
pub const WINDOWS_DEFAULT: u32 = 3;

/// How long a measurement may take, whatever it waits for. Endpoints and queries are given up after 3 s by themselves; a server that
/// takes no connection, or whose connection is dead, is not.
const MEASURE_MAX: Duration = Duration::from_secs(10);

/// All guards: `[watch]` of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchOptions {
    /// How often is measured.
    pub window: Duration,
    /// What.
    pub guards: Vec<Guard>,
}

impl Default for WatchOptions {
    fn default() -> Self {
        WatchOptions { window: WINDOW_DEFAULT, guards: Vec::new() }
    }
}

/// One thing that is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// What it is called in messages and the record.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// Above this a window is over.
    pub max: f64,
    /// So many windows over in a row mean going back. At least 1.
    pub windows: u32,
    /// With fewer requests (or rows, as the sample counts) a window says nothing.
    pub sample_min: u64,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// A number at an endpoint.
    Value {
        /// The endpoint.
        url: String,
        /// Where in its answer: a JSON pointer (`/p99_ms`) or a metric (`queue_length{name="mail"}`).
        value: String,
        /// Where the number of requests is that it stands for; as it grew over the window.
        sample: Option<String>,
    },
    /// Failed requests as a part of all, from 0 to 1, by two counters at an endpoint, over the window.
    Rate {
        /// The endpoint.
        url: String,
        /// The counter of failures.
        errors: String,
        /// The counter of all.
        total: String,
    },
    /// The time within which 99 of 100 requests of the window ended, by a Prometheus histogram, in its unit.
    P99 {
        /// The endpoint.
        url: String,
        /// The histogram, without `_bucket`.
        histogram: String,
    },
    /// The first number of a query's only row; the second, if there is one, is its sample.
    Sql {
        /// The store that is asked.
        at: Side,
        /// The query.
        query: String,
    },
    /// The continuous verification: a difference counts as 1, sameness as 0.
    Verification,
    /// How far the reverse feed is behind, in seconds.
    ReverseLag,
}

impl Guard {
    /// What is wrong with it, if anything: found before it is needed.
    pub fn check(&self) -> Result<(), String> {
        let place = |text: &str| {
            let fits = if text.starts_with('/') { text.len() > 1 } else { metrics::is_selector(text) };
            let wanted = "a JSON pointer, such as /p99_ms, or a metric, such as requests_total{code=\"500\"}";
            if fits { Ok(()) } else { Err(format!("'{text}' is not {wanted}")) }
        };
        let endpoint = |url: &str| {
            let fits = url.starts_with("http://") || url.starts_with("https://");
            if fits { Ok(()) } else { Err("an endpoint begins with http:// or https://".to_owned()) }
        };
        match &self.measure {
            Measure::Value { url, value, sample } => {
                endpoint(url)?;
                place(value)?;
                sample.as_deref().map_or(Ok(()), place)?;
            }
            Measure::Rate { url, errors, total } => {
                endpoint(url)?;
                place(errors)?;
                place(total)?;
            }
            Measure::P99 { url, histogram } => {
                endpoint(url)?;
                if !metrics::is_selector(histogram) {
                    return Err(format!("'{histogram}' is no histogram, such as request_seconds"));
                }
            }
            Measure::Sql { query, .. } if query.trim().is_empty() => return Err("the query is empty".into()),
            Measure::Sql { .. } | Measure::Verification | Measure::ReverseLag => {}
        }
        match self {
            Guard { windows: 0, .. } => Err("windows must be at least 1".into()),
            Guard { max, .. } if !max.is_finite() => Err("max must be a number".into()),
            _ => Ok(()),
        }
    }
}

/// What the engine itself knows in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Inside {
    /// Whether the last verification found both stores the same; `None` when it is unproven.
    pub same: Option<bool>,
    /// Seconds that the reverse feed is behind; `None` when it does not run.
    pub reverse_lag: Option<f64>,
}

/// Where measures come from.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The body of an endpoint's answer.
    async fn http(&self, url: &str) -> Result<String>;
    /// The numbers of a query's only row.
    async fn sql(&self, at: Side, query: &str) -> Result<Vec<f64>>;
}

/// What a measure gave in one window, before it is compared with the window before.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A number as it is; its sample, if it has one.
    Number(f64, Option<u64>),
    /// A number, and a counter that grows by its sample.
    Counted(f64, f64),
    /// Counters of failures and of all.
    Counters(f64, f64),
    /// A histogram's counters by their upper bound, ascending.
    Buckets(Vec<(f64, f64)>),
    /// Nothing, and why.
    Nothing(String),
}

/// What a window says about a guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Not above `max`.
    Within(f64),
    /// Above it.
    Over(f64),
    /// Nothing, and why.
    Silent(String),
}

/// What a guard says.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// Go on.
    Hold,
    /// Make the source the owner again.
    Rollback(Reason),
}

/// Why, for the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The guard.
    pub guard: String,
    /// What it measured last.
    pub value: f64,
    /// What it may be.
    pub max: f64,
    /// Windows over in a row.
    pub windows: u32,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Reason { guard, value, max, windows } = self;
        let plural = if *windows == 1 { "window" } else { "windows in a row" };
        write!(f, "the guard '{guard}' measured {value}, above {max}, for {windows} {plural}")
    }
}

/// The guards of a reverse window, and what they have seen.
#[derive(Debug)]
pub struct Watch {
    guards: Vec<Kept>,
}

/// Measures a guard once. What takes longer than any measurement may says nothing.
pub async fn read(guard: &Guard, fetch: &dyn Fetch, inside: Inside) -> Reading {
    let measured = measured(&guard.measure, fetch, inside);
    tokio::time::timeout(MEASURE_MAX, measured).await.unwrap_or_else(|_| {
        Reading::Nothing(format!("it could not be measured within {} s", MEASURE_MAX.as_secs()))
    })
}

#[derive(Debug)]
struct Kept {
    guard: Guard,
    before: Option<Reading>,
    over: u32,
    last: Option<Window>,
}

impl Kept {
    /// Why to go back, by its last window.
    fn demand(&self) -> Option<Reason> {
        match self.last {
            Some(Window::Over(value)) if self.over >= self.guard.windows => Some(Reason {
                guard: self.guard.name.clone(),
                value,
                max: self.guard.max,
                windows: self.over,
            }),
            _ => None,
        }
    }
}

impl Watch {
    /// Begins to watch: nothing is over yet.
    pub fn new(guards: &[Guard]) -> Watch {
        let kept = |guard: &Guard| Kept { guard: guard.clone(), before: None, over: 0, last: None };
        Watch { guards: guards.iter().map(kept).collect() }
    }

    /// Judges one window of the guard of this number: the reading with which it ends. Each guard has windows of its own.
    pub fn judge(&mut self, number: usize, reading: Reading) -> Judgement {
        let Some(kept) = self.guards.get_mut(number) else { return Judgement::Hold };
        let window = window(&kept.guard, kept.before.as_ref(), &reading);
        match &window {
            Window::Within(_) => kept.over = 0,
            Window::Over(_) => kept.over += 1,
            Window::Silent(_) => {}
        }
        if !matches!(reading, Reading::Nothing(_)) {
            kept.before = Some(reading);
        }
        kept.last = Some(window);
        kept.demand().map_or(Judgement::Hold, Judgement::Rollback)
    }

    /// Why to go back, by the last window of each guard: the first one's reason that has one.
    pub fn demand(&self) -> Option<Reason> {
        self.guards.iter().find_map(Kept::demand)
    }

    /// What each guard said in its last window, for `status`.
    pub fn last(&self) -> impl Iterator<Item = (&str, Option<&Window>)> {
        self.guards.iter().map(|kept| (kept.guard.name.as_str(), kept.last.as_ref()))
    }
}

async fn measured(measure: &Measure, fetch: &dyn Fetch, inside: Inside) -> Reading {
    let nothing = |why: String| Reading::Nothing(why);
    match measure {
        Measure::Value { url, .. } | Measure::Rate { url, .. } | Measure::P99 { url, .. } => {
            match fetch.http(url).await {
                Ok(body) => in_answer(measure, &body).unwrap_or_else(nothing),
                Err(error) => nothing(error.to_string()),
            }
        }
        Measure::Sql { at, query } => match fetch.sql(*at, query).await {
            Ok(row) => in_row(&row),
            Err(error) => nothing(error.to_string()),
        },
        Measure::Verification => match inside.same {
            Some(same) => Reading::Number(if same { 0.0 } else { 1.0 }, None),
            None => nothing("the verification is unproven".into()),
        },
        Measure::ReverseLag => match inside.reverse_lag {
            Some(lag) => Reading::Number(lag, None),
            None => nothing("the reverse feed does not run".into()),
        },
    }
}

/// What the answer of an endpoint says about a measure.
fn in_answer(measure: &Measure, body: &str) -> Result<Reading, String> {
    let number = |place: &str| {
        if place.starts_with('/') { json_number(body, place) } else { series(body, place) }
    };
    Ok(match measure {
        Measure::Value { value, sample: None, .. } => Reading::Number(number(value)?, None),
        Measure::Value { value, sample: Some(sample), .. } => {
            Reading::Counted(number(value)?, number(sample)?)
        }
        Measure::Rate { errors, total, .. } => Reading::Counters(number(errors)?, number(total)?),
        Measure::P99 { histogram, .. } => Reading::Buckets(metrics::buckets(body, histogram)?),
        Measure::Sql { .. } | Measure::Verification | Measure::ReverseLag => {
            return Err("it is not measured at an endpoint".into());
        }
    })
}

fn in_row(row: &[f64]) -> Reading {
    match row {
        [value] if value.is_finite() => Reading::Number(*value, None),
        // A count; `as` saturates.
        [value, sample] if value.is_finite() && *sample >= 0.0 => {
            Reading::Number(*value, Some(*sample as u64))
        }
        _ => {
            Reading::Nothing("the query must give one row with one number, or a number and its sample".into())
        }
    }
}

/// What a reading means beside the one before.
fn window(guard: &Guard, before: Option<&Reading>, now: &Reading) -> Window {
    let silent = |why: &str| Window::Silent(why.to_owned());
    const FIRST: &str = "it is the first window: counters need one before";
    const ANEW: &str = "a counter began anew";
    let (value, sample) = match (now, before) {
        (Reading::Nothing(why), _) => return silent(why),
        (Reading::Number(value, sample), _) => (*value, sample.map(|sample| sample as f64)),
        (Reading::Counted(value, sample), Some(Reading::Counted(_, earlier))) => {
            (*value, Some(sample - earlier))
        }
        (Reading::Counters(errors, total), Some(Reading::Counters(errors_before, total_before))) => {
            let (errors, total) = (errors - errors_before, total - total_before);
            if errors < 0.0 {
                return silent(ANEW);
            }
            if total == 0.0 {
                return silent("there were no requests");
            }
            (errors / total, Some(total))
        }
        (Reading::Buckets(now), Some(Reading::Buckets(before))) => match quantile(before, now, 0.99) {
            Ok((value, sample)) => (value, Some(sample)),
            Err(why) => return silent(why),
        },
        _ => return silent(FIRST),
    };
    match sample {
        Some(sample) if sample < 0.0 => silent(ANEW),
        Some(sample) if sample < guard.sample_min as f64 => {
            silent(&format!("a sample of {sample} is less than {}", guard.sample_min))
        }
        // A number without a sample is as good as its own source says.
        _ if value > guard.max => Window::Over(value),
        _ => Window::Within(value),
    }
}

#[cfg(test)]
mod tests;
