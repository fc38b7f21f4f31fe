//! The publication protocol under the model checker loom: every interleaving of a writer and its readers, and every value
//! that relaxed loads may return, within the bounds given below.
//!
//! The code that runs is `mesher_table::protocol`, the daemon's and the module's own; only the memory is loom's.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::thread;
use mesher_table::format::{H_ACTIVE, H_SEQ};
use mesher_table::protocol::{self, Memory};

/// Words in each of the model's arenas: two, to be torn apart.
const WORDS: usize = 2;

/// What is left out of the protocol, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    NoRelease,
    NoAcquire,
    /// `seq` is stored after the arena is written instead of before.
    LateSeq,
}

struct Shared {
    seq: AtomicU32,
    active: AtomicU32,
    arenas: [[AtomicU32; WORDS]; 2],
    fault: Fault,
    /// Stores the writer still makes before it is killed.
    stores_left: std::sync::atomic::AtomicU32,
}

impl Shared {
    fn new(fault: Fault, stores: u32) -> Self {
        let arena = |value| std::array::from_fn(|_| AtomicU32::new(value));
        Self {
            seq: AtomicU32::new(0),
            active: AtomicU32::new(0),
            arenas: [arena(0), arena(u32::MAX)],
            fault,
            stores_left: stores.into(),
        }
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        match at {
            H_SEQ => &self.seq,
            H_ACTIVE => &self.active,
            _ => &self.arenas[at / 100 - 1][at % 100],
        }
    }

    /// Publishes: every word of the arena is the publication's number.
    fn publish(&self) {
        protocol::publish(self, |publication| {
            for at in 0..WORDS {
                self.store(place(publication, at), publication);
            }
        });
    }

    /// Looks once; the publication seen, if one attempt was enough.
    fn look(&self) -> Option<u32> {
        protocol::read(self, |publication| {
            let words: [u32; WORDS] = std::array::from_fn(|at| self.load(place(publication, at)));
            (publication, words)
        })
        .map(|(publication, words)| {
            assert_eq!(words, [publication; WORDS], "a torn answer");
            publication
        })
    }
}

/// Where the model keeps an arena's word: far from the header's.
fn place(publication: u32, at: usize) -> usize {
    100 * (1 + publication as usize % 2) + at
}

impl Memory for Shared {
    fn load(&self, word: usize) -> u32 {
        self.word(word).load(Ordering::Relaxed)
    }

    fn store(&self, word: usize, value: u32) {
        if self.fault == Fault::LateSeq {
            match word {
                H_SEQ => return,
                H_ACTIVE => self.seq.store(value, Ordering::Relaxed),
                _ => {}
            }
        }
        let left = self.stores_left.load(std::sync::atomic::Ordering::Relaxed);
        if left > 0 {
            self.stores_left.store(left - 1, std::sync::atomic::Ordering::Relaxed);
            self.word(word).store(value, Ordering::Relaxed);
        }
    }

    fn acquire(&self) {
        if self.fault != Fault::NoAcquire {
            fence(Ordering::Acquire);
        }
    }

    fn release(&self) {
        if self.fault != Fault::NoRelease {
            fence(Ordering::Release);
        }
    }
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// One writer publishes three times; a reader looks twice.
fn writer_and_reader(fault: Fault) {
    check(3, move || {
        let shared = Arc::new(Shared::new(fault, u32::MAX));
        let writer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || (0..3).for_each(|_| shared.publish()))
        };
        let (first, second) = (shared.look(), shared.look());
        if fault == Fault::None {
            assert!(first.is_some() && second.is_some(), "three publications cannot fail sixteen attempts");
            assert!(first <= second, "an older answer after a newer one");
        }
        writer.join().expect("the writer ends");
        if fault == Fault::None {
            assert_eq!(shared.look(), Some(3), "the last publication is seen");
        }
    });
}

#[test]
fn no_answer_is_torn_and_none_is_older_than_the_last() {
    writer_and_reader(Fault::None);
}

#[test]
fn two_readers() {
    check(2, || {
        let shared = Arc::new(Shared::new(Fault::None, u32::MAX));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.look().expect("two publications cannot fail sixteen attempts"))
            })
            .collect();
        (0..2).for_each(|_| shared.publish());
        readers.into_iter().for_each(|reader| assert!(reader.join().expect("the reader ends") <= 2));
    });
}

/// A writer is killed after any number of stores, and another goes on; readers look all the while.
#[test]
fn a_writer_killed_at_any_store_leaves_a_whole_table_and_its_successor_goes_on() {
    // Three publications make four stores each.
    for stores in 0..12 {
        check(2, move || {
            let shared = Arc::new(Shared::new(Fault::None, stores));
            let writers = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    (0..3).for_each(|_| shared.publish());
                    shared.stores_left.store(u32::MAX, std::sync::atomic::Ordering::Relaxed);
                    (0..2).for_each(|_| shared.publish());
                })
            };
            let first = shared.look().expect("five publications cannot fail sixteen attempts");
            let second = shared.look().expect("five publications cannot fail sixteen attempts");
            assert!(first <= second, "an older answer after a newer one");
            writers.join().expect("the writers end");
            assert_eq!(shared.look(), Some(stores / 4 + 2), "finished ones and two more");
        });
    }
}

#[test]
#[should_panic(expected = "a torn answer")]
fn without_release_fences_the_model_fails() {
    writer_and_reader(Fault::NoRelease);
}

#[test]
#[should_panic(expected = "a torn answer")]
fn without_acquire_fences_the_model_fails() {
    writer_and_reader(Fault::NoAcquire);
}

#[test]
#[should_panic(expected = "a torn answer")]
fn with_a_late_seq_the_model_fails() {
    writer_and_reader(Fault::LateSeq);
}
