//! Random runs.

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
    let (started, mut total, count) = (Instant::now(), Effort::default(), seeds.end - seeds.start);
    let mut failures = Vec::new();
    let trace = std::env::var_os("MESHER_SIM_TRACE").is_some();
    // To know that a fault is found, one failure will do, as it is.
    let most = if std::env::var_os("MESHER_SIM_QUICK").is_some() { 1 } else { 6 };
    for seed in seeds {
        let before = (Instant::now(), total.happened);
        match run_seed(seed) {
            Ok(effort) => total.add(effort),
            Err(report) => {
                if trace {
                    eprintln!("seed {seed}: {report}");
                }
                failures.push(format!("seed {seed}: {report}"));
            }
        }
        if trace {
            eprintln!("seed {seed}: {} operations in {:?}", total.happened - before.1, before.0.elapsed());
        }
        if failures.len() >= most {
            break;
        }
    }
    total.print(count, started);
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
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
