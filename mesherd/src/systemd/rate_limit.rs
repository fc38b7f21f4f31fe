//! Messages that strangers can cause are written seldom, with the count of those left out.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Lets one message a key through in each interval, and counts the others.
///
/// Bounded: it remembers `max_keys` keys. When strangers bring more, the new ones share one place, so that inventing
/// keys (source addresses are free) fills neither the memory nor the journal.
#[derive(Debug)]
pub struct RateLimit<K> {
    interval: Duration,
    max_keys: usize,
    seen: HashMap<K, Window>,
    overflow: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    begin: Instant,
    left_out: u64,
}

impl<K: Eq + Hash> RateLimit<K> {
    /// One message a key and `interval`, for at most `max_keys` keys.
    pub fn new(interval: Duration, max_keys: usize) -> Self {
        Self { interval, max_keys, seen: HashMap::new(), overflow: None }
    }

    /// Whether a message under `key` may be written now: `Some(n)` if so, `n` being how many were left out since the last
    /// that was; `None` if it is to be left out.
    pub fn check(&mut self, key: K, now: Instant) -> Option<u64> {
        let interval = self.interval;
        if !self.seen.contains_key(&key) && self.seen.len() >= self.max_keys {
            self.seen.retain(|_, window| now.duration_since(window.begin) < interval);
            if self.seen.len() >= self.max_keys {
                return check_window(&mut self.overflow, interval, now);
            }
        }
        let mut window = self.seen.get(&key).copied();
        let result = check_window(&mut window, interval, now);
        self.seen.extend(window.map(|window| (key, window)));
        result
    }
}

fn check_window(window: &mut Option<Window>, interval: Duration, now: Instant) -> Option<u64> {
    match window {
        Some(current) if now.duration_since(current.begin) < interval => {
            current.left_out += 1;
            None
        }
        _ => {
            let left_out = window.map_or(0, |last| last.left_out);
            *window = Some(Window { begin: now, left_out: 0 });
            Some(left_out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_written_and_the_next_tells_how_many_were_not() {
        let mut limit = RateLimit::new(Duration::from_secs(60), 8);
        let start = Instant::now();
        assert_eq!(limit.check("a", start), Some(0));
        for second in 1..=59 {
            assert_eq!(limit.check("a", start + Duration::from_secs(second)), None);
        }
        assert_eq!(limit.check("b", start), Some(0));
        assert_eq!(limit.check("a", start + Duration::from_secs(60)), Some(59));
        assert_eq!(limit.check("a", start + Duration::from_secs(121)), Some(0));
    }

    #[test]
    fn inventing_keys_brings_one_message_and_no_memory() {
        let mut limit = RateLimit::new(Duration::from_secs(60), 8);
        let start = Instant::now();
        let written = (0..10_000).filter(|&key| limit.check(key, start).is_some()).count();
        assert_eq!(written, 9);
        assert_eq!(limit.seen.len(), 8);
        // Later the old keys make room.
        assert_eq!(limit.check(20_000, start + Duration::from_secs(61)), Some(0));
    }
}
