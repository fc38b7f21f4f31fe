//! A whole run: operations, then an end to all faults, then what must hold; and the search for the shortest failing run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mesher_claims::keys::HostKey;
use mesher_claims::names::ClaimName;
use mesher_claims::node::Phase;
use mesher_claims::record::{Admission, ClaimState};
use mesher_claims::store::HostEntry;
use mesher_claims::view::{Claimant, Standing, View};

use super::oracle::{Checked, Violation, violation};
use super::plan::{Op, Plan};
use super::world::World;

/// How much a run did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Effort {
    pub happened: u64,
    pub messages: u64,
    pub simulated_ms: u64,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Result<Effort, Violation> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan.clone());
        let checked = play(&mut world).and_then(|()| settle(&mut world));
        checked.map(|()| Effort {
            happened: world.happened,
            messages: world.messages,
            simulated_ms: world.time_ms,
        })
    }));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Violation { promise: "no panic", text: text.unwrap_or_default() })
    })
}

/// Runs a seed; on failure, says how to replay it, with the shortest list of operations that still fails.
pub fn run_seed(seed: u64) -> Result<Effort, String> {
    let plan = Plan::random(seed);
    run(&plan).map_err(|violation| {
        let (kept, violation) = shorten(&plan, violation);
        let list: Vec<String> = kept
            .iter()
            .map(|at| format!("  {at:3}: at {:6} ms {:?}", plan.operations[*at].0, plan.operations[*at].1))
            .collect();
        let keep: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let conditions = Plan { operations: Vec::new(), ..plan.clone() };
        format!(
            "{}\n{}\nreplay: MESHER_SIM_SEED={seed} MESHER_SIM_KEEP={} cargo test -p mesher_claims --test simulation replay\n{conditions:?}\n{}",
            violation.promise,
            violation.text,
            keep.join(","),
            list.join("\n")
        )
    })
}

/// A search for a shorter run ends after so long.
const SHORTENING_SECONDS: u64 = 20;

/// Leaves operations out as long as the same promise is broken.
fn shorten(plan: &Plan, mut last: Violation) -> (Vec<usize>, Violation) {
    let mut kept: Vec<usize> = (0..plan.operations.len()).collect();
    let started = std::time::Instant::now();
    if std::env::var_os("MESHER_SIM_QUICK").is_some() {
        return (kept, last);
    }
    let mut width = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() {
            if started.elapsed().as_secs() > SHORTENING_SECONDS {
                return (kept, last);
            }
            let mut fewer = kept.clone();
            fewer.drain(at..(at + width).min(kept.len()));
            match run(&plan.keeping(&fewer)) {
                Err(violation) if violation.promise == last.promise => (kept, last) = (fewer, violation),
                _ => at += width,
            }
        }
        if width == 1 {
            return (kept, last);
        }
        width = width.div_ceil(2);
    }
}

/// The faults.
fn play(world: &mut World) -> Checked {
    let plan = world.plan.clone();
    let start = world.time_ms;
    for m in 0..plan.machines {
        let mask = world.rng.next() | world.rng.next() << 40;
        world.claim(m, mask)?;
        // The founder first; some of the others only when an operation starts them.
        if m == 0 || world.rng.percent(90) {
            let pause = world.rng.pick(&[0, 0, 10, 300, 6_000]);
            world.start(m)?;
            world.run(pause)?;
        }
    }
    for (at, op) in &plan.operations {
        world.run_until((start + at).max(world.time_ms))?;
        world.apply(op)?;
    }
    Ok(())
}

/// Within how long after the last fault everybody agrees, if no host is dead. See `docs/reliability.md`.
pub fn agreement_bound_ms(hosts: usize, ttl_ms: u64) -> u64 {
    let sync_ms = 30_000_u64.max(300 * hosts as u64) * 5 / 4;
    5_000 + 2 * sync_ms + (ttl_ms / 3).min(600_000)
}

/// The end of all faults: everything heals, some machines stay off. Then all must agree, and stay so.
fn settle(world: &mut World) -> Checked {
    world.network.heal();
    world.network.loss_percent = 0;
    world.network.delay_ms = (1, 10);
    let mut dead = false;
    for m in 0..world.machines.len() {
        world.machines[m].disk.full = false;
        world.machines[m].cut_at_save = None;
        world.resume(m)?;
        let stays_off = world.machines[m].node.is_none() && world.rng.percent(30);
        if stays_off || world.is_malicious(m) {
            dead = true;
        } else {
            world.start(m)?;
        }
    }
    if world.machines.iter().all(|m| m.node.is_none()) {
        return Ok(());
    }
    let hosts = world.machines.len();
    let ttl_ms = world.oracle.ttls_ms.1;
    let bound_ms = agreement_bound_ms(hosts, ttl_ms) + if dead { ttl_ms } else { 0 };
    world.run(bound_ms)?;
    if world.machines.iter().all(|m| m.node.as_ref().is_none_or(|node| node.settings().is_none())) {
        // Whoever had the settings is dead.
        return Ok(());
    }
    agree(world)?;
    stay_calm(world)
}

fn agree(world: &World) -> Checked {
    let running: Vec<usize> =
        (0..world.machines.len()).filter(|m| world.machines[*m].node.is_some()).collect();
    let first = world.node(running[0]);
    for m in &running {
        let node = world.node(*m);
        if node.phase() != Phase::Running && !(node.phase() == Phase::Silenced && world.is_copied(*m)) {
            return violation("liveness: everybody joins", format!("host{m} is {:?}", node.phase()));
        }
        if node.settings() != first.settings() {
            return violation("agreement: one set of settings", format!("host{m} and host{}", running[0]));
        }
        if node.view() != first.view() {
            let text = format!(
                "{}; ages {:?} and {:?}",
                differences(node.view(), first.view()),
                ages(world, *m),
                ages(world, running[0])
            );
            return violation("agreement: one view", format!("host{m} and host{}: {text}", running[0]));
        }
    }
    one_of_two_copies(world)?;
    let speaking: Vec<usize> =
        running.iter().copied().filter(|m| world.node(*m).phase() == Phase::Running).collect();
    for m in &speaking {
        claims_stand(world, *m)?;
    }
    for (name, standing) in first.view().names() {
        for claimant in standing.claimants.iter().chain(&standing.unwitnessed) {
            let who = claimant.label.as_str();
            let Some(host) = speaking.iter().find(|m| world.machines[**m].me == claimant.host) else {
                return violation("liveness: the dead expire", format!("{who} holds {name}"));
            };
            if !world.machines[*host].config.names.contains_key(name) {
                return violation("liveness: withdrawals act", format!("{who} on {name}"));
            }
        }
    }
    Ok(())
}

/// Of two machines with one key that both run, one has fallen silent.
fn one_of_two_copies(world: &World) -> Checked {
    let copies = world.machines.iter().filter(|machine| world.is_copied(machine.number));
    let phases: Vec<Phase> = copies.filter_map(|machine| Some(machine.node.as_ref()?.phase())).collect();
    if phases.len() == 2 && phases.iter().filter(|phase| **phase == Phase::Silenced).count() != 1 {
        return violation("liveness: copies of a key are noticed", format!("{phases:?}"));
    }
    Ok(())
}

/// Whether a claim that was made now would count: in a network with witnesses, only if one of them lives to see it. By the settings
/// that are in force where it is made: newer ones may have been lost with the only machine that had them.
fn witnessed(world: &World, m: usize) -> bool {
    let lives = |host: &HostKey| world.machines.iter().any(|m| m.me == *host && m.node.is_some());
    let settings = world.node(m).settings();
    settings.is_none_or(|settings| settings.witnesses.is_empty() || settings.witnesses.iter().any(lives))
}

/// Every name a running host is configured to claim is claimed, by the epoch it knows, with its present addresses.
fn claims_stand(world: &World, m: usize) -> Checked {
    let (node, config) = (world.node(m), &world.machines[m].config);
    for (name, addresses) in &config.names {
        let Some(own) = node.own().claim(name).filter(|claim| claim.state == ClaimState::Held) else {
            return violation("liveness: names are claimed", format!("host{m} does not claim {name}"));
        };
        let standing = node.view().name(name);
        let stands = |claimant: &&Claimant| claimant.host == node.me();
        if !witnessed(world, m) && standing.is_some_and(|s| s.unwitnessed.iter().any(|c| stands(&c))) {
            continue;
        }
        let Some(claimant) = standing.and_then(|s| s.claimants.iter().find(stands)) else {
            let text = format!(
                "host{m}'s claim on {name} counts for nothing: {:?} {} {:?}",
                standing.map(|s| s.claimants.len()),
                own.epoch,
                node.store().host(&node.me()).map(|e| (
                    e.age(world.now(m)),
                    e.record().map(|r| (r.since, r.seq)),
                    e.claim(name).map(|c| (c.epoch, c.seq, c.state))
                ))
            );
            return violation("liveness: claims count", text);
        };
        if claimant.epoch != own.epoch
            || claimant.addresses != *addresses.as_ref().unwrap_or(&config.addresses)
        {
            return violation("liveness: peers follow", format!("host{m} {name}: {claimant:?}"));
        }
    }
    Ok(())
}

/// Nothing changes any more, and the talk is within bounds.
fn stay_calm(world: &mut World) -> Checked {
    let generations = |world: &World| -> Vec<Option<u64>> {
        world.machines.iter().map(|m| m.node.as_ref().map(|node| node.view_generation())).collect()
    };
    let (before, messages) = (generations(world), world.messages);
    world.keep_told = true;
    let calm_ms = 60_000;
    world.run(calm_ms)?;
    if before != generations(world) {
        let told: Vec<String> = world
            .told
            .iter()
            .rev()
            .take(8)
            .map(|told| format!("{told:?}").chars().take(300).collect())
            .collect();
        return violation("stability: views stay when nothing happens", told.join("\n"));
    }
    let running = world.machines.iter().find_map(|machine| machine.node.as_ref());
    let ttl_ms = running.and_then(|node| node.settings()).map_or(3_000, |settings| settings.claim_ttl_ms);
    let hosts = world.machines.len() as u64;
    let renewals = calm_ms / (ttl_ms / 3).clamp(1_000, 600_000) + 1;
    // A renewal is pushed to 3, and each host that it is news to passes it on to 2; a synchronisation is a digest, its
    // answer, and now and then records.
    let bound = hosts * renewals * (hosts.max(3) + 2 * hosts) + hosts * (calm_ms / 20_000 + 1) * 6;
    let sent = world.messages - messages;
    if sent > bound {
        return violation("bounds: a quiet network is quiet", format!("{sent} messages, {bound} at most"));
    }
    Ok(())
}

/// Each host, its `seq` and its age, as one machine has them.
fn ages(world: &World, m: usize) -> Vec<String> {
    let age = |(_, entry): (_, &HostEntry)| {
        let record = entry.record()?;
        Some(format!("{} {} {:?}", record.label.as_str(), record.seq, entry.age(world.now(m))))
    };
    world.node(m).store().hosts().filter_map(age).collect()
}

fn brief(standing: Option<&Standing>) -> String {
    let brief = |claimants: &[Claimant]| -> Vec<String> {
        claimants.iter().map(|c| format!("{} {} {}", c.label.as_str(), c.epoch, c.rank_ms)).collect()
    };
    standing.map_or("nothing".into(), |s| format!("{:?} {:?}", brief(&s.claimants), brief(&s.unwitnessed)))
}

fn differences(a: &View, b: &View) -> String {
    let all: BTreeMap<&ClaimName, ()> = a.names().chain(b.names()).map(|(name, _)| (name, ())).collect();
    let unlike: Vec<String> = all
        .keys()
        .filter(|name| a.name(name) != b.name(name))
        .map(|name| format!("{name}: {} and {}", brief(a.name(name)), brief(b.name(name))))
        .collect();
    unlike.join("; ")
}

/// Whether a plan asks for something only a part of all runs can promise.
#[allow(dead_code, reason = "used by the scenarios")]
pub fn certified(world: &World) -> bool {
    world.settings.admission == Admission::Certified
}

/// A plan with operations written by hand.
#[allow(dead_code, reason = "used by the scenarios")]
pub fn with(plan: Plan, operations: &[(u64, Op)]) -> Plan {
    Plan { operations: operations.to_vec(), ..plan }
}
