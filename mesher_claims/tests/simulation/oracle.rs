//! What must hold, checked against what really happened: the oracle knows true time and everything that was ever signed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesher_claims::address::Addresses;
use mesher_claims::keys::HostKey;
use mesher_claims::names::ClaimName;
use mesher_claims::node::{Node, Phase};
use mesher_claims::record::{Admission, ClaimBody, ClaimState, HostBody, Record};
use mesher_claims::store::Store;
use mesher_claims::time::{Age, Now, broken_after_ms};

use super::machine::Machine;
use super::plan::Plan;

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub promise: &'static str,
    pub text: String,
}

pub type Checked = Result<(), Violation>;

pub fn violation(promise: &'static str, text: String) -> Checked {
    Err(Violation { promise, text })
}

/// What the world has seen of one host.
#[derive(Debug, Default)]
pub struct Seen {
    /// The largest `seq` that ever left this host.
    pub seq: u64,
    since: u64,
    epochs: BTreeMap<ClaimName, (u64, ClaimState)>,
    /// Names that were taken out of its configuration, and in which start of the daemon: if that cannot be saved, nobody hears of it.
    given_up: BTreeMap<ClaimName, u64>,
    sent: HashMap<(String, u64), Record>,
    /// When it last sent a new host record, in true time.
    pub renewed_at_ms: Option<u64>,
    /// And the one before, with the start of the daemon that sent the last.
    renewed_before_ms: Option<u64>,
    renewed_in_start: u64,
    /// When it last saved a renewal that it did not come to send.
    saved_at_ms: Option<u64>,
    /// Its state was lost: what it promised before it cannot know.
    pub forgetful: bool,
    /// It moved claims that it had minted alone, by what it took for the mesh's time.
    raised: bool,
    /// Which start of the daemon signed each `seq`.
    instance_of: HashMap<u64, u64>,
}

impl Seen {
    /// Whether a claim that is sent as held now was given up before, in this start of the daemon.
    fn given_up(&mut self, claim: &ClaimBody, start: u64) -> bool {
        claim.state == ClaimState::Held && self.given_up.remove(&claim.name) == Some(start)
    }
}

pub struct Oracle {
    pub signed_at: HashMap<(HostKey, u64), u64>,
    addresses: HashMap<HostKey, BTreeSet<Vec<std::net::IpAddr>>>,
    claimed: HashMap<HostKey, BTreeSet<(String, u64)>>,
    pub seen: Vec<Seen>,
    /// Per machine and host: how late the age of this `seq` may rightly be, in milliseconds.
    pub lateness: Vec<BTreeMap<HostKey, (u64, u64)>>,
    pub ttls_ms: (u64, u64),
    pub forgetful: BTreeSet<HostKey>,
    wild: bool,
    drift_ppm: u64,
    witnessed: bool,
    malice: bool,
}

impl Oracle {
    pub fn new(plan: &Plan) -> Self {
        Self {
            signed_at: HashMap::new(),
            addresses: HashMap::new(),
            claimed: HashMap::new(),
            seen: (0..plan.machines).map(|_| Seen::default()).collect(),
            lateness: vec![BTreeMap::new(); plan.machines],
            ttls_ms: (plan.ttl_ms, plan.ttl_ms),
            forgetful: BTreeSet::new(),
            wild: plan.wild_clocks,
            drift_ppm: plan.drift_ppm,
            witnessed: plan.witnesses > 0,
            malice: plan.malice,
        }
    }

    /// This machine does not know all that was signed with its key.
    pub fn forgets(&mut self, machine: &Machine) {
        self.seen[machine.number].forgetful = true;
        self.forgetful.insert(machine.me);
    }

    /// A record was signed, by whomever.
    pub fn signed(&mut self, record: &Record, true_ms: u64) {
        match record {
            Record::Host(record) => {
                self.signed_at.entry((record.host, record.seq)).or_insert(true_ms);
                self.addresses.entry(record.host).or_default().insert(record.addresses.iter().collect());
            }
            Record::Claim(claim) => self.claimed(claim),
            _ => {}
        }
    }

    /// A machine of ours has this host record now. What never left it may be signed again in another way.
    pub fn signed_own(&mut self, machine: usize, record: &HostBody, true_ms: u64) {
        let key = (record.host, record.seq);
        let last = self.seen[machine].instance_of.insert(record.seq, record.instance);
        if last != Some(record.instance) && record.seq > self.seen[machine].seq {
            self.signed_at.insert(key, true_ms);
        }
        self.signed_at.entry(key).or_insert(true_ms);
        self.addresses.entry(record.host).or_default().insert(record.addresses.iter().collect());
    }

    /// A machine of ours has this claim now, sent or not.
    pub fn claimed_own(&mut self, machine: usize, start: u64, claim: &ClaimBody) {
        if claim.state == ClaimState::Withdrawn {
            self.seen[machine].given_up.insert(claim.name.clone(), start);
        }
        self.claimed(claim);
    }

    /// A machine tells that it moved claims that it had minted alone.
    pub fn raised(&mut self, machine: usize) {
        self.seen[machine].raised = true;
    }

    pub fn claimed(&mut self, claim: &ClaimBody) {
        let claims = self.claimed.entry(claim.host).or_default();
        claims.insert((claim.name.folded(), claim.epoch));
        let addresses = claim.addresses.as_ref().map(|a: &Addresses| a.iter().collect());
        addresses.map(|a| self.addresses.entry(claim.host).or_default().insert(a));
    }

    /// This machine saved its state, and its power went before anything of it left. For all it knows later this was said: a name that
    /// was given up so is claimed anew, not as before.
    pub fn saved_unsent(&mut self, machine: usize, node: &Node, true_ms: u64) {
        let seen = &mut self.seen[machine];
        seen.saved_at_ms = Some(true_ms);
        for claim in node.own().claims().filter(|claim| claim.state == ClaimState::Withdrawn) {
            if let Some((epoch, state)) = seen.epochs.get_mut(&claim.name) {
                (*epoch, *state) = ((*epoch).max(claim.epoch), ClaimState::Withdrawn);
            }
        }
    }

    /// Durability: a record of its own leaves a machine, whose disk remembers everything up to `durable_seq`.
    pub fn sent(&mut self, machine: &Machine, record: &Record, true_ms: u64) -> Checked {
        if record.host() != Some(machine.me) {
            return Ok(());
        }
        let seq = match record {
            Record::Host(record) => record.seq,
            Record::Claim(claim) => claim.seq,
            Record::Statement(statement) => statement.seq,
            _ => return Ok(()),
        };
        let number = machine.number;
        if seq > machine.disk.own_seq {
            let text = format!("host{number} sends seq {seq}, its disk knows {}", machine.disk.own_seq);
            return violation("durability: saved before it is sent", text);
        }
        let (limits, wild) = (self.ttls_ms, self.wild);
        let (witnessed, malice) = (self.witnessed, self.malice);
        let seen = &mut self.seen[number];
        if let Some(before) = seen.sent.get(&(record.carrier_key(), seq)) {
            if before != record && !seen.forgetful {
                return violation("durability: no seq used twice", format!("host{number}: {record:?}"));
            }
            return Ok(());
        }
        seen.sent.insert((record.carrier_key(), seq), record.clone());
        if let Record::Host(record) = record {
            // Of two that were signed for one input, only the last is what the machine has.
            self.signed_at.entry((record.host, record.seq)).or_insert(true_ms);
        }
        if seen.sent.len() > 4_096 {
            seen.sent.clear();
        }
        match record {
            Record::Host(record) if seq > seen.seq => {
                let gap = seen.renewed_at_ms.max(seen.saved_at_ms).map_or(0, |at| true_ms - at);
                if record.since < seen.since && !seen.forgetful {
                    let text = format!("host{number}: {} after {}", record.since, seen.since);
                    return violation("durability: since never goes back", text);
                }
                let long_gone = gap > limits.1 + limits.1 / 500 + 10;
                if long_gone && record.since == seen.since && !wild && !seen.forgetful {
                    let text = format!("host{number} was silent for {gap} ms and renews as if nothing were");
                    return violation("stability: who was away stands in line again", text);
                }
                seen.since = record.since.max(seen.since);
                seen.renewed_before_ms = seen.renewed_at_ms.replace(true_ms);
                seen.renewed_in_start = machine.starts;
            }
            Record::Claim(claim) if seq > seen.seq || !seen.epochs.contains_key(&claim.name) => {
                let before = seen.epochs.insert(claim.name.clone(), (claim.epoch, claim.state));
                let given_up = seen.given_up(claim, machine.starts);
                if let (Some((epoch, state)), ClaimState::Held) = (before, claim.state)
                    && !seen.forgetful
                {
                    // After a restart the last renewal is nothing a host can build on: it may never have left. So a peer that
                    // missed it, and calls the one before expired, is believed.
                    let restarted = seen.renewed_in_start != machine.starts;
                    let last = if restarted { seen.renewed_before_ms } else { seen.renewed_at_ms };
                    let gap = last.map_or(1 << 50, |at| true_ms - at);
                    // Whose first other clock is a liar's goes by it: of two nobody can say which is right.
                    let lied_to = malice && seen.raised;
                    let broken = given_up || lied_to || gap + gap / 500 + 5 >= broken_after_ms(limits.0);
                    let text = format!("host{number} {}: {epoch} to {}, {gap} ms", claim.name, claim.epoch);
                    if state == ClaimState::Withdrawn && claim.epoch <= epoch || claim.epoch < epoch {
                        return violation("durability: no epoch used twice", text);
                    }
                    if state == ClaimState::Held && claim.epoch != epoch && !broken && !wild && !witnessed {
                        return violation("stability: an unbroken claim keeps its epoch", text);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// After everything of one announcement has left.
    pub fn announced(&mut self, number: usize, seq: u64) {
        self.seen[number].seq = self.seen[number].seq.max(seq);
    }

    /// A machine took in a report about a host's `seq` that is late by at most `lateness_ms`.
    pub fn reported(&mut self, machine: usize, node: &Node, host: HostKey, seq: u64, lateness_ms: u64) {
        let Some(record) = node.store().host(&host).and_then(|entry| entry.record()) else { return };
        if record.seq != seq || host == node.me() {
            return;
        }
        let known = self.lateness[machine].entry(host).or_insert((seq, lateness_ms));
        *known = if known.0 == seq { (seq, known.1.min(lateness_ms)) } else { (seq, lateness_ms) };
    }

    pub fn lateness_of(&self, machine: usize, host: HostKey, seq: u64) -> u64 {
        self.lateness[machine].get(&host).filter(|known| known.0 == seq).map_or(0, |known| known.1)
    }

    /// Safety and bounds, as one machine stands now.
    pub fn check(&self, machine: usize, node: &Node, now: Now, true_ms: u64) -> Checked {
        self.check_ages(machine, node, now, true_ms)?;
        check_own(machine, node)
    }

    fn check_ages(&self, machine: usize, node: &Node, now: Now, true_ms: u64) -> Checked {
        for (host, entry) in node.store().hosts() {
            let Some(record) = entry.record().filter(|record| record.host != node.me()) else { continue };
            let Some(signed_at) = self.signed_at.get(&(*host, record.seq)) else {
                return violation("safety: only what was signed", format!("{record:?} at host{machine}"));
            };
            let true_age = true_ms - signed_at;
            // A host that forgot its state uses numbers again, until its peers have reminded it.
            if self.forgetful.contains(host) {
                continue;
            }
            let drift = true_age * 2 * self.drift_ppm / 1_000_000 + 2;
            match entry.age(now) {
                Age::Fresh(age) => {
                    let late = self.lateness_of(machine, *host, record.seq);
                    if age + late + drift < true_age {
                        let text = format!(
                            "host{machine} takes {} for {age} ms old; it is {true_age}, {late} are excused",
                            record.label
                        );
                        return violation("safety: leases end by age", text);
                    }
                }
                Age::Expired if !self.wild && true_age + drift < self.ttls_ms.0 => {
                    let text = format!("host{machine} counts {} out after {true_age} ms", record.label);
                    return violation("stability: leases do not end early", text);
                }
                Age::Expired => {}
            }
        }
        Ok(())
    }

    /// Safety of a changed view, and that it is what a plain reading of the rules gives.
    pub fn check_view(&self, machine: usize, node: &Node, now: Now) -> Checked {
        for (name, standing) in node.view().names() {
            for claimant in &standing.claimants {
                let claimed = self.claimed.get(&claimant.host);
                if claimed.is_none_or(|all| !all.contains(&(name.folded(), claimant.epoch))) {
                    return violation("safety: only who claimed", format!("{claimant:?} at host{machine}"));
                }
                let addresses: Vec<_> = claimant.addresses.iter().collect();
                if self.addresses.get(&claimant.host).is_none_or(|all| !all.contains(&addresses)) {
                    return violation("safety: only its addresses", format!("{claimant:?} at host{machine}"));
                }
            }
        }
        let mut expected = plain_view(node.store(), now);
        if matches!(node.phase(), Phase::Joining { .. }) {
            let held = |name: &str| node.own().held().iter().any(|held| held.folded() == name);
            for (_, all) in expected.iter_mut().filter(|(name, _)| !held(name)) {
                all.retain(|(_, host)| *host != node.me());
            }
            expected.retain(|_, all| !all.is_empty());
        }
        let found: BTreeMap<String, Vec<(u64, HostKey)>> = node
            .view()
            .names()
            .filter(|(_, standing)| !standing.claimants.is_empty())
            .map(|(name, s)| (name.folded(), s.claimants.iter().map(|c| (c.rank_ms, c.host)).collect()))
            .collect();
        if expected == found {
            return Ok(());
        }
        violation(
            "safety: the view is what the rules say",
            format!("host{machine}: {expected:?} but {found:?}"),
        )
    }
}

/// A running host never announces as held what its own `since` makes void.
fn check_own(machine: usize, node: &Node) -> Checked {
    let own = node.own();
    let void = own.claims().find(|claim| claim.state == ClaimState::Held && claim.epoch < own.since());
    match void {
        Some(claim) if node.phase() == Phase::Running => {
            let text = format!("host{machine}: {} of {} below {}", claim.name, claim.epoch, own.since());
            violation("liveness: no held claim below the own since", text)
        }
        _ => Ok(()),
    }
}

/// The view by a second, plain reading of the design: who holds and who waits, each with its rank.
pub fn plain_view(store: &Store, now: Now) -> BTreeMap<String, Vec<(u64, HostKey)>> {
    let mut names: BTreeMap<String, Vec<(u64, HostKey)>> = BTreeMap::new();
    let Some(settings) = store.settings() else { return names };
    for (host, entry) in store.hosts() {
        let Some(record) = entry.record() else { continue };
        let alive = matches!(entry.age(now), Age::Fresh(age) if Some(age) < store.lease_ttl_ms(now));
        let admitted = settings.admission == Admission::Open || entry.certificate().is_some();
        if !alive || !admitted || settings.revoked.contains(host) {
            continue;
        }
        for claim in entry.claims().filter(|c| c.state == ClaimState::Held && c.epoch >= record.since) {
            let witnesses = settings.witnesses.iter().chain(&settings.former_witnesses);
            let stated = witnesses.filter_map(|w| store.host(w)?.statement(host, &claim.name));
            let first = stated.filter(|s| s.epoch == claim.epoch && !s.void).map(|s| s.at).min();
            let rank = if settings.witnesses.is_empty() { Some(claim.epoch) } else { first };
            if let Some(rank) = rank {
                names.entry(claim.name.folded()).or_default().push((rank, *host));
            }
        }
    }
    names.values_mut().for_each(|claimants| claimants.sort());
    names
}
