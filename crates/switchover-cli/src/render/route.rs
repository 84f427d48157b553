//! The route, for people.

use super::layout::shown;
use switchover::core::live::Side;
use switchover::routing::route::{ALL, Follower, Route, Writes};

/// The route in a few lines.
pub(crate) fn render(route: &Route, path: &str) -> String {
    let label = |side: Side| format!("{side} ({})", route.label(side));
    let writes = match route.writes {
        Writes::Open => label(route.owner),
        Writes::Held => format!("{}, held: the owner is about to change", label(route.owner)),
    };
    let reads = match route.reads_at_target {
        0 => format!("all at the {}", label(Side::Source)),
        ALL => format!("all at the {}", label(Side::Target)),
        percent => format!("{percent}% of keys at the target, the rest at the source"),
    };
    let follower = match route.follower {
        Follower::Filling if !route.why.is_empty() => {
            format!("is known to differ: no reads there: {}", shown(&route.why))
        }
        Follower::Filling => "is being filled: no reads there yet".into(),
        Follower::Ready => "follows the owner".into(),
        Follower::Lost => "no longer follows the owner".into(),
    };
    let other = route.owner.other();
    format!(
        "owner   {}\nwrites  {writes}\nreads   {reads}\n{other}  {follower}\nepoch   {}, revision {}\nrun     {}\nfile    {path}, {}\n",
        label(route.owner),
        route.epoch,
        route.revision,
        route.run,
        route.changed_at,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchover::core::live::Ownership;

    #[test]
    fn the_route_in_a_few_lines() {
        let route = Route::first("r1", "sqlite:a.db", "postgres://h/d", Ownership::FIRST.proposed());
        let route = Route { follower: Follower::Ready, reads_at_target: 10, revision: 7, ..route };
        assert_eq!(
            render(&route, "route.json"),
            "owner   source (sqlite:a.db)\n\
             writes  source (sqlite:a.db), held: the owner is about to change\n\
             reads   10% of keys at the target, the rest at the source\n\
             target  follows the owner\n\
             epoch   2, revision 7\n\
             run     r1\n\
             file    route.json, \n"
        );
        let differs = Route { follower: Follower::Filling, why: "row id=2".into(), ..route };
        let said = render(&differs, "route.json");
        assert!(said.contains("\ntarget  is known to differ: no reads there: row id=2\n"), "{said}");
    }
}
