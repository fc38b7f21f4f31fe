//! Events in the journal, with fields to search for: `journalctl -u data-mesher MESHER_NAME=earth.sol` tells the life
//! of one name.

use std::fmt;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use log::kv::Value;
use log::{Level, Record};
use mesher_control::types::Change;
use tokio::sync::broadcast;

use super::events::Event;

/// The fields an event can carry beside `MESSAGE_ID=` (systemd.journal-fields(7)).
pub const FIELDS: &[&str] = &[NAME, HOST, PEER];

/// A watcher may fall behind by so many events before it is told that it missed some.
const WATCHED_AT_ONCE: usize = 256;
const NAME: &str = "MESHER_NAME";
const HOST: &str = "MESHER_HOST";
const PEER: &str = "MESHER_PEER";

/// An event about to be written. Made by [`event`]; nothing is written before [`Entry::log`].
#[derive(Clone, Copy)]
#[must_use = "an entry is written by `log`"]
pub struct Entry<'a> {
    event: Event,
    name: Option<&'a dyn fmt::Display>,
    host: Option<&'a dyn fmt::Display>,
    peer: Option<&'a dyn fmt::Display>,
}

/// Begins an entry for `event`:
///
/// ```
/// use mesherd::systemd::{events, journal};
///
/// journal::event(events::NAME_WAITING)
///     .name(&"earth.sol")
///     .host(&"alpha")
///     .log(format_args!("earth.sol is held by alpha since 12:00; this machine's claim waits"));
/// ```
pub fn event<'a>(event: Event) -> Entry<'a> {
    Entry { event, name: None, host: None, peer: None }
}

impl<'a> Entry<'a> {
    /// `MESHER_NAME=`: the full name it is about, in lower case, so that one search finds all of its life.
    pub fn name(self, name: &'a dyn fmt::Display) -> Self {
        Self { name: Some(name), ..self }
    }

    /// `MESHER_HOST=`: the label of the machine it is about.
    pub fn host(self, host: &'a dyn fmt::Display) -> Self {
        Self { host: Some(host), ..self }
    }

    /// `MESHER_PEER=`: the address it came from.
    pub fn peer(self, peer: &'a dyn fmt::Display) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// Writes the entry: one sentence, without a full stop.
    pub fn log(self, message: fmt::Arguments<'_>) {
        self.log_at(self.event.level, message);
    }

    /// Like [`Entry::log`], but less or more severe than the event usually is.
    pub fn log_at(self, level: Level, message: fmt::Arguments<'_>) {
        self.show_watchers(message);
        if level > log::max_level() {
            return;
        }
        let optional = [(NAME, self.name), (HOST, self.host), (PEER, self.peer)];
        let mut fields = vec![("MESSAGE_ID", Value::from(self.event.message_id))];
        let present = optional.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?)));
        fields.extend(present.map(|(key, value)| (key, Value::from_dyn_display(*value))));
        let record =
            Record::builder().level(level).target("mesherd").key_values(&fields).args(message).build();
        log::logger().log(&record);
    }

    fn show_watchers(&self, message: fmt::Arguments<'_>) {
        let watchers = watchers();
        if watchers.receiver_count() == 0 {
            return;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let text = |value: Option<&dyn fmt::Display>| value.map(ToString::to_string);
        // Fails only when the last watcher has just gone.
        let _ = watchers.send(Change {
            time_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            kind: self.event.kind.to_owned(),
            message_id: self.event.message_id.to_owned(),
            name: text(self.name),
            host: text(self.host),
            peer: text(self.peer),
            message: message.to_string(),
        });
    }
}

/// Every event from now on, whatever the log level: what `Watch` on the control socket shows.
pub fn watch() -> broadcast::Receiver<Change> {
    watchers().subscribe()
}

fn watchers() -> &'static broadcast::Sender<Change> {
    static WATCHERS: OnceLock<broadcast::Sender<Change>> = OnceLock::new();
    WATCHERS.get_or_init(|| broadcast::Sender::new(WATCHED_AT_ONCE))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use log::kv::VisitSource;
    use log::{LevelFilter, Log, Metadata};

    use super::super::events;
    use super::*;

    type Written = (Level, String, Vec<(String, String)>);

    static WRITTEN: Mutex<Vec<Written>> = Mutex::new(Vec::new());

    struct Collect;

    struct Fields(Vec<(String, String)>);

    impl<'kvs> VisitSource<'kvs> for Fields {
        fn visit_pair(&mut self, key: log::kv::Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
            self.0.push((key.to_string(), value.to_string()));
            Ok(())
        }
    }

    impl Log for Collect {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let mut fields = Fields(Vec::new());
            record.key_values().visit(&mut fields).unwrap();
            let entry = (record.level(), record.args().to_string(), fields.0);
            WRITTEN.lock().unwrap().push(entry);
        }

        fn flush(&self) {}
    }

    #[test]
    fn an_event_carries_its_id_and_its_fields() {
        log::set_logger(&Collect).unwrap();
        log::set_max_level(LevelFilter::Info);
        event(events::NAME_HELD).name(&"earth.sol").host(&"alpha").log(format_args!("earth.sol is ours"));
        event(events::STOPPING).log_at(Level::Debug, format_args!("too quiet"));
        event(events::STRANGER).peer(&"192.0.2.1:7946").log(format_args!("3 datagrams"));
        let written = WRITTEN.lock().unwrap();
        let strings = |fields: &[(&str, &str)]| -> Vec<(String, String)> {
            fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert_eq!(written.len(), 2);
        assert_eq!(written[0].0, Level::Info);
        assert_eq!(
            written[0].2,
            strings(&[
                ("MESSAGE_ID", events::NAME_HELD.message_id),
                ("MESHER_NAME", "earth.sol"),
                ("MESHER_HOST", "alpha")
            ])
        );
        assert_eq!(
            written[1].2,
            strings(&[("MESSAGE_ID", events::STRANGER.message_id), ("MESHER_PEER", "192.0.2.1:7946")])
        );
    }
}
