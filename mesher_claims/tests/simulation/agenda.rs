//! What is to happen, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things that are due, by their times; of those due at one time, the first that was added comes first.
pub struct Agenda<T> {
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    due: Vec<Option<T>>,
    free: Vec<usize>,
    serial: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { queue: BinaryHeap::new(), due: Vec::new(), free: Vec::new(), serial: 0 }
    }
}

impl<T> Agenda<T> {
    pub fn add(&mut self, at_ms: u64, due: T) {
        let slot = self.free.pop().unwrap_or(self.due.len());
        if slot == self.due.len() {
            self.due.push(None);
        }
        self.due[slot] = Some(due);
        self.serial += 1;
        self.queue.push(Reverse((at_ms, self.serial, slot)));
    }

    /// The next thing that is due, if it is by `end_ms`, with its time.
    pub fn next_by(&mut self, end_ms: u64) -> Option<(u64, T)> {
        let Reverse((at, _, slot)) = self.queue.peek().copied().filter(|Reverse((at, ..))| *at <= end_ms)?;
        self.queue.pop();
        self.free.push(slot);
        Some((at, self.due[slot].take()?))
    }
}
