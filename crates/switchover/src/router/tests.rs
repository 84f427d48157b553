//! The router as programs use it. What is awaited is an event; no test sleeps for a result.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::shadow::{Difference, Wrong};
use super::*;
use crate::routing::route::{self, Follower};
use std::sync::atomic::{AtomicUsize, Ordering};
use switchover_core::live::Ownership;

const FIRST: Ownership = Ownership::FIRST;

/// Longer than any event takes that comes at all.
const SOON: Duration = Duration::from_secs(20);

fn route(ownership: Ownership, revision: u64, reads: u8) -> Route {
    let route = Route::first("r", "s", "t", FIRST).with(ownership);
    Route { follower: Follower::Ready, reads_at_target: reads, revision, ..route }
}

fn router(options: Options) -> Router {
    Router::new(Some(route(FIRST, 1, 0)), options)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.unwrap()
}

#[tokio::test]
async fn writers_wait_while_the_owner_changes_and_then_write_to_the_new_one() {
    let router = router(Options::default());
    router.set(route(FIRST.proposed(), 2, 0));
    let waiting: Vec<_> = (0..10_u8)
        .map(|key| {
            let router = router.clone();
            tokio::spawn(async move { router.write(&[key]).await.unwrap().store() })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(|writer| !writer.is_finished()));
    router.set(route(FIRST.proposed().decided(), 3, 100));
    for writer in waiting {
        assert_eq!(soon(writer).await.unwrap(), Side::Target);
    }
    // A proposal that is withdrawn lets them write where they did.
    let router = self::router(Options::default());
    router.set(route(FIRST.proposed(), 2, 0));
    let (writer, ()) = tokio::join!(router.write(b"k"), async {
        router.set(route(FIRST.proposed().withdrawn(), 3, 0));
    });
    assert_eq!(writer.unwrap().store(), Side::Source);
}

#[tokio::test]
async fn who_waits_too_long_is_told_what_to_do() {
    let router = router(Options { patience: Duration::from_millis(20), ..Options::default() });
    router.set(route(FIRST.proposed(), 2, 0));
    let error = router.write(b"k").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.what_to_do().contains("try again"));
}

#[tokio::test]
async fn a_change_waits_for_the_writes_under_way_and_refuses_their_permits() {
    let router = router(Options::default());
    let (first, second) = (soon(router.write(b"a")).await.unwrap(), soon(router.write(b"b")).await.unwrap());
    assert_eq!(router.under_way(), 0);
    first.check().unwrap();
    router.set(route(FIRST.proposed(), 2, 0));
    assert_eq!(router.under_way(), 2);
    assert_eq!(first.check().unwrap_err().kind(), Kind::Changed);
    let drained = tokio::spawn({
        let router = router.clone();
        async move { router.drained().await }
    });
    drop(first);
    tokio::task::yield_now().await;
    assert!(!drained.is_finished() && router.under_way() == 1);
    drop(second);
    soon(drained).await.unwrap();
    router.set(route(FIRST.proposed().decided(), 3, 100));
    let third = soon(router.write(b"a")).await.unwrap();
    third.check().unwrap();
    // Writes of this epoch are not waited for.
    soon(router.drained()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_write_begins_at_the_old_owner_after_it_is_drained() {
    let router = router(Options::default());
    // The stores: writes under way at each, and whether the source is fenced.
    let at = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let fenced = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..8_u8)
        .map(|key| {
            let (router, at, fenced, done) = (router.clone(), at.clone(), fenced.clone(), done.clone());
            tokio::spawn(async move {
                loop {
                    let permit = router.write(&[key]).await.unwrap();
                    let store = permit.store();
                    at[store as usize].fetch_add(1, Ordering::SeqCst);
                    assert!(store == Side::Target || !fenced.load(Ordering::SeqCst));
                    tokio::task::yield_now().await;
                    at[store as usize].fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                    done.fetch_add(1, Ordering::SeqCst);
                    if store == Side::Target {
                        return;
                    }
                }
            })
        })
        .collect();
    while done.load(Ordering::SeqCst) < 1_000 {
        tokio::task::yield_now().await;
    }
    router.set(route(FIRST.proposed(), 2, 0));
    soon(router.drained()).await;
    fenced.store(true, Ordering::SeqCst);
    assert_eq!(at[0].load(Ordering::SeqCst), 0);
    router.set(route(FIRST.proposed().decided(), 3, 100));
    for writer in writers {
        soon(writer).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_written_is_read_at_the_owner_until_the_other_store_has_it() {
    let router = router(Options::default());
    router.set(route(FIRST, 2, 100));
    assert_eq!(router.read(b"k"), Side::Target);
    let before = router.now();
    drop(router.write(b"k").await.unwrap());
    assert_eq!((router.read(b"k"), router.read(b"other")), (Side::Source, Side::Target));
    let progress = |epoch, upto| Progress { run: "r".into(), epoch, upto };
    for late in [progress(1, before), progress(2, u64::MAX)] {
        router.caught_up(late);
        assert_eq!(router.read(b"k"), Side::Source);
    }
    router.caught_up(progress(1, router.now() + 1));
    assert_eq!(router.read(b"k"), Side::Target);
}

#[test]
fn a_clock_that_is_set_back_makes_no_write_older() {
    let clock = Clock { since_1970: Duration::from_secs(1_000), begun: Instant::now() };
    let at = |said, passed| clock.at(Duration::from_secs(said), Duration::from_secs(passed)).as_secs();
    assert_eq!(at(1_005, 5), 1_005);
    assert_eq!(at(400, 6), 1_006, "set back");
    assert_eq!(at(2_000, 7), 2_000, "set forward");
}

#[tokio::test]
async fn a_route_of_before_is_not_taken() {
    let router = router(Options::default());
    assert!(router.set(route(FIRST.proposed().decided(), 5, 100)));
    assert!(!router.set(route(FIRST, 9, 0)));
    assert_eq!(router.read(b"k"), Side::Target);
    let next = Route { run: "s".into(), ..route(FIRST, 1, 0) };
    assert!(router.set(next));
}

#[tokio::test]
async fn the_file_is_followed_and_one_that_cannot_be_read_sends_readers_to_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = route::default_path(folder.path());
    let options = Options {
        poll: Duration::from_millis(2),
        stale_after: Duration::from_millis(50),
        ..Options::default()
    };
    let router = Router::follow(path.clone(), options).unwrap();
    assert_eq!((router.route(), router.read(b"k")), (None, Side::Source));
    route::publish(&path, "r", ("s", "t"), FIRST, Follower::Ready).unwrap();
    route::change(&path, |route| route.unwrap().with_reads(100)).unwrap();
    let until = async |side: Side| {
        while router.read(b"k") != side {
            tokio::task::yield_now().await;
        }
    };
    soon(until(Side::Target)).await;
    route::note_progress(&path, &Progress { run: "r".into(), epoch: 1, upto: u64::MAX }).unwrap();
    drop(router.write(b"k").await.unwrap());
    soon(until(Side::Target)).await;
    let faulty = async |words: &str| {
        while !router.fault().is_some_and(|fault| fault.contains(words)) {
            tokio::task::yield_now().await;
        }
    };
    std::fs::write(&path, "{").unwrap();
    // Readers may have gone to the owner before, where nobody looked at the file for a moment.
    soon(faulty("no route")).await;
    soon(until(Side::Source)).await;
    std::fs::remove_file(&path).unwrap();
    soon(faulty("the file is gone")).await;
    route::publish(&path, "r", ("s", "t"), FIRST.proposed().decided(), Follower::Ready).unwrap();
    soon(until(Side::Target)).await;
    assert_eq!(router.write(b"k").await.unwrap().store(), Side::Target);
}

#[tokio::test]
async fn a_shadow_reports_what_stays_different_and_delays_nobody() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel::<Difference>();
    let report = Arc::new(move |difference: &Difference| drop(told.send(difference.clone())));
    let shadows =
        Shadows { per_mille: 1_000, report, timeout: Duration::from_millis(200), ..Shadows::default() };
    let router = router(Options { shadows, ..Options::default() });
    // Nothing is compared with a store that the follower has not got.
    let all = Progress { run: "r".into(), epoch: 1, upto: u64::MAX };
    router.caught_up(all);
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = |key: &'static str| {
        let asked = asked.clone();
        move |side: Side| {
            let (number, source) = (asked.fetch_add(1, Ordering::SeqCst), side == Side::Source);
            async move {
                match key {
                    "same" => Ok::<_, String>(1),
                    "different" => Ok(if source { 1 } else { 2 }),
                    "caught up" => Ok(if source || number > 1 { 1 } else { 0 }),
                    "moving" => Ok(if source { number } else { 77 }),
                    "broken" if !source => Err("no connection".into()),
                    "slow" if !source => std::future::pending().await,
                    _ => Ok(1),
                }
            }
        }
    };
    for (key, wrong) in [
        ("different", Wrong::Different),
        ("broken", Wrong::Failed("no connection".into())),
        ("slow", Wrong::Late),
    ] {
        assert_eq!(soon(router.shadowed(key.as_bytes(), answer(key))).await.unwrap(), 1);
        let difference = soon(heard.recv()).await.unwrap();
        assert_eq!(difference, Difference { key: key.into(), control: Side::Source, what: wrong });
    }
    for (key, counted) in [("same", (1, 0)), ("caught up", (2, 0)), ("moving", (2, 1))] {
        asked.store(0, Ordering::SeqCst);
        soon(router.shadowed(key.as_bytes(), answer(key))).await.unwrap();
        let now = || (router.shadow_counts().same, router.shadow_counts().moving);
        soon(async {
            while now() != counted {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(router.shadow_counts().different, 3);
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn shadows_are_sampled_and_bounded() {
    let shadows = Shadows { per_mille: 100, at_once: 3, timeout: SOON, ..Shadows::default() };
    let router = router(Options { shadows, ..Options::default() });
    for _ in 0..100 {
        let read = async |_| {
            router
                .shadowed(b"k", |side| async move {
                    if side == Side::Target {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, String>(1)
                })
                .await
        };
        read(()).await.unwrap();
    }
    // Ten of a hundred, of which three have a place and none ends.
    assert_eq!(router.shadow_counts(), Counted { same: 0, moving: 0, different: 0, skipped: 7 });
}
