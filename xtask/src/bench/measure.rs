//! Running a program with its wall clock, its processor time and its peak of resident memory; medians.
//!
//! Invariant: a failure keeps the program's own words.
//! The peak is read from the kernel's own high-water mark (`VmHWM`), which only rises, so the last look
//! before the end is the peak; where there is no `/proc`, there is no figure rather than a guess.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Result, paths};

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(10);

/// One load by one contestant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// From the start of its program to the end.
    pub(crate) seconds: f64,
    /// Rows in, keys and indexes built; the same as `seconds` for those that do nothing else.
    pub(crate) load_seconds: Option<f64>,
    /// Parts of it, as the contestant tells them.
    pub(crate) parts: Vec<(String, f64)>,
    /// The peak of resident memory, of its one process.
    pub(crate) peak_kb: Option<u64>,
    /// Why it has no time.
    pub(crate) failure: Option<String>,
}

impl Run {
    /// A load that came to nothing.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self { failure: Some(reason.into()), ..Self::default() }
    }

    /// One line for the eye.
    pub(crate) fn line(&self, name: &str) -> String {
        if let Some(failure) = &self.failure {
            return format!("{name:<18}failed: {}", failure.lines().next().unwrap_or_default());
        }
        let parts: Vec<String> =
            self.parts.iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
        format!("{name:<18}{:>8.2} s  ({})", self.seconds, parts.join(", "))
    }
}

/// What a program did.
pub(crate) struct Ended {
    pub(crate) seconds: f64,
    pub(crate) peak_kb: Option<u64>,
    /// Processor seconds, of the last look before its end.
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) stdout: String,
}

/// Runs a program to its end; a bad end is an error with the last lines it said.
pub(crate) fn measured(command: &mut Command) -> Result<Ended> {
    let shown = paths::show(command);
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = thread::spawn(move || read_all(stdout));
    let stderr = thread::spawn(move || read_all(stderr));
    let proc_file = format!("/proc/{}/status", child.id());
    let stat_file = PathBuf::from(format!("/proc/{}/stat", child.id()));
    let (mut peak_kb, mut cpu_seconds) = (None, None);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_kb = peak(&proc_file).max(peak_kb);
        cpu_seconds = cpu(&stat_file).or(cpu_seconds);
        thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    if !status.success() {
        let said = format!("{stdout}\n{stderr}");
        let mut tail: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).rev().take(6).collect();
        tail.reverse();
        return Err(format!("{status}: {}\n({shown})", tail.join("\n")).into());
    }
    Ok(Ended { seconds, peak_kb, cpu_seconds, stdout })
}

fn read_all(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // A broken pipe leaves what was read so far, which is what there is to show.
        drop(from.read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The high-water mark of a process' resident memory so far, in KiB.
pub(crate) fn peak(proc_file: &str) -> Option<u64> {
    let status = fs::read_to_string(proc_file).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A process' processor time so far, its own and the kernel's for it, in seconds.
pub(crate) fn cpu(stat_file: &Path) -> Option<f64> {
    /// Linux counts in hundredths here on every machine (`USER_HZ`).
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(stat_file).ok()?;
    // The second field is the program's name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

/// The middle value; `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((values[values.len() / 2 - 1] + upper) / 2.0)
}

/// The median of the rounds' own ratios, where both took part in each: what a machine that grows slower from round to
/// round does to both, it does not show.
pub(crate) fn by_round(
    these: impl ExactSizeIterator<Item = f64>,
    those: impl ExactSizeIterator<Item = f64>,
) -> Option<f64> {
    (these.len() == those.len()).then(|| median(these.zip(those).map(|(a, b)| a / b)))?
}

#[cfg(test)]
mod tests {
    //! The medians.

    use super::{by_round, median};

    #[test]
    fn ratios_are_of_one_round() {
        let of = |these: &[f64], those: &[f64]| by_round(these.iter().copied(), those.iter().copied());
        assert_eq!(of(&[2.0, 4.0, 9.0], &[1.0, 4.0, 3.0]), Some(2.0));
        assert_eq!(of(&[2.0], &[1.0, 4.0]), None);
        assert_eq!(of(&[], &[]), None);
    }

    #[test]
    fn the_median_of_odd_even_and_none() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }
}
