//! `[watch]` of the file: the guards of the reverse window.

use super::section::{Entry, entries};
use super::{file::Reader, invalid};
use std::time::Duration;
use switchover::core::live::Side;
use switchover::watch::{Guard, Measure, WINDOWS_DEFAULT, WatchOptions};
use switchover_core::Result;
use toml::de::DeTable;

const KEYS: [&str; 2] = ["window", "guard"];
const GUARD_KEYS: [&str; 14] = [
    "name",
    "http",
    "value",
    "sample",
    "errors",
    "total",
    "p99",
    "sql",
    "at",
    "verification",
    "reverse_lag",
    "max",
    "windows",
    "min_sample",
];

/// Shorter, and an endpoint could not answer within it.
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// What can be measured, for messages.
const MEASURES: &str = "a guard measures one thing: `http` with `value`, with `errors` and `total`, or with `p99`; `sql`; \
                        `verification = true`; or `reverse_lag = true`";

/// Reads the section.
pub(super) fn read(reader: &Reader<'_>, table: &DeTable<'_>, options: &mut WatchOptions) -> Result<()> {
    for entry in entries(reader, "watch", table) {
        match entry.word {
            "window" => {
                options.window = entry.span()?;
                if options.window < WINDOW_MIN {
                    return Err(entry.wrong("it must be at least 1s"));
                }
            }
            "guard" => {
                for guard in entry.list("a list of sections, each [[watch.guard]]")? {
                    options.guards.push(read_guard(&guard)?);
                }
            }
            _ => return Err(entry.unknown(&KEYS)),
        }
    }
    let names: Vec<&str> = options.guards.iter().map(|guard| guard.name.as_str()).collect();
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        Some((at, name)) => {
            let detail = format!("watch.guard.{}: another guard is called '{name}' too", at + 1);
            Err(invalid(reader.name()).detail(detail).hint("give each a `name` of its own"))
        }
        None => Ok(()),
    }
}

/// The keys of a guard as written.
#[derive(Default)]
struct Written {
    name: Option<String>,
    http: Option<String>,
    value: Option<String>,
    sample: Option<String>,
    errors: Option<String>,
    total: Option<String>,
    p99: Option<String>,
    sql: Option<String>,
    at: Option<Side>,
    verification: bool,
    reverse_lag: bool,
    max: Option<f64>,
    windows: Option<u32>,
    min_sample: Option<u64>,
}

fn read_guard(entry: &Entry<'_, '_>) -> Result<Guard> {
    let mut written = Written::default();
    for key in entry.section("a section, written [[watch.guard]]")? {
        match key.word {
            "name" => written.name = Some(key.text()?),
            "http" => written.http = Some(key.text()?),
            "value" => written.value = Some(key.text()?),
            "sample" => written.sample = Some(key.text()?),
            "errors" => written.errors = Some(key.text()?),
            "total" => written.total = Some(key.text()?),
            "p99" => written.p99 = Some(key.text()?),
            "sql" => written.sql = Some(key.text()?),
            "at" => {
                written.at = Some(match key.text()?.as_str() {
                    "source" => Side::Source,
                    "target" => Side::Target,
                    _ => return Err(key.wrong("it must be source or target")),
                });
            }
            "verification" => written.verification = key.boolean()?,
            "reverse_lag" => written.reverse_lag = key.boolean()?,
            "max" => written.max = Some(key.number()?),
            "windows" => {
                let windows = key.whole()?;
                written.windows = Some(u32::try_from(windows).map_err(|_| key.wrong("it is too large"))?);
            }
            "min_sample" => written.min_sample = Some(key.whole()?),
            _ => return Err(key.unknown(&GUARD_KEYS)),
        }
    }
    let guard = written.guard().map_err(|why| entry.wrong(why))?;
    guard.check().map_err(|why| entry.wrong(why))?;
    Ok(guard)
}

impl Written {
    fn guard(self) -> Result<Guard, String> {
        let Written {
            name, http, value, sample, errors, total, p99, sql, at, verification, reverse_lag, ..
        } = self;
        if at.is_some() && sql.is_none() {
            return Err("`at` says which store a query is for, and there is no `sql`".into());
        }
        if sample.is_some() && value.is_none() {
            return Err("`sample` belongs to `value`; the other measures have their own".into());
        }
        let (measure, called) = match (http, value, errors, total, p99, sql, verification, reverse_lag) {
            (Some(url), Some(value), None, None, None, None, false, false) => {
                (Measure::Value { url, value: value.clone(), sample }, value)
            }
            (Some(url), None, Some(errors), Some(total), None, None, false, false) => {
                (Measure::Rate { url, errors: errors.clone(), total }, errors)
            }
            (Some(url), None, None, None, Some(histogram), None, false, false) => {
                (Measure::P99 { url, histogram: histogram.clone() }, histogram)
            }
            (None, None, None, None, None, Some(query), false, false) => {
                (Measure::Sql { at: at.unwrap_or(Side::Target), query }, "sql".to_owned())
            }
            (None, None, None, None, None, None, true, false) => {
                (Measure::Verification, "verification".to_owned())
            }
            (None, None, None, None, None, None, false, true) => {
                (Measure::ReverseLag, "reverse_lag".to_owned())
            }
            _ => return Err(MEASURES.into()),
        };
        // A difference is no matter of chance: one is enough.
        let (max, windows) = match measure {
            Measure::Verification if self.max.is_none() => (0.0, self.windows.unwrap_or(1)),
            Measure::Verification => {
                return Err("`verification` needs no `max`: any difference is one".into());
            }
            _ => (
                self.max.ok_or("`max` is missing: above it a window is over")?,
                self.windows.unwrap_or(WINDOWS_DEFAULT),
            ),
        };
        let sample_min = self.min_sample.unwrap_or(0);
        let name = name.filter(|name| !name.is_empty()).unwrap_or(called);
        Ok(Guard { name, measure, max, windows, sample_min })
    }
}
