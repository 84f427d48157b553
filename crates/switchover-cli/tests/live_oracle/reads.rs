//! The same writers, kills and faults with a target that follows and never owns the data: what moves are the readers.
//!
//! The owner is the source all the while, so what the writers were told is judged by it; the target is compared with
//! it once nobody writes any more. The server is killed too, and the line to it is bad for a while.

use super::{Dice, Goal, LIMIT, Scene, Target, common, from_environment};
use std::time::{Duration, Instant};
use switchover_testkit::Weaviate;

/// Where an engine dies on its way to following, and while it follows. Each is the next engine's place.
const PLACES: &[&str] = &[
    "live-target-enter-before-commit=return",
    "live-target-enter-after-commit=return",
    "live-captured=return",
    "copy-before-commit=2*off->return",
    "copy-after-commit=3*off->return",
    "live-copied=return",
    "live-target-apply-before-commit=1*off->return",
    "live-target-apply-after-commit=2*off->return",
    "live-applied=2*off->return",
    "live-settled=3*off->return",
];

/// Where it dies while its readers are told.
const READERS: &[&str] = &["live-route-before=1*off->return", "live-route-after=1*off->return"];

/// How often each fault of a bad line is met.
const FAULTS: u64 = 3;

/// The rows that a query of the oracle's would give, by a look at the objects that shares nothing with the product.
pub(crate) fn rows_of(server: &Weaviate, query: &str) -> Vec<Vec<String>> {
    let (collection, names) = match query.rsplit(' ').next().unwrap() {
        "op" => ("Op", &["n", "name"][..]),
        "item" => ("Item", &["original_id", "u", "v"][..]),
        _ => ("Child", &["original_id", "item"][..]),
    };
    let value = |text: &String| match serde_json::from_str(text).unwrap() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let objects = server.objects(collection).unwrap();
    objects.iter().map(|object| names.iter().map(|name| value(&object.properties[*name])).collect()).collect()
}

impl Scene {
    /// Moves the readers, by an engine that may die at it, and then by one that does not.
    fn move_readers(&mut self, verb: &str, place: &str) {
        self.kill();
        self.drive(place);
        if self.until("following", Scene::is_ready) {
            let ran = common::run(&mut self.verb(&[verb, "--when-ready"]));
            if ran.code != Some(0) {
                self.until("its end", |_| false);
            }
        }
        self.kill();
        self.settle();
        let percent = if verb == "cutover" { "100%" } else { "0%" };
        common::run(&mut self.verb(&["reads", percent])).exits(0);
        let route = common::run(&mut self.verb(&["route", "--json"])).exits(0);
        let route: serde_json::Value = serde_json::from_str(&route.out).unwrap();
        assert_eq!(format!("{}%", route["reads_at_target"]), percent);
    }

    /// Waits until the target is what the source is.
    #[track_caller]
    fn until_equal(&mut self) {
        let begun = Instant::now();
        while self.found("source") != self.found("target") {
            assert!(begun.elapsed() < LIMIT, "the target never comes to be what the source is");
            assert!(self.engine.as_mut().unwrap().is_alive(), "it died by itself");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

pub(crate) fn tell() {
    let seed = from_environment("SWITCHOVER_ORACLE_SEED", 1);
    let begun = Instant::now();
    let mut scene = Scene::new(seed, Goal::Weaviate);
    for place in PLACES {
        scene.drive(place);
        if scene.until("following", Scene::is_ready) {
            scene.kill();
        }
        scene.vacuum();
    }
    scene.settle();
    for place in READERS {
        for verb in ["cutover", "rollback"] {
            scene.move_readers(verb, place);
        }
    }
    if let Target::Weaviate(server) = &mut scene.server {
        server.restart().unwrap();
    }
    scene.settle();
    scene.set_bad(true);
    let met = |scene: &Scene| {
        let faults = scene.line.as_ref().unwrap().faults();
        faults.cut.min(faults.deaf).min(faults.late)
    };
    let faults_begun = Instant::now();
    while met(&scene) < FAULTS {
        assert!(faults_begun.elapsed() < LIMIT, "the line is too good");
        assert!(scene.engine.as_mut().unwrap().is_alive(), "it died by itself");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut dice = Dice(seed);
    let until = Duration::from_secs(from_environment("SWITCHOVER_ORACLE_SECONDS", 0));
    while begun.elapsed() < until {
        scene.set_bad(dice.below(2) == 0);
        scene.settle();
        std::thread::sleep(Duration::from_millis(dice.below(200)));
        scene.kill();
    }
    scene.set_bad(false);
    scene.settle();
    scene.stop_writers();
    scene.until_equal();
    common::run(&mut scene.verb(&["verify", "--live"])).exits(0);
    let count = scene.judge(seed, "source");
    common::run(&mut scene.verb(&["cutover", "--when-ready"])).exits(0);
    common::run(&mut scene.verb(&["finish", "--yes"])).exits(0);
    assert_eq!(scene.found("source"), scene.found("target"), "the end changes nothing");
    scene.tell(Goal::Weaviate, seed, count, begun.elapsed());
    let engine = scene.engine.take().unwrap().end();
    engine.exits(0);
}
