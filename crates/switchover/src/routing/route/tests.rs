//! Tests of the route's file.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const FIRST: Ownership = Ownership::FIRST;

fn publish_at(path: &Path, run: &str, ownership: Ownership) -> Result<Route> {
    publish(path, run, ("sqlite:a.db", "postgres:///b"), ownership, Follower::Ready)
}

#[test]
fn a_route_follows_the_decision_row_and_reads_go_with_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = default_path(folder.path());
    assert_eq!(read(&path).unwrap(), None);
    let route = publish_at(&path, "r1", FIRST).unwrap();
    assert_eq!(
        (route.owner, route.writes, route.reads_at_target, route.revision),
        (Side::Source, Writes::Open, 0, 1)
    );
    change(&path, |route| route.unwrap().with_reads(10)).unwrap();
    let route = publish_at(&path, "r1", FIRST.proposed()).unwrap();
    assert_eq!((route.owner, route.writes, route.reads_at_target), (Side::Source, Writes::Held, 10));
    let route = publish_at(&path, "r1", FIRST.proposed().decided()).unwrap();
    assert_eq!((route.owner, route.writes, route.reads_at_target), (Side::Target, Writes::Open, 100));
    assert_eq!(read(&path).unwrap().unwrap(), route);
    // Said again, it stays the same file.
    assert_eq!(publish_at(&path, "r1", FIRST.proposed().decided()).unwrap().revision, route.revision);
    let back = FIRST.proposed().decided().proposed().decided();
    assert_eq!(publish_at(&path, "r1", back).unwrap().reads_at_target, 0);
}

#[test]
fn a_late_engine_and_an_earlier_run_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = default_path(folder.path());
    publish_at(&path, "r2", FIRST.proposed()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for (run, ownership) in [("r2", FIRST), ("r1", FIRST.proposed().decided())] {
        assert_eq!(publish_at(&path, run, ownership).unwrap_err().kind(), Kind::Changed);
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(publish_at(&path, "r3", FIRST).unwrap().epoch, FIRST.epoch);
}

#[test]
fn a_proposal_that_is_only_looked_at_leaves_the_file_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = default_path(folder.path());
    publish_at(&path, "r2", FIRST).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let look =
        |run: &str, may_take: Result<()>| may_publish(&path, run, ("s", "t"), FIRST.proposed(), |_| may_take);
    let refused = || Error::new(Kind::Refused, OPERATION);
    look("r2", Err(refused())).unwrap();
    look("r3", Ok(())).unwrap();
    assert_eq!(look("r3", Err(refused())).unwrap_err().kind(), Kind::Refused);
    assert_eq!(look("r1", Ok(())).unwrap_err().kind(), Kind::Changed);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    // Beside it is what changes of it are locked by.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn nobody_is_sent_to_a_store_that_lacks_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = default_path(folder.path());
    publish_at(&path, "r", FIRST).unwrap();
    change(&path, |route| route.unwrap().with_reads(50)).unwrap();
    let lost = publish(&path, "r", ("s", "t"), FIRST, Follower::Lost).unwrap();
    assert_eq!(lost.reads_at_target, 0);
    for percent in [0, 1] {
        assert_eq!(lost.clone().with_reads(percent).unwrap_err().kind(), Kind::NotFound);
    }
    publish_at(&path, "r", FIRST).unwrap();
    change(&path, |route| route.unwrap().with_reads(50)).unwrap();
    let told = (Follower::Filling, "row id=2");
    let differs = publish_where(&path, "r", ("s", "t"), FIRST, told, |_| Ok(())).unwrap();
    assert_eq!((differs.reads_at_target, differs.why.as_str()), (0, "row id=2"));
    let refused = differs.clone().with_reads(1).unwrap_err();
    assert!(refused.kind() == Kind::Refused && refused.to_string().contains("row id=2"), "{refused}");
    assert_eq!(differs.with_reads(0).unwrap().reads_at_target, 0);
    let equal = publish_at(&path, "r", FIRST).unwrap();
    assert_eq!((equal.follower, equal.reads_at_target, equal.why.as_str()), (Follower::Ready, 0, ""));
    let filling = publish(&path, "r", ("s", "t"), FIRST, Follower::Filling).unwrap();
    assert_eq!(filling.clone().with_reads(1).unwrap_err().kind(), Kind::Config);
    assert_eq!(filling.with_reads(0).unwrap().reads_at_target, 0);
}

#[test]
fn the_route_of_a_run_that_is_over_names_the_owner_and_no_follower() {
    let folder = tempfile::tempdir().unwrap();
    let path = default_path(folder.path());
    end(&path, "r1", Side::Target).unwrap();
    assert_eq!(read(&path).unwrap(), None);
    publish_at(&path, "r2", FIRST.proposed().decided()).unwrap();
    let before = change(&path, |route| route.unwrap().with_reads(30)).unwrap();
    end(&path, "r1", Side::Source).unwrap();
    assert_eq!(read(&path).unwrap().unwrap(), before);
    for _ in 0..2 {
        end(&path, "r2", Side::Target).unwrap();
        let route = read(&path).unwrap().unwrap();
        assert_eq!((route.owner, route.follower, route.reads_at_target), (Side::Target, Follower::Lost, 100));
        assert_eq!((route.epoch, route.revision), (before.epoch, before.revision + 1));
    }
}

#[test]
fn two_who_change_it_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = default_path(folder.path());
    publish_at(&path, "r", FIRST).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    change(&path, |route| {
                        let route = route.unwrap();
                        Ok(Route { epoch: route.epoch + 1, ..route })
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(read(&path).unwrap().unwrap().epoch, FIRST.epoch + 80);
}

#[test]
fn damage_and_newer_formats_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("route.json");
    for (text, kind) in
        [("", Kind::Corrupt), ("{\"format\":1}", Kind::Corrupt), ("{\"format\":2}", Kind::Unsupported)]
    {
        std::fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), kind, "{text}");
    }
}
