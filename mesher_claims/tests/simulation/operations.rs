//! What each operation does to the world.

use std::rc::Rc;

use mesher_claims::message::Message;
use mesher_claims::names::ClaimName;
use mesher_claims::record::{ClaimBody, ClaimState, HostBody, MAX_STAMP, Record, Signed};
use mesher_claims::store::AgedRecord;
use mesher_claims::time::Age;

use super::administrator::{network_key, sign_settings};
use super::daemon::Input;
use super::machine::{addresses, key, name};
use super::oracle::Checked;
use super::plan::Op;
use super::world::World;

impl World {
    pub fn apply(&mut self, op: &Op) -> Checked {
        self.happened += 1;
        match *op {
            Op::Start(m) => self.start(m)?,
            Op::Stop(m) => self.stop(m),
            Op::Kill(m) => self.machines[m].end(),
            Op::PowerCut(m) => self.power_cut(m),
            Op::PowerCutAtSave(m, written) => self.machines[m].cut_at_save = Some(written),
            Op::Suspend(m) => self.suspend(m),
            Op::Resume(m) => self.resume(m)?,
            Op::Cut(a, b, one_way) => {
                self.network.cut(a, b);
                if !one_way {
                    self.network.cut(b, a);
                }
            }
            Op::Partition(sides) => self.partition(sides),
            Op::Heal => self.network.heal(),
            Op::Loss(percent) => self.network.loss_percent = percent,
            Op::Delay(low, high) => self.network.delay_ms = (low, high),
            Op::WallJump(m, ms) => self.machines[m].wall_off_ms += ms,
            Op::Addresses(m, variant) => {
                self.machines[m].config.addresses = addresses(m, variant);
                self.reconfigured(m)?;
            }
            Op::Names(m, mask) => self.claim(m, mask)?,
            Op::DiskFull(m, full) => self.machines[m].disk.full = full,
            Op::LoseState(m) if self.machines[m].node.is_none() => {
                self.machines[m].disk = super::machine::Disk::default();
                self.oracle.forgets(&self.machines[m]);
            }
            Op::LoseStore(m) if self.machines[m].node.is_none() => self.machines[m].disk.store = None,
            Op::LoseState(_) | Op::LoseStore(_) => {}
            Op::Settings(ttl_ms, witnesses) => self.new_settings(ttl_ms, witnesses)?,
            Op::CarrierAnew(m) if self.machines[m].runs() => self.start_carrier(m)?,
            Op::CarrierAnew(_) => {}
            Op::Malice(what, target) => self.malice(what, target)?,
        }
        Ok(())
    }

    /// Boots the machine if it is off, and starts the daemon; the first one brings the settings.
    pub fn start(&mut self, m: usize) -> Checked {
        if self.machines[m].node.is_some() || self.is_malicious(m) {
            return Ok(());
        }
        if !self.machines[m].up {
            let offset_ms = self.rng.between(500, 20_000);
            let time_ms = self.time_ms;
            self.machines[m].boot(time_ms, offset_ms);
        }
        if self.machines[m].key_of != m && self.machines[m].starts == 0 {
            // It boots once the copy is made.
            let time_ms = self.time_ms;
            self.machines[m].down_at_ms = time_ms;
            self.machines[m].boot(time_ms, 0);
            self.machines[m].disk = self.machines[self.machines[m].key_of].disk.clone();
        }
        let (now, time_ms) = (self.now(m), self.time_ms);
        let machine = &mut self.machines[m];
        machine.start(network_key().network_id(), time_ms);
        // What the machine's own clocks can tell of the time it was away is credited; the rest makes ages late.
        self.oracle.lateness[m].clear();
        if let (Some(saved), Some(_)) = (&machine.disk.saved, &machine.disk.store) {
            let by_wall = now.wall_ms.saturating_sub(saved.clocks.wall_ms);
            let by_boot = now.boot_ms.checked_sub(saved.clocks.boot_ms).unwrap_or(now.boot_ms);
            let unseen = (time_ms - saved.at_ms).saturating_sub(by_wall.max(by_boot));
            self.oracle.lateness[m] =
                saved.lateness.iter().map(|(host, (seq, late))| (*host, (*seq, late + unseen))).collect();
            // Those not listed were exact when they were saved.
            let known: Vec<_> =
                self.node(m).store().hosts().map(|(host, e)| (*host, e.record().cloned())).collect();
            for (host, record) in known {
                let Some(record) = record else { continue };
                let late = self.oracle.lateness[m].entry(host).or_insert((record.seq, unseen));
                if late.0 != record.seq {
                    *late = (record.seq, unseen);
                }
            }
        }
        self.start_carrier(m)?;
        if m == 0 && self.machines[0].starts == 1 {
            let settings = self.settings.clone();
            self.drive(0, Input::Settings(settings))?;
        }
        self.drive_now(m)
    }

    /// A clean stop keeps the store.
    pub fn stop(&mut self, m: usize) {
        if self.machines[m].suspended {
            return;
        }
        if !self.machines[m].disk.full {
            self.save_store(m);
        }
        self.machines[m].end();
    }

    pub fn power_cut(&mut self, m: usize) {
        self.machines[m].end();
        self.machines[m].up = false;
        self.machines[m].down_at_ms = self.time_ms;
    }

    pub fn suspend(&mut self, m: usize) {
        self.machines[m].suspended = self.machines[m].node.is_some();
    }

    /// What the kernel kept is read before the daemon looks at a clock.
    pub fn resume(&mut self, m: usize) -> Checked {
        if !std::mem::take(&mut self.machines[m].suspended) {
            return Ok(());
        }
        for flight in std::mem::take(&mut self.machines[m].inbox) {
            self.arrive(flight)?;
        }
        self.reconfigured(m)?;
        self.drive_now(m)
    }

    pub fn partition(&mut self, sides: u64) {
        for a in 0..self.machines.len() {
            for b in 0..self.machines.len() {
                if sides >> (a % 64) & 1 != sides >> (b % 64) & 1 {
                    self.network.cut(a, b);
                }
            }
        }
    }

    pub fn claim(&mut self, m: usize, mask: u64) -> Checked {
        let names = (0..self.plan.names).filter(|at| mask >> at & 1 == 1);
        self.machines[m].config.names = names
            .map(|at| {
                // Some names point elsewhere.
                let elsewhere = (mask >> (at + 8) & 7 == 0).then(|| addresses(m, 251));
                (name(at), elsewhere)
            })
            .collect();
        self.reconfigured(m)
    }

    fn reconfigured(&mut self, m: usize) -> Checked {
        if self.machines[m].runs() { self.drive(m, Input::Config) } else { Ok(()) }
    }

    /// The administrator signs new settings and brings them to some machine that is up.
    pub fn new_settings(&mut self, ttl_ms: u64, witnesses: usize) -> Checked {
        let Some(to) = (0..self.machines.len()).find(|m| self.machines[*m].runs()) else { return Ok(()) };
        let former: Vec<_> =
            self.settings.former_witnesses.iter().chain(&self.settings.witnesses).copied().collect();
        let revision = self.settings.revision + 1;
        self.settings = sign_settings(&self.plan, &self.machines, revision, ttl_ms, witnesses, &former);
        let ttls = &mut self.oracle.ttls_ms;
        *ttls = (ttls.0.min(ttl_ms), ttls.1.max(ttl_ms));
        let settings = self.settings.clone();
        self.drive(to, Input::Settings(settings))
    }

    /// A daemon is woken now, if it is due.
    fn drive_now(&mut self, m: usize) -> Checked {
        let now = self.now(m);
        let due = self.machines[m].node.as_ref().is_some_and(|node| node.next_tick_boot_ms() <= now.boot_ms);
        if due {
            return self.drive(m, Input::Wake);
        }
        self.schedule_wake(m);
        Ok(())
    }

    /// A member that lies, about itself: it has a key, and no rules.
    fn malice(&mut self, what: u64, target: usize) -> Checked {
        let liar = self.machines.len() - 1;
        if !self.plan.malice || target == liar {
            return Ok(());
        }
        self.malice_seq += 1 + what % 3;
        let mut body = HostBody {
            host: self.machines[liar].me,
            label: self.machines[liar].config.label.clone(),
            addresses: addresses(liar, 1 + u8::try_from(what % 5).unwrap()),
            since: 0,
            instance: what,
            renewed_at_ms: what >> 20,
            seq: self.malice_seq,
        };
        let mut claims = vec![self.lie(what, 0)];
        match what % 8 {
            0 => body.since = MAX_STAMP,
            1 => claims.push(self.lie(what >> 8, MAX_STAMP)),
            2 => body.seq = MAX_STAMP - what % 100,
            // Two truths for two peers.
            3 => {
                let other = HostBody { addresses: addresses(liar, 9), since: 7, ..body.clone() };
                let to = (target + 1) % self.machines.len();
                self.lie_to(to, other, vec![self.lie(what >> 8, 5)])?;
            }
            4 => claims[0].state = ClaimState::Withdrawn,
            _ => {}
        }
        self.lie_to(target, body, claims)
    }

    fn lie(&self, what: u64, epoch: u64) -> ClaimBody {
        let name: ClaimName = name(usize::try_from(what).unwrap_or(7) % self.plan.names);
        let host = self.machines[self.machines.len() - 1].me;
        ClaimBody { host, name, epoch, state: ClaimState::Held, addresses: None, seq: self.malice_seq }
    }

    fn lie_to(&mut self, target: usize, body: HostBody, claims: Vec<ClaimBody>) -> Checked {
        let liar = self.machines.len() - 1;
        let (network, key) = (network_key().network_id(), key(liar));
        let mut records: Vec<Record> =
            claims.into_iter().map(|claim| Record::Claim(Signed::sign(&network, &key, claim))).collect();
        records.push(Record::Host(Signed::sign(&network, &key, body)));
        for record in &records {
            self.oracle.signed(record, self.time_ms);
        }
        let aged = records.into_iter().map(|record| AgedRecord { record, age: Age::NEW }).collect();
        // It is no daemon of ours that sends this: nothing it sends is held to a promise.
        self.send(liar, target, Rc::new(Message::Records { pushed: true, records: aged }))
    }
}
