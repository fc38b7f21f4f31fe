//! Random runs.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::run::{Effort, run, run_seed};

const SEEDS: std::ops::Range<u64> = 0..200;

#[test]
fn random_runs_keep_every_promise() {
    let seeds = match std::env::var("MESHER_SIM_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("MESHER_SIM_SEEDS=FROM..TO");
            from.parse().unwrap()..to.parse().unwrap()
        }
        Err(_) => SEEDS,
    };
    // To know that a fault is found, one failure will do, as it is.
    let most = if std::env::var_os("MESHER_SIM_QUICK").is_some() { 1 } else { 6 };
    let search = Search { next: AtomicU64::new(seeds.start), end: seeds.end, most, done: Mutex::default() };
    let started = Instant::now();
    // Each run is one seed's and knows of no other, so that it matters to none on how many processors they run.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| search.go_on());
        }
    });
    let Done { total, count, mut failures } = search.done.into_inner().unwrap();
    total.print(count, started);
    failures.sort_unstable();
    let failures: Vec<String> =
        failures.into_iter().map(|(seed, report)| format!("seed {seed}: {report}")).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

/// Seeds, tried by several threads until there are none left, or enough have failed.
struct Search {
    next: AtomicU64,
    end: u64,
    /// So many failures are enough.
    most: usize,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    total: Effort,
    count: u64,
    failures: Vec<(u64, String)>,
}

impl Search {
    fn go_on(&self) {
        let trace = std::env::var_os("MESHER_SIM_TRACE").is_some();
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end || self.done.lock().unwrap().failures.len() >= self.most {
                return;
            }
            let begun = Instant::now();
            let outcome = run_seed(seed);
            if trace {
                let what = match &outcome {
                    Ok(effort) => format!("{} operations", effort.happened),
                    Err(report) => report.clone(),
                };
                eprintln!("seed {seed}: {what} in {:?}", begun.elapsed());
            }
            let mut done = self.done.lock().unwrap();
            done.count += 1;
            match outcome {
                Ok(effort) => done.total.add(effort),
                Err(report) => done.failures.push((seed, report)),
            }
        }
    }
}

/// Replays what a failure printed. Without a seed there is nothing to replay.
#[test]
fn replay() {
    let Ok(seed) = std::env::var("MESHER_SIM_SEED") else { return };
    let plan = Plan::random(seed.parse().unwrap());
    let plan = match std::env::var("MESHER_SIM_KEEP") {
        Ok(kept) if kept.is_empty() => plan.keeping(&[]),
        Ok(kept) => plan.keeping(&kept.split(',').map(|at| at.parse().unwrap()).collect::<Vec<_>>()),
        Err(_) => plan,
    };
    if let Err(violation) = run(&plan) {
        panic!("{}\n{}", violation.promise, violation.text);
    }
}

/// For hours, on one core: `MESHER_SIM_SECONDS=3600 cargo test -p mesher_claims --test simulation -- --ignored long`.
#[test]
#[ignore = "runs for as long as MESHER_SIM_SECONDS says"]
fn long_run() {
    let seconds = std::env::var("MESHER_SIM_SECONDS").map_or(60, |text| text.parse().unwrap());
    let first: u64 = std::env::var("MESHER_SIM_FIRST").map_or(1_000_000, |text| text.parse().unwrap());
    let (started, mut total, mut seed) = (Instant::now(), Effort::default(), first);
    let mut failures = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        match run_seed(seed) {
            Ok(effort) => total.add(effort),
            Err(report) => {
                failures += 1;
                eprintln!("seed {seed}: {report}\n");
            }
        }
        seed += 1;
        if seed % 100 == 0 {
            total.print(seed - first, started);
        }
    }
    total.print(seed - first, started);
    assert_eq!(failures, 0, "failing seeds are above");
}

impl Effort {
    fn add(&mut self, other: Self) {
        self.happened += other.happened;
        self.messages += other.messages;
        self.simulated_ms += other.simulated_ms;
    }

    fn print(&self, seeds: u64, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        eprintln!(
            "{seeds} seeds, {} operations, {} messages, {} hours simulated, in {seconds:.1} s: {:.0} operations a minute",
            self.happened,
            self.messages,
            self.simulated_ms / 3_600_000,
            self.happened as f64 * 60.0 / seconds
        );
    }
}
