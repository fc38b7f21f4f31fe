//! The simulated world: true time, machines, a network, and an oracle that watches.

use mesher_claims::event::Event;
use mesher_claims::node::Node;
use mesher_claims::record::{SettingsBody, Signed};
use mesher_claims::time::Now;

use super::administrator::{certificate, sign_settings};
use super::agenda::Agenda;
use super::daemon::Input;
use super::machine::Machine;
use super::network::{Carrier, Flight, Network};
use super::oracle::{Checked, Oracle, violation};
use super::plan::Plan;
use super::rng::Rng;

pub struct World {
    pub plan: Plan,
    pub time_ms: u64,
    pub machines: Vec<Machine>,
    pub network: Network,
    pub carriers: Vec<Carrier>,
    pub oracle: Oracle,
    pub rng: Rng,
    /// Everything the daemons told, with its true time.
    pub told: Vec<(u64, usize, Event)>,
    pub keep_told: bool,
    pub settings: Signed<SettingsBody>,
    pub malice_seq: u64,
    /// Messages sent, in all.
    pub messages: u64,
    /// Everything that happened, in all: deliveries, wakes, gossip rounds, operations.
    pub happened: u64,
    agenda: Agenda<Due>,
}

/// A run of more events than this has a storm in it. Fifty machines that push each renewal to all for a quarter of an hour, at
/// a TTL of 20 s, make a million.
const MOST_EVENTS: u64 = 3_000_000;

pub enum Due {
    Wake(usize, u64),
    Arrival(Flight),
    Gossip(usize),
    SaveStore(usize),
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let mut rng = Rng::of(&[plan.seed, 2]);
        let machines = (0..plan.machines).map(|number| {
            let skew = match rng.below(if plan.wild_clocks { 4 } else { 2 }) {
                0 => 0,
                1 => i64::try_from(rng.between(0, 40_000)).unwrap() - 20_000,
                2 => i64::try_from(rng.between(0, 40 * 86_400_000)).unwrap() - 20 * 86_400_000,
                _ => -i64::try_from(super::machine::EPOCH_2026_MS).unwrap(),
            };
            let ppm = i64::try_from(rng.between(0, plan.drift_ppm * 2)).unwrap();
            Machine::new(number, skew, ppm - i64::try_from(plan.drift_ppm).unwrap())
        });
        let mut machines: Vec<Machine> = machines.collect();
        if plan.cloned {
            let original = plan.machines - 2;
            let wall_off_ms = machines[original].wall_off_ms;
            machines[original + 1].be_copy_of(original, wall_off_ms);
        }
        for machine in &mut machines {
            machine.config.certificate = plan.certified.then(|| certificate(machine));
        }
        let settings = sign_settings(&plan, &machines, 1, plan.ttl_ms, plan.witnesses, &[]);
        let mut world = Self {
            time_ms: 0,
            carriers: vec![Carrier::default(); machines.len()],
            network: Network::new(plan.seed, plan.loss_percent, plan.delay_ms),
            oracle: Oracle::new(&plan),
            told: Vec::new(),
            keep_told: false,
            settings,
            malice_seq: 0,
            messages: 0,
            happened: 0,
            agenda: Agenda::default(),
            machines,
            rng,
            plan,
        };
        if world.plan.cloned {
            // What one of two copies signed the other may sign again in another way.
            for number in [world.plan.machines - 2, world.plan.machines - 1] {
                world.oracle.forgets(&world.machines[number]);
            }
        }
        for number in 0..world.machines.len() {
            world.later(world.time_ms + 500 + 37 * number as u64, Due::Gossip(number));
            world.later(world.time_ms + 10_000 + 371 * number as u64, Due::SaveStore(number));
        }
        world
    }

    /// Lets true time pass.
    pub fn run(&mut self, ms: u64) -> Checked {
        self.run_until(self.time_ms + ms)
    }

    pub fn run_until(&mut self, end_ms: u64) -> Checked {
        while let Some((at, due)) = self.agenda.next_by(end_ms) {
            self.time_ms = at;
            self.happened += 1;
            if self.happened > MOST_EVENTS {
                return violation("bounds: a run ends", format!("{MOST_EVENTS} events by {at} ms"));
            }
            match due {
                Due::Wake(m, number) if self.machines[m].wake == number => {
                    self.machines[m].wake_at_ms = u64::MAX;
                    self.drive(m, Input::Wake)?;
                }
                Due::Wake(..) => self.happened -= 1,
                Due::Arrival(flight) => self.arrive(flight)?,
                Due::Gossip(m) => self.gossip(m),
                Due::SaveStore(m) => self.save_store_now_and_then(m),
            }
        }
        self.time_ms = end_ms;
        Ok(())
    }

    pub fn now(&self, m: usize) -> Now {
        self.machines[m].now(self.time_ms)
    }

    fn save_store_now_and_then(&mut self, m: usize) {
        let pause = self.rng.between(5_000, 60_000);
        self.later(self.time_ms + pause, Due::SaveStore(m));
        if self.machines[m].runs() && !self.machines[m].disk.full {
            self.save_store(m);
        }
    }

    pub fn save_store(&mut self, m: usize) {
        let now = self.now(m);
        let machine = &mut self.machines[m];
        let Some(node) = machine.node.as_ref() else { return };
        machine.disk.store = Some(node.store().save(now));
        machine.disk.saved = Some(super::machine::StoreSaved {
            at_ms: self.time_ms,
            clocks: now,
            lateness: self.oracle.lateness[m].clone(),
        });
    }

    pub fn schedule_wake(&mut self, m: usize) {
        let machine = &mut self.machines[m];
        let Some(node) = machine.node.as_ref().filter(|_| !machine.suspended) else { return };
        let at = machine.true_ms_at(node.next_tick_boot_ms(), self.time_ms).max(self.time_ms + 1);
        if at < machine.wake_at_ms || machine.wake_at_ms <= self.time_ms {
            machine.wake += 1;
            machine.wake_at_ms = at;
            let wake = machine.wake;
            self.later(at, Due::Wake(m, wake));
        }
    }

    pub fn is_malicious(&self, m: usize) -> bool {
        self.plan.malice && m + 1 == self.machines.len()
    }

    /// Whether another machine has the same key.
    pub fn is_copied(&self, m: usize) -> bool {
        self.plan.cloned && m + 2 >= self.machines.len()
    }

    pub fn later(&mut self, at_ms: u64, due: Due) {
        self.agenda.add(at_ms, due);
    }

    pub fn node(&self, m: usize) -> &Node {
        self.machines[m].node.as_ref().expect("it runs")
    }
}
