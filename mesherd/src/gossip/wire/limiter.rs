//! Rate limits: token buckets, one for each host and for nobody in particular beyond a bound.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::sessions::host_of;

/// Hosts with a bucket of their own.
const MAX_HOSTS: usize = 4096;

/// Buckets that the others share, by a hash that nobody else can compute: who floods under many addresses cannot choose
/// whom to crowd out, and a newcomer shares its bucket with one in a thousand of them.
const SHARED: usize = 1024;

/// A bucket is forgotten when its host has been quiet for so long. By then it is full again.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// So much a second, and so much at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: f64,
    updated: Instant,
}

impl Bucket {
    fn fill(&mut self, now: Instant, rate: Rate) {
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.level = (self.level + elapsed * f64::from(rate.per_second)).min(f64::from(rate.burst));
        self.updated = now;
    }

    fn take(&mut self) -> bool {
        let enough = self.level >= 1.0;
        if enough {
            self.level -= 1.0;
        }
        enough
    }
}

/// Limits how much each host may ask for.
pub(crate) struct Limiter {
    rate: Rate,
    hosts: HashMap<IpAddr, Bucket>,
    shared: Vec<Bucket>,
    hash: RandomState,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, hosts: HashMap::new(), shared: Vec::new(), hash: RandomState::new() }
    }

    /// Whether one more is within the host's limit.
    pub(crate) fn allow(&mut self, now: Instant, source: IpAddr) -> bool {
        self.bucket(now, source).take()
    }

    /// Whether there is anything left for a host whose requests cost what is known only afterwards.
    pub(crate) fn has_left(&mut self, now: Instant, source: IpAddr) -> bool {
        self.bucket(now, source).level > 0.0
    }

    /// What a request came to. It may have been more than was left: the host waits until that is made up for.
    pub(crate) fn charge(&mut self, now: Instant, source: IpAddr, cost: u32) {
        self.bucket(now, source).level -= f64::from(cost);
    }

    fn bucket(&mut self, now: Instant, source: IpAddr) -> &mut Bucket {
        let full = Bucket { level: f64::from(self.rate.burst), updated: now };
        let host = host_of(source);
        let bucket = if self.hosts.len() < MAX_HOSTS || self.hosts.contains_key(&host) {
            self.hosts.entry(host).or_insert(full)
        } else {
            // Made when they are first needed: a network of the usual size never does.
            if self.shared.is_empty() {
                self.shared = vec![full; SHARED];
            }
            let at = self.hash.hash_one(host) as usize % SHARED;
            &mut self.shared[at]
        };
        bucket.fill(now, self.rate);
        bucket
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        let quiet = |bucket: &Bucket| now.saturating_duration_since(bucket.updated) >= FORGET_AFTER;
        self.hosts.retain(|_, bucket| !quiet(bucket));
        if self.shared.iter().all(quiet) {
            self.shared = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_gets_its_burst_then_its_rate_and_costs_no_other_host() {
        let mut limiter = Limiter::new(Rate { per_second: 10, burst: 5 });
        let (start, [one, two]) = (Instant::now(), [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from));
        let mut allowed = |at, host| (0..100).filter(|_| limiter.allow(at, host)).count();
        assert_eq!((allowed(start, one), allowed(start, two)), (5, 5));
        assert_eq!(allowed(start + Duration::from_millis(310), one), 3);
        assert_eq!(allowed(start + Duration::from_secs(60), one), 5);
    }

    #[test]
    fn a_host_that_was_given_more_than_it_had_left_waits_for_it_and_no_other_does() {
        let mut limiter = Limiter::new(Rate { per_second: 100, burst: 200 });
        let (start, [one, two]) = (Instant::now(), [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from));
        assert!(limiter.has_left(start, one));
        limiter.charge(start, one, 700);
        assert!(!limiter.has_left(start, one) && limiter.has_left(start, two));
        assert!(!limiter.has_left(start + Duration::from_secs(5), one));
        assert!(limiter.has_left(start + Duration::from_millis(5_100), one));
    }

    #[test]
    fn a_flood_of_sources_is_bounded() {
        let mut limiter = Limiter::new(Rate { per_second: 10, burst: 5 });
        let now = Instant::now();
        let flood = |limiter: &mut Limiter| {
            (0..200_000u32).filter(|n| limiter.allow(now, IpAddr::from(n.to_be_bytes()))).count()
        };
        assert_eq!(flood(&mut limiter), MAX_HOSTS + 5 * SHARED);
        assert_eq!((limiter.hosts.len(), limiter.shared.len()), (MAX_HOSTS, SHARED));
        limiter.expire(now + FORGET_AFTER);
        assert!(limiter.hosts.is_empty() && limiter.shared.is_empty());
    }

    #[test]
    fn a_newcomer_is_heard_through_a_flood_of_ten_thousand_sources() {
        let mut limiter = Limiter::new(Rate { per_second: 20, burst: 100 });
        let start = Instant::now();
        // Twenty newcomers, because it is chance how many of the flood share the bucket of one.
        let newcomers: Vec<IpAddr> = (0..20).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        let (mut asked, mut heard) = (0, 0);
        // Each source speaks eight times a second, and each newcomer once, at a time of its own, amid the others.
        for eighth in 0..8 * 30 {
            let at = start + Duration::from_millis(125 * eighth);
            for n in 0..10_000u32 {
                if n == 5_000 {
                    for (_, newcomer) in
                        newcomers.iter().enumerate().filter(|(i, _)| *i as u64 % 8 == eighth % 8)
                    {
                        asked += 1;
                        heard += u32::from(limiter.allow(at, *newcomer));
                    }
                }
                limiter.allow(at, IpAddr::from((n << 8).to_be_bytes()));
            }
        }
        // Six others share a bucket, more or less, and ask for 48 of the 20 that it gives: some four in ten are heard.
        assert!(heard * 5 >= asked, "{heard} of {asked} times");
    }
}
