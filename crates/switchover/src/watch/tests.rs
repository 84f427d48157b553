//! Guards, by rows of readings, and by an endpoint that is really asked.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use switchover_core::{Error, Kind};

fn guard(measure: Measure, max: f64, windows: u32, sample_min: u64) -> Guard {
    Guard { name: "g".into(), measure, max, windows, sample_min }
}

fn number(value: f64) -> Reading {
    Reading::Number(value, None)
}

fn nothing() -> Reading {
    Reading::Nothing("no answer".into())
}

/// After how many of these windows the guard rolls back.
fn rolls_back(guard: &Guard, readings: &[Reading]) -> Option<usize> {
    let mut watch = Watch::new(std::slice::from_ref(guard));
    let at = readings.iter().position(|reading| watch.judge(0, reading.clone()) != Judgement::Hold);
    at.map(|at| at + 1)
}

#[test]
fn only_windows_in_a_row_count_and_silence_is_neither() {
    let guard = guard(Measure::ReverseLag, 5.0, 3, 0);
    let (over, within) = (number(5.1), number(5.0));
    for (readings, expected) in [
        (vec![over.clone(), over.clone(), over.clone()], Some(3)),
        (vec![over.clone(), over.clone(), within, over.clone(), over.clone()], None),
        (vec![over.clone(), nothing(), over.clone(), nothing(), over.clone()], Some(5)),
        (vec![nothing(); 100], None),
        (vec![number(f64::NAN); 100], None),
    ] {
        assert_eq!(rolls_back(&guard, &readings), expected, "{readings:?}");
    }
}

#[test]
fn rates_are_of_the_window_and_need_their_sample() {
    let measure = Measure::Rate { url: String::new(), errors: "/e".into(), total: "/t".into() };
    let guard = guard(measure, 0.05, 2, 100);
    let row = |counters: &[(f64, f64)]| -> Vec<Reading> {
        counters.iter().map(|(errors, total)| Reading::Counters(*errors, *total)).collect()
    };
    for (counters, expected) in [
        // 10 % before the cutover does not matter, and 5 % is allowed.
        (&[(1000.0, 10_000.0), (1005.0, 10_100.0), (1010.0, 10_200.0)][..], None),
        (&[(0.0, 0.0), (6.0, 100.0), (12.0, 200.0)], Some(3)),
        // Too few, none, and a program that began anew.
        (&[(0.0, 0.0), (9.0, 99.0), (18.0, 198.0)], None),
        (&[(0.0, 0.0), (0.0, 0.0), (0.0, 0.0)], None),
        (&[(50.0, 500.0), (6.0, 100.0), (12.0, 200.0), (18.0, 300.0)], Some(4)),
        (&[(0.0, 0.0), (6.0, 100.0), (1.0, 200.0), (7.0, 300.0)], Some(4)),
    ] {
        assert_eq!(rolls_back(&guard, &row(counters)), expected, "{counters:?}");
    }
}

#[test]
fn the_reason_says_what_was_measured() {
    let mut watch =
        Watch::new(&[guard(Measure::ReverseLag, 5.0, 1, 0), guard(Measure::Verification, 0.0, 1, 0)]);
    assert_eq!(watch.judge(0, number(1.0)), Judgement::Hold);
    assert_eq!(watch.judge(1, number(0.0)), Judgement::Hold);
    let Judgement::Rollback(reason) = watch.judge(0, number(7.5)) else { panic!("it holds") };
    assert_eq!(reason.to_string(), "the guard 'g' measured 7.5, above 5, for 1 window");
    assert_ne!(watch.judge(1, number(1.0)), Judgement::Hold);
    let last: Vec<_> = watch.last().map(|(_, window)| window.cloned()).collect();
    assert_eq!(last, [Some(Window::Over(7.5)), Some(Window::Over(1.0))]);
}

#[test]
fn each_guard_has_windows_of_its_own_and_demands_by_its_last_one() {
    let mut watch =
        Watch::new(&[guard(Measure::ReverseLag, 5.0, 1, 0), guard(Measure::Verification, 0.0, 3, 0)]);
    // The first one has not said anything yet.
    for _ in 0..2 {
        assert_eq!(watch.judge(1, number(1.0)), Judgement::Hold);
    }
    assert_eq!(watch.demand(), None);
    assert_ne!(watch.judge(1, number(1.0)), Judgement::Hold);
    // What another guard says then changes nothing about it.
    assert_eq!(watch.judge(0, number(1.0)), Judgement::Hold);
    assert_eq!(watch.demand().map(|reason| reason.windows), Some(3));
    assert_eq!(watch.judge(1, nothing()), Judgement::Hold);
    assert_eq!(watch.demand(), None);
    assert_ne!(watch.judge(1, number(1.0)), Judgement::Hold);
    assert_eq!(watch.judge(1, number(0.0)), Judgement::Hold);
    assert_eq!(watch.demand(), None);
    // There is no such guard.
    assert_eq!(watch.judge(2, number(9.0)), Judgement::Hold);
}

/// Answers each request with the next text; none left, and it says 500.
fn endpoint(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics?token=s3cret", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut request = [0; 2048];
            let _ = stream.read(&mut request);
            let (status, body) = answers.get(number).map_or(("500 No", ""), |body| ("200 OK", *body));
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

/// Endpoints for real, and queries from a list.
struct Both(HttpFetch, Vec<f64>);

#[async_trait]
impl Fetch for Both {
    async fn http(&self, url: &str) -> Result<String> {
        self.0.http(url).await
    }
    async fn sql(&self, _: Side, query: &str) -> Result<Vec<f64>> {
        if query == "bad" { Err(Error::new(Kind::Rejected, "ask")) } else { Ok(self.1.clone()) }
    }
}

/// Measures all guards once, and judges.
async fn windows(
    guards: &[Guard],
    fetch: &dyn Fetch,
    inside: Inside,
    watch: &mut Watch,
) -> (Vec<Reading>, bool) {
    let (mut readings, mut rolls_back) = (Vec::new(), false);
    for (number, guard) in guards.iter().enumerate() {
        let reading = read(guard, fetch, inside).await;
        rolls_back |= watch.judge(number, reading.clone()) != Judgement::Hold;
        readings.push(reading);
    }
    (readings, rolls_back)
}

#[tokio::test]
async fn an_endpoint_is_asked_and_what_it_does_not_say_is_unknown() {
    let url = endpoint(&["errors 0\nall 100\n", "errors 50\nall 200\n", "errors 100\nall 300\n"]);
    let measure = Measure::Rate { url, errors: "errors".into(), total: "all".into() };
    let guards = [
        guard(measure, 0.1, 2, 10),
        guard(Measure::Sql { at: Side::Target, query: "bad".into() }, 0.0, 1, 0),
        guard(Measure::Verification, 0.0, 1, 0),
    ];
    let fetch = Both(HttpFetch::new().unwrap(), vec![]);
    let mut watch = Watch::new(&guards);
    for expected in [false, false, true] {
        let (_, rolls_back) = windows(&guards, &fetch, Inside::default(), &mut watch).await;
        assert_eq!(rolls_back, expected);
    }
    // The endpoint says 500 from here on: unknown, said without the secret in its URL.
    let inside = Inside { same: Some(true), reverse_lag: None };
    let (readings, rolls_back) = windows(&guards, &fetch, inside, &mut watch).await;
    let Reading::Nothing(why) = &readings[0] else { panic!("{readings:?}") };
    assert!(why.contains("500") && !why.contains("s3cret"), "{why}");
    assert_eq!(readings[2], number(0.0));
    assert!(!rolls_back);
}

#[tokio::test]
async fn queries_give_one_row_of_numbers() {
    for (row, expected) in [(vec![3.0], number(3.0)), (vec![3.0, 7.0], Reading::Number(3.0, Some(7)))] {
        let guard = guard(Measure::Sql { at: Side::Target, query: "q".into() }, 1.0, 1, 0);
        let fetch = Both(HttpFetch::new().unwrap(), row);
        assert_eq!(read(&guard, &fetch, Inside::default()).await, expected);
    }
    for row in [&[][..], &[f64::NAN], &[1.0, -1.0], &[1.0, 2.0, 3.0]] {
        assert!(matches!(in_row(row), Reading::Nothing(_)), "{row:?}");
    }
}
