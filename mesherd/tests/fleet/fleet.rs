//! Many daemons at once, and what all of them answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mesher_control::Call;
use mesher_control::types::{Claimed, Metrics};
use mesher_table::TableFile;

use crate::cluster::{Cluster, Daemon};
use crate::turns::stretch;

/// What one table answers.
pub(crate) type Names = BTreeMap<String, Vec<IpAddr>>;

/// How many daemons there are where the number matters: `MESHER_FLEET`, at most 200, or twenty.
pub(crate) fn size() -> usize {
    let size =
        std::env::var("MESHER_FLEET").map_or(20, |size| size.parse().expect("MESHER_FLEET is a number"));
    assert!((8..=200).contains(&size), "MESHER_FLEET is between 8 and 200");
    size
}

/// The TTL of a fleet of that size: claims are renewed three times in it, which a large fleet on one machine cannot do as often
/// as a small one.
pub(crate) fn ttl() -> Duration {
    Duration::from_millis(750) * u32::try_from(size().max(20)).unwrap() * stretch()
}

/// How far a host's renewals are apart under that TTL.
pub(crate) fn renewal_interval(ttl: Duration) -> Duration {
    ttl / 3
}

/// How long faults last, in times of what they last by default: `MESHER_FLEET_PATIENCE`.
pub(crate) fn patience() -> u32 {
    std::env::var("MESHER_FLEET_PATIENCE")
        .map_or(1, |times| times.parse().expect("MESHER_FLEET_PATIENCE is a number"))
}

/// Daemon number `i` is `daemons[i - 1]`, on 127.0.0.`i`. It claims `hI`, and what it is given beside.
pub(crate) struct Fleet {
    pub(crate) cluster: Cluster,
    pub(crate) daemons: Vec<Daemon>,
    /// For the figures printed.
    what: String,
}

/// When the daemons came to the same answer, counted from when they were asked to.
#[derive(Debug, Clone)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn longest(&self) -> Duration {
        *self.0.last().unwrap()
    }

    fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }
}

/// What the daemons that run have sent since they started, and the processor time they have used, in seconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spent {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    pub(crate) processor: f64,
    /// Each of [`KINDS`], and what was lost on the way: at the receivers, by their own counts.
    kinds: [u64; KINDS.len()],
}

/// The daemons' own counts of what they send and of what they could not take in.
const KINDS: [&str; 12] = [
    "gossip_carrier_messages_sent",
    "gossip_carrier_bytes_sent",
    "sync_questions",
    "sync_answers",
    "sync_lacking",
    "sync_lacking_bytes",
    "sync_pushes",
    "sync_forwards",
    "sync_forwards_bytes",
    "gossip_rate_limited",
    "gossip_unfinished",
    "gossip_events_full",
];

impl Fleet {
    /// Daemons 1 to `size`, none started. Numbers 1 to 3 are everybody's bootstrap nodes. `more` gives each number further
    /// names.
    pub(crate) fn new(
        what: &str,
        size: usize,
        ttl: Duration,
        more: impl Fn(usize) -> Vec<&'static str>,
    ) -> Self {
        let cluster = Cluster::alone(u64::try_from(ttl.as_millis()).unwrap());
        let daemons = (1..=size).map(|number| {
            let own = format!("h{number}");
            let names: Vec<&str> = std::iter::once(own.as_str()).chain(more(number)).collect();
            cluster.daemon(&format!("n{number}"), u8::try_from(number).unwrap(), &names, &[1, 2, 3])
        });
        Self { daemons: daemons.collect(), cluster, what: what.to_owned() }
    }

    pub(crate) fn number(&self, number: usize) -> &Daemon {
        &self.daemons[number - 1]
    }

    pub(crate) fn number_mut(&mut self, number: usize) -> &mut Daemon {
        &mut self.daemons[number - 1]
    }

    pub(crate) fn start_all(&mut self) {
        self.daemons.iter_mut().filter(|daemon| daemon.child.is_none()).for_each(Daemon::start);
    }

    /// Starts all and waits until each knows every name.
    #[track_caller]
    pub(crate) fn start_and_settle(&mut self) {
        self.start_all();
        let size = self.daemons.len();
        self.agree("start", Duration::from_secs(120), |names| all_but(names, size, &[]));
    }

    /// Claims a name by the control socket, as `mesherctl claim` does.
    pub(crate) fn claim(&self, number: usize, name: &str) {
        let claimed = self.number(number).try_ask::<Claimed>(&Call::Claim { name: name.to_owned() });
        // It may have been asked twice, where the first answer came too late.
        assert!(
            claimed.is_ok() || claimed.as_ref().is_err_and(|e| e.to_string().contains("already")),
            "{claimed:?}"
        );
    }

    fn running(&self) -> Vec<&Daemon> {
        self.daemons.iter().filter(|daemon| daemon.child.is_some()).collect()
    }

    /// Waits until all daemons that run give the same answers to everything, and `wanted` is content with them. Says how long
    /// each took, and what was sent meanwhile.
    #[track_caller]
    pub(crate) fn agree(&self, what: &str, within: Duration, wanted: impl Fn(&Names) -> bool) -> Times {
        self.agree_among(&self.running(), what, within, wanted)
    }

    /// As [`Fleet::agree`], among a part of the daemons.
    #[track_caller]
    pub(crate) fn agree_among(
        &self,
        daemons: &[&Daemon],
        what: &str,
        within: Duration,
        wanted: impl Fn(&Names) -> bool,
    ) -> Times {
        let (begin, within) = (Instant::now(), within * stretch());
        let mut last: Vec<(Names, Duration)> = vec![(Names::new(), Duration::ZERO); daemons.len()];
        loop {
            for (daemon, (names, at)) in daemons.iter().zip(&mut last) {
                let now = answers(daemon);
                if now != *names {
                    (*names, *at) = (now, begin.elapsed());
                }
            }
            if last.iter().all(|(names, _)| *names == last[0].0) && wanted(&last[0].0) {
                break;
            }
            if begin.elapsed() > within {
                self.disagree(daemons, &last, what, within);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut times = Times(last.into_iter().map(|(_, at)| at).collect());
        times.0.sort_unstable();
        let (count, text) = (daemons.len(), &self.what);
        println!(
            "{text}: {what}: {count} agree, median {:.2?}, longest {:.2?}",
            times.median(),
            times.longest()
        );
        times
    }

    #[track_caller]
    fn disagree(&self, daemons: &[&Daemon], last: &[(Names, Duration)], what: &str, within: Duration) -> ! {
        let mut groups: BTreeMap<&Names, Vec<&str>> = BTreeMap::new();
        for (daemon, (names, _)) in daemons.iter().zip(last) {
            groups.entry(names).or_default().push(&daemon.name);
        }
        let mut text = String::new();
        // What most say is said once, and of the others only where they differ from it.
        let most = groups.iter().max_by_key(|(_, who)| who.len()).map(|(names, _)| (*names).clone()).unwrap();
        text.push_str(&format!("\nmost say {most:?}"));
        for (names, who) in &groups {
            let known: std::collections::BTreeSet<&String> = most.keys().chain(names.keys()).collect();
            let unlike = known.into_iter().filter(|name| most.get(*name) != names.get(*name));
            let unlike: Vec<String> = unlike.map(|name| format!("{name}={:?}", names.get(name))).collect();
            text.push_str(&format!("\n{who:?} say otherwise {}", unlike.join(" ")));
        }
        self.tell_sums("without agreement, since all began", &Spent::default());
        let odd = groups.values().min_by_key(|who| who.len()).and_then(|who| who.first());
        let odd = daemons.iter().find(|daemon| Some(&daemon.name.as_str()) == odd).unwrap();
        let metrics: Metrics = odd.ask(&Call::Metrics {});
        let metrics = Vec::from_iter(metrics.text.lines().filter(|line| !line.starts_with('#'))).join("\n");
        panic!("{}: {what}: no agreement after {within:?}:{text}\n{}\n{metrics}", self.what, odd.log());
    }

    /// What all that run have spent so far.
    pub(crate) fn spent(&self) -> Spent {
        self.running().into_iter().fold(Spent::default(), |sum, daemon| {
            let metrics: Metrics = daemon.ask(&Call::Metrics {});
            let pid = daemon.child.as_ref().unwrap().id();
            Spent {
                datagrams: sum.datagrams + metric(&metrics.text, "mesher_gossip_datagrams_sent_total"),
                bytes: sum.bytes + metric(&metrics.text, "mesher_gossip_bytes_sent_total"),
                processor: sum.processor + processor_time(pid),
                kinds: std::array::from_fn(|kind| {
                    sum.kinds[kind] + metric(&metrics.text, &format!("mesher_{}_total", KINDS[kind]))
                }),
            }
        })
    }

    /// Prints what all that run have spent in all since `before`, which they may have started after.
    pub(crate) fn tell_sums(&self, what: &str, before: &Spent) {
        let after = self.spent();
        let sums = KINDS.iter().zip(after.kinds.iter().zip(before.kinds));
        let sums: Vec<String> =
            sums.map(|(kind, (after, before))| format!("{kind} {}", after - before)).collect();
        println!(
            "{}: {what}: {:.1} s of a processor, {} datagrams with {} bytes; {}",
            self.what,
            after.processor - before.processor,
            after.datagrams - before.datagrams,
            after.bytes - before.bytes,
            sums.join(", ")
        );
    }

    /// Prints what a daemon spent on average between two times.
    pub(crate) fn tell_spent(&self, what: &str, before: Spent, over: Duration) {
        let (after, count) = (self.spent(), self.running().len() as f64);
        let each = |total: f64| total / count / over.as_secs_f64();
        println!(
            "{}: {what}: a node sends {:.1} datagrams/s and {:.0} bytes/s, and takes {:.2} % of a processor",
            self.what,
            each((after.datagrams - before.datagrams) as f64),
            each((after.bytes - before.bytes) as f64),
            each(after.processor - before.processor) * 100.0
        );
    }

    /// Prints a figure beside the others.
    pub(crate) fn tell(&self, what: &str) {
        println!("{}: {what}", self.what);
    }
}

/// What a daemon's table answers now; nothing without a table or with its lease over.
pub(crate) fn answers(daemon: &Daemon) -> Names {
    let Ok(table) = TableFile::open(daemon.dir.join("run/hosts.table")) else { return Names::new() };
    if !table.header().is_ok_and(|header| header.leased) {
        return Names::new();
    }
    let Ok(contents) = table.contents() else { return Names::new() };
    let entries = contents.entries.into_iter().map(|entry| {
        let v6 = entry.v6.iter().map(|v6| IpAddr::V6(v6.address));
        (entry.name, entry.v4.into_iter().map(IpAddr::V4).chain(v6).collect())
    });
    entries.collect()
}

/// Whether every daemon up to `size` has its own name, except those in `gone`, which have none.
pub(crate) fn all_but(names: &Names, size: usize, gone: &[usize]) -> bool {
    (1..=size).all(|number| {
        let found = names.get(&format!("h{number}.sol"));
        if gone.contains(&number) { found.is_none() } else { found == Some(&vec![address(number)]) }
    })
}

/// Where daemon `number` is.
pub(crate) fn address(number: usize) -> IpAddr {
    IpAddr::from([127, 0, 0, u8::try_from(number).unwrap()])
}

fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no metric {name}"))
}

/// Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
fn processor_time(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
