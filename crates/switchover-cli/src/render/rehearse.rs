//! What came of a rehearsal, as people read it.

use super::layout::count;
use switchover::live::rehearse::{Change, Rehearsal};

/// The table of times, and for how long nobody could write.
pub(crate) fn render(rehearsal: &Rehearsal, copied: f64) -> String {
    let row = |name: &str, seconds: f64| format!("{name:<46}{seconds:>9.1} s\n");
    let mut out = row("copy of the source, for this rehearsal alone", copied);
    out.extend(rehearsal.stages.iter().map(|stage| row(stage.name, stage.seconds)));
    out.push_str(&row("all but the first", rehearsal.stages.iter().map(|stage| stage.seconds).sum()));
    out.push_str("\nowner changed     writes unavailable     as a writer saw it     request answered\n");
    for change in &rehearsal.changes {
        let Change { to, engine_ms, writer_ms, total_ms } = change;
        out.push_str(&format!(
            "to the {to:<11}{engine_ms:>15.0} ms{writer_ms:>20.0} ms{total_ms:>18.0} ms\n"
        ));
    }
    out.push_str(&format!(
        "\n{} rows were compared and equal; {} transactions wrote beside the run.\n\
         Both stores were only read; what was made for the rehearsal is removed.\n",
        count(rehearsal.rows),
        count(rehearsal.writes)
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchover::core::live::Side;
    use switchover::live::rehearse::Stage;

    #[test]
    fn the_times_stand_below_each_other_and_fit() {
        let rehearsal = Rehearsal {
            rows: 8_700,
            writes: 412,
            stages: vec![
                Stage { name: "plan, schema, capture", seconds: 0.81 },
                Stage { name: "copy", seconds: 1234.56 },
            ],
            changes: vec![
                Change { to: Side::Target, engine_ms: 9.4, writer_ms: 14.2, total_ms: 31.0 },
                Change { to: Side::Source, engine_ms: 2.0, writer_ms: 1034.2, total_ms: 12.0 },
            ],
        };
        let text = render(&rehearsal, 0.52);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }
}
