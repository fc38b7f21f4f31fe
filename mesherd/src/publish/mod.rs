//! Publishing: the view becomes the table's contents, and the table's lease is kept moving while the daemon lives.

mod contents;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use mesher_table::{Contents, Deadline, Found, TableFile, TableWriter, WriteError};

use crate::systemd::{events, journal};
pub use contents::{Publishing, contents};

/// The table's file in the runtime directory.
pub const FILE: &str = "hosts.table";
/// How long the table is believed after the daemon was last heard of: a killed daemon's names live through its restart.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often the lease is moved forward.
pub const EXTEND_EVERY: Duration = Duration::from_secs(3);
/// After a clean stop the names live this long, so that `systemctl restart` has no gap.
pub const LEASE_AFTER_STOP: Duration = Duration::from_secs(2);

/// The table that a predecessor left is replaced at the latest when its lease has this much left: at once, that is, after a
/// clean stop, before which everything was saved.
const BRIDGE_UNTIL: Duration = Duration::from_secs(3);

/// Writes the table and keeps its lease. A write that fails is told once and tried again with every extension; until it
/// works, the names that the table has already are kept up to date and leased, and the new ones are missing.
///
/// A predecessor that was killed leaves a table that knows more than what it had saved. While its lease runs it is left as
/// it is, until this daemon has joined its network ([`Publisher::end_bridge`]): no name is lost by a crash in between.
pub struct Publisher {
    writer: TableWriter,
    contents: Contents,
    generation: u64,
    /// The contents are newer than what the table says.
    pending: bool,
    failing: bool,
    /// What was published in place of contents for which there is no room.
    instead: Option<Contents>,
    leased_until: Option<Instant>,
    /// The lease of the table that a predecessor left, as long as that stands.
    bridged: Option<Deadline>,
}

impl Publisher {
    /// Takes over the table in the runtime directory, or makes an empty one.
    ///
    /// # Errors
    /// When the directory cannot be written, or another daemon writes the table.
    pub fn open(runtime_dir: &Path) -> Result<Self, WriteError> {
        let writer = TableWriter::open_or_create(runtime_dir.join(FILE))?;
        if let Found::Foreign(why) = writer.found() {
            log::warn!(
                "{}: replacing what is no table of this version: {why}. Programs that have loaded another version's NSS module \
                 find no names until they are restarted",
                writer.path().display()
            );
        }
        let generation = match writer.found() {
            Found::Table { generation } => *generation,
            _ => 0,
        };
        Ok(Self {
            bridged: lease_of(writer.path()),
            writer,
            contents: Contents::default(),
            generation,
            pending: true,
            failing: false,
            instead: None,
            leased_until: None,
        })
    }

    /// Publishes new contents, unless they are those that stand already. Returns whether the table says so now.
    pub fn publish(&mut self, contents: Contents) -> bool {
        if self.contents != contents {
            self.contents = contents;
            self.pending = true;
        }
        if self.bridges() { !self.failing } else { self.write() }
    }

    /// Lets what is published stand in place of what a predecessor left, if this daemon has joined or that lease is about to
    /// end. Returns whether something waits for that.
    pub fn end_bridge(&mut self, joined: bool) -> bool {
        if !joined && self.bridges() {
            return false;
        }
        self.bridged.take().is_some() && self.pending
    }

    /// How long the table that a predecessor left may stand.
    pub fn bridge_left(&self) -> Option<Duration> {
        let left = self.bridged?.to_word().saturating_sub(Deadline::after(BRIDGE_UNTIL).to_word());
        Some(Duration::from_secs(1) * left / Deadline::TICKS_PER_SECOND)
    }

    /// Moves the lease forward, and tries again to publish what could not be published before. Returns whether the table is
    /// as it should be.
    pub fn extend(&mut self) -> bool {
        if self.bridges() {
            return !self.failing;
        }
        if self.pending {
            return self.write();
        }
        let outcome = self.writer.extend(Deadline::after(LEASE));
        self.note(outcome)
    }

    /// The names end in two seconds, unless a successor comes.
    pub fn retire(&mut self) {
        if let Err(error) = self.writer.extend(Deadline::after(LEASE_AFTER_STOP)) {
            log::warn!(
                "the table's lease could not be shortened; it ends within {} s: {error}",
                LEASE.as_secs()
            );
        }
    }

    /// How long readers would go on believing the table if it were not kept up any more.
    pub fn lease_left(&self) -> Duration {
        self.leased_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// How often the table was published, over all runs.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the table says, or is to say.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Whether the table could not be written last time.
    pub fn failing(&self) -> bool {
        self.failing
    }

    /// Where the table lies.
    pub fn path(&self) -> &Path {
        self.writer.path()
    }

    fn bridges(&self) -> bool {
        self.bridged.is_some_and(|lease| lease.is_ahead_of(Deadline::after(BRIDGE_UNTIL)))
    }

    fn write(&mut self) -> bool {
        if !self.pending {
            return !self.failing;
        }
        let outcome = self.writer.publish(&self.contents, Deadline::after(LEASE)).map(|published| {
            self.generation = published.generation;
            self.pending = false;
        });
        match outcome.is_ok() {
            true => self.instead = None,
            false => self.keep_up_what_fits(),
        }
        self.note(outcome)
    }

    /// There is no room for a larger table, and the one that stands is large enough for its own names: those neither
    /// go away nor grow stale because others cannot be added. If that fails too, its lease runs out.
    fn keep_up_what_fits(&mut self) {
        let standing = TableFile::open(self.writer.path()).ok().and_then(|table| table.contents().ok());
        let Some(standing) = standing else { return };
        let fits = contents::known_already(&self.contents, &standing);
        let kept_up = match self.instead.as_ref() == Some(&fits) {
            true => self.writer.extend(Deadline::after(LEASE)),
            false => self.writer.publish(&fits, Deadline::after(LEASE)).map(|published| {
                self.generation = published.generation;
                self.instead = Some(fits);
            }),
        };
        if kept_up.is_ok() {
            self.leased_until = Some(Instant::now() + LEASE);
        }
    }

    fn note(&mut self, outcome: Result<(), WriteError>) -> bool {
        let was_failing = self.failing;
        self.failing = outcome.is_err();
        if outcome.is_ok() {
            self.leased_until = Some(Instant::now() + LEASE);
        }
        match outcome {
            Err(error) if !was_failing => journal::event(events::TABLE_WRITE_FAILED).log(format_args!(
                "{error}; names that are new are missing from the table, those it has are kept for as long as \
                 it can be written; trying again every {} s",
                EXTEND_EVERY.as_secs()
            )),
            Ok(()) if was_failing => journal::event(events::TABLE_WRITE_RECOVERED)
                .log(format_args!("{}: written again", self.writer.path().display())),
            _ => {}
        }
        !self.failing
    }
}

/// The lease of a table that a daemon kept up.
fn lease_of(path: &Path) -> Option<Deadline> {
    let header = TableFile::open(path).ok()?.header().ok()?;
    (header.leased && header.deadline != Deadline::NEVER).then_some(header.deadline)
}

/// Makes the runtime directory, which everybody may enter.
///
/// # Errors
/// When it cannot be made.
pub fn make_runtime_directory(path: &Path) -> io::Result<()> {
    crate::state::framed::make_directory(path, 0o755)
}

#[cfg(test)]
mod tests {
    use mesher_table::Entry;

    use super::*;

    fn entry(number: u32, address: u8) -> Entry {
        Entry { name: format!("host{number}.sol"), v4: vec![[192, 0, 2, address].into()], ..Entry::default() }
    }

    #[test]
    fn a_table_that_cannot_grow_keeps_its_names_up_to_date() {
        let place = tempfile::tempdir().expect("a directory");
        let mut publisher = Publisher::open(place.path()).expect("a table can be made");
        let first =
            Contents { entries: (0..300).map(|number| entry(number, 1)).collect(), ..Contents::default() };
        assert!(publisher.publish(first));
        // Nothing can be written under the name of the larger file: as if /run were full.
        let blocked = place.path().join("hosts.table.new");
        std::fs::create_dir(&blocked).expect("a directory in the way");
        let second = (1..5_000).map(|number| entry(number, if number == 7 { 2 } else { 1 }));
        assert!(!publisher.publish(Contents { entries: second.collect(), ..Contents::default() }));
        publisher.writer.extend(Deadline::PAST).expect("the table is there");
        assert!(!publisher.extend());

        let table = TableFile::open(place.path().join(FILE)).expect("a table");
        let find = |name: &str| table.find(name).expect("readable");
        assert!(table.header().expect("readable").leased, "the names it has go on");
        assert_eq!(find("host0.sol"), None, "gone in between");
        assert_eq!(
            find("host7.sol").expect("kept").v4,
            [std::net::Ipv4Addr::new(192, 0, 2, 2)],
            "up to date"
        );
        assert!(find("host299.sol").is_some() && find("host300.sol").is_none());

        std::fs::remove_dir(&blocked).expect("the way is free");
        assert!(publisher.extend());
        let table = TableFile::open(place.path().join(FILE)).expect("a table");
        assert!(table.find("host4999.sol").expect("readable").is_some());
    }

    #[test]
    fn what_a_killed_predecessor_knew_stands_until_its_successor_has_joined() {
        let place = tempfile::tempdir().expect("a directory");
        let names = || {
            let table = TableFile::open(place.path().join(FILE)).expect("a table");
            table.contents().expect("readable").entries.len()
        };
        let of =
            |count| Contents { entries: (0..count).map(|n| entry(n, 1)).collect(), ..Contents::default() };
        let mut killed = Publisher::open(place.path()).expect("a table can be made");
        assert!(killed.publish(of(3)));
        drop(killed);

        let mut successor = Publisher::open(place.path()).expect("the table is there");
        assert!(successor.extend() && names() == 3, "nothing known yet is no reason to empty it");
        assert!(successor.publish(of(1)) && names() == 3);
        assert!(!successor.end_bridge(false) && successor.end_bridge(true));
        assert!(successor.publish(of(2)) && names() == 2);
        successor.retire();
        drop(successor);

        let mut next = Publisher::open(place.path()).expect("the table is there");
        assert!(next.publish(of(1)) && names() == 1, "after a clean stop the store knows as much");
    }

    #[test]
    fn a_table_whose_lease_is_about_to_end_is_replaced() {
        let place = tempfile::tempdir().expect("a directory");
        let mut killed = Publisher::open(place.path()).expect("a table can be made");
        assert!(killed.publish(Contents { entries: vec![entry(1, 1)], ..Contents::default() }));
        killed.writer.extend(Deadline::after(BRIDGE_UNTIL / 4)).expect("the table is there");
        drop(killed);
        let mut successor = Publisher::open(place.path()).expect("the table is there");
        assert!(successor.publish(Contents { entries: vec![entry(2, 1)], ..Contents::default() }));
        let table = TableFile::open(place.path().join(FILE)).expect("a table");
        assert!(table.find("host2.sol").expect("readable").is_some());
    }
}
