//! What happens in a run: its conditions and its operations, all made from one seed.

use super::rng::Rng;

/// The conditions of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub machines: usize,
    /// How many names there are to claim.
    pub names: usize,
    pub ttl_ms: u64,
    /// For how long operations come; then faults stop.
    pub busy_ms: u64,
    /// Wall clocks that are off by years and jump, instead of by up to 20 s and never.
    pub wild_clocks: bool,
    /// How fast the boot clocks run at most beside true time, in millionths.
    pub drift_ppm: u64,
    /// Rounds of the carrier, or none: the rules must hold without it.
    pub carrier_ms: Option<u64>,
    /// How many witnesses the first settings name.
    pub witnesses: usize,
    pub certified: bool,
    /// The last machine is not one of ours: it sends what it likes.
    pub malice: bool,
    /// The last machine is a copy of the one before it: it has its key, and its state as of when it first starts.
    pub cloned: bool,
    /// Each message is encoded, decoded and verified on its way.
    pub wire: bool,
    pub loss_percent: u64,
    pub delay_ms: (u64, u64),
    pub operations: Vec<(u64, Op)>,
}

/// One thing that happens to the world. One that has no meaning at its moment does nothing, so that any can be left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Boots the machine if it is off, and starts the daemon.
    Start(usize),
    /// Stops the daemon cleanly.
    Stop(usize),
    /// Kills the daemon; the machine stays up.
    Kill(usize),
    /// Cuts the machine's power.
    PowerCut(usize),
    /// Cuts the machine's power at the next save, before or after the new state is in place.
    PowerCutAtSave(usize, bool),
    Suspend(usize),
    Resume(usize),
    /// Nothing passes between the two, or only nothing from the first to the second.
    Cut(usize, usize, bool),
    /// The machines whose bits are set, and the others, do not see each other.
    Partition(u64),
    Heal,
    Loss(u64),
    Delay(u64, u64),
    WallJump(usize, i64),
    /// The machine has other addresses, of this number.
    Addresses(usize, u8),
    /// The machine claims the names whose bits are set.
    Names(usize, u64),
    DiskFull(usize, bool),
    /// The whole state is lost while the daemon is down; the key stays.
    LoseState(usize),
    /// Only the store of others' records is lost while the daemon is down.
    LoseStore(usize),
    /// The administrator signs new settings: TTL, number of witnesses.
    Settings(u64, usize),
    /// The carrier's task ends and is built again.
    CarrierAnew(usize),
    /// The malicious member does what this number stands for, to that machine.
    Malice(u64, usize),
}

const TTLS_MS: [u64; 8] = [3_000, 5_000, 10_000, 10_000, 20_000, 30_000, 60_000, 600_000];

impl Plan {
    /// A calm world: one network, no loss, no operations.
    pub fn calm(machines: usize, ttl_ms: u64) -> Self {
        Self {
            seed: 1,
            machines,
            names: 6,
            ttl_ms,
            busy_ms: 0,
            wild_clocks: false,
            drift_ppm: 0,
            carrier_ms: Some(1_000),
            witnesses: 0,
            certified: false,
            malice: false,
            cloned: false,
            wire: false,
            loss_percent: 0,
            delay_ms: (1, 10),
            operations: Vec::new(),
        }
    }

    /// The run that a seed stands for.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::of(&[seed, 1]);
        let machines = match rng.below(100) {
            0..75 => rng.between(2, 6),
            75..97 => rng.between(7, 12),
            _ => rng.between(13, 50),
        };
        let mut plan = Self::calm(usize::try_from(machines).unwrap(), rng.pick(&TTLS_MS));
        plan.seed = seed;
        plan.names = usize::try_from(rng.between(1, 6)).unwrap();
        plan.busy_ms = rng.between(plan.ttl_ms.min(60_000) * 2, plan.ttl_ms.min(60_000) * 12);
        plan.wild_clocks = rng.percent(40);
        plan.drift_ppm = rng.pick(&[0, 0, 50, 200]);
        plan.carrier_ms = rng.percent(60).then(|| rng.between(500, 3_000));
        plan.witnesses = if rng.percent(20) { usize::try_from(rng.between(1, 3)).unwrap() } else { 0 };
        plan.certified = rng.percent(10);
        plan.malice = plan.machines > 2 && rng.percent(15);
        plan.wire = rng.percent(2);
        plan.loss_percent = rng.pick(&[0, 0, 0, 2, 10, 30]);
        plan.delay_ms = rng.pick(&[(1, 5), (1, 5), (1, 50), (5, 400), (1, 2_000)]);
        if plan.machines > 12 {
            plan.ttl_ms = plan.ttl_ms.max(20_000);
            plan.busy_ms = plan.busy_ms.clamp(60_000, 120_000);
        }
        plan.carrier_ms = plan.carrier_ms.map(|round| round.min(plan.ttl_ms / 10));
        let count = rng.between(3, 40);
        for _ in 0..count {
            let at = rng.below(plan.busy_ms);
            let op = plan.random_op(&mut rng);
            plan.operations.push((at, op));
        }
        // Most of what stops is to start again, at a time of every length beside the TTL.
        for (at, op) in plan.operations.clone() {
            let (Op::Stop(m) | Op::Kill(m) | Op::PowerCut(m) | Op::PowerCutAtSave(m, _) | Op::Suspend(m)) =
                op
            else {
                continue;
            };
            if rng.percent(85) {
                let back = at + plan.ttl_ms.min(60_000) * rng.between(1, 250) / 100;
                let op = if matches!(op, Op::Suspend(_)) { Op::Resume(m) } else { Op::Start(m) };
                plan.operations.push((back, op));
            }
        }
        // Copies cannot be promised what the oracle promises everybody else's witnesses.
        let may_be_cloned = plan.machines > 2 && !plan.malice && plan.witnesses == 0;
        plan.cloned = may_be_cloned && Rng::of(&[seed, 3]).percent(10);
        plan.operations.sort_by_key(|(at, _)| *at);
        plan
    }

    /// The same run with only the operations at these places.
    pub fn keeping(&self, kept: &[usize]) -> Self {
        let mut plan = self.clone();
        plan.operations = kept.iter().filter_map(|at| self.operations.get(*at).cloned()).collect();
        plan
    }

    fn random_op(&self, rng: &mut Rng) -> Op {
        let m = rng.index(self.machines);
        match rng.below(100) {
            0..10 => Op::Stop(m),
            10..18 => Op::Kill(m),
            18..26 => Op::PowerCut(m),
            26..31 => Op::PowerCutAtSave(m, rng.percent(50)),
            31..39 => Op::Suspend(m),
            39..44 => Op::Cut(m, rng.index(self.machines), rng.percent(30)),
            44..50 => Op::Partition(rng.next()),
            50..58 => Op::Heal,
            58..61 => Op::Loss(rng.pick(&[0, 5, 20, 60])),
            61..63 => Op::Delay(1, rng.pick(&[5, 100, 1_000])),
            63..69 => self.random_jump(m, rng),
            69..75 => Op::Addresses(m, u8::try_from(rng.between(1, 250)).unwrap()),
            75..85 => Op::Names(m, rng.next() & rng.next()),
            85..88 => Op::DiskFull(m, rng.percent(50)),
            88..90 => Op::LoseState(m),
            90..92 => Op::LoseStore(m),
            92..94 => {
                let witnesses =
                    if self.witnesses == 0 { 0 } else { usize::try_from(rng.between(1, 3)).unwrap() };
                // Rounds of the carrier must fit into a third of the TTL, with room for loss.
                let shortest = if self.machines > 12 { 20_000 } else { self.carrier_ms.unwrap_or(0) * 10 };
                Op::Settings(rng.pick(&TTLS_MS).max(shortest), witnesses)
            }
            94..96 => Op::CarrierAnew(m),
            _ => Op::Malice(rng.next(), m),
        }
    }

    fn random_jump(&self, m: usize, rng: &mut Rng) -> Op {
        if !self.wild_clocks {
            return Op::Start(m);
        }
        let ms = match rng.below(4) {
            0 => rng.between(0, 3_000),
            1 => rng.between(0, self.ttl_ms * 2),
            2 => rng.between(0, 86_400_000),
            _ => rng.between(0, 20 * 365 * 86_400_000),
        };
        let ms = i64::try_from(ms).unwrap();
        Op::WallJump(m, if rng.percent(50) { ms } else { -ms })
    }
}
