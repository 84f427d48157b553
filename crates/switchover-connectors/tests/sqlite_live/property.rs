//! Random work of an application, on whichever store owns the data, and the stores are equal each time the log is
//! empty. `SWITCHOVER_PROPERTY_CASES` asks for so many new seeds; each is printed, and `SWITCHOVER_PROPERTY_SEED` repeats one.

use crate::capture::{COMPUTED, SCHEMA};
use crate::harness::{App, PATIENCE, Pair, connect, words};
use crate::workload::{self, Dice};
use switchover_core::live::Limit;

const CASES_DEFAULT: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_arrives_in_both_directions() {
    for seed in switchover_testkit::seeds(CASES_DEFAULT) {
        println!("SWITCHOVER_PROPERTY_SEED={seed}");
        let mut dice = Dice(seed);
        let app = App::new(&format!("{SCHEMA} {COMPUTED}"));
        workload::run(&app.connect(), &mut dice, 40, None);
        let pair = Pair::start(app).await;
        let application = pair.app.connect();
        if dice.roll(2) == 0 {
            application.execute_batch("PRAGMA recursive_triggers = ON").unwrap();
        }
        workload::run(&application, &mut dice, 20, None);
        let other = pair.app.connect();
        let mut beside = Dice(dice.roll(1 << 30) as u64);
        pair.backfill(100, &mut move || workload::run(&other, &mut beside, 2, None)).await.unwrap();
        for _ in 0..3 {
            workload::run(&application, &mut dice, 30, None);
            let limit = Limit { entries: 1 + dice.roll(20) as u64, time_max: Limit::ANY_TIME };
            pair.forward(limit).await.unwrap_or_else(|error| panic!("{}", words(&error)));
            pair.assert_equal();
        }
        pair.cut_over().await;
        let there = connect(&pair.new_path());
        for _ in 0..3 {
            workload::run(&there, &mut dice, 30, None);
            let limit = Limit { entries: 1 + dice.roll(20) as u64, time_max: Limit::ANY_TIME };
            pair.back(limit).await.unwrap_or_else(|error| panic!("{}", words(&error)));
            pair.assert_equal();
        }
        let owner = pair.target.ownership().await.unwrap();
        assert!(pair.target.decide(&owner, &owner.proposed(), &[]).await.unwrap());
        workload::run(&there, &mut dice, 30, None);
        pair.target.fence(PATIENCE).await.unwrap();
        pair.back(Limit { entries: 1000, time_max: Limit::ANY_TIME }).await.unwrap();
        assert!(pair.target.decide(&owner.proposed(), &owner.proposed().decided(), &[]).await.unwrap());
        pair.source.unfence().await.unwrap();
        pair.target.follow().await.unwrap();
        pair.assert_equal();
        workload::run(&application, &mut dice, 30, None);
        pair.forward(Limit { entries: 1000, time_max: Limit::ANY_TIME }).await.unwrap();
        pair.assert_equal();
    }
}
