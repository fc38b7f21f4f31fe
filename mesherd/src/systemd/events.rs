//! The events of the journal: one line in the log for each, and one entry in the message catalogue.
//!
//! The ids are fixed for ever: operators search for them. This file is the authority for them;
//! `units/data-mesher.catalog` explains each to the reader of `journalctl -x`, and a test holds the two together.

use log::Level;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its name in the control socket's `Watch`: the constant's, in lower case.
    pub kind: &'static str,
    /// `MESSAGE_ID=`: 128 bits in 32 lower-case hexadecimal digits (journalctl(1), `--new-id128`).
    pub message_id: &'static str,
    /// How severe it is.
    pub level: Level,
}

/// The daemon answers lookups and serves both sockets.
pub const STARTED: Event = event("started", "f0740a0415254e5da131431faef0af8a", Level::Info);
/// The daemon ends in good order; its names stay claimed.
pub const STOPPING: Event = event("stopping", "a12c728c438d46efb64859391e52dcf6", Level::Info);
/// A reload took effect.
pub const RELOADED: Event = event("reloaded", "0b9cc3792e2f4433a25da3be24050ca9", Level::Info);
/// A reload failed; the old configuration stays.
pub const RELOAD_REFUSED: Event = event("reload_refused", "036a2320c42349cbae2d3f9f88805f4a", Level::Error);
/// This machine has come to hold a name it claims.
pub const NAME_HELD: Event = event("name_held", "caa8a07e454a4e649a1ab1d0a206882c", Level::Info);
/// This machine claims a name that another holds.
pub const NAME_WAITING: Event = event("name_waiting", "a3c6c0ba9bef41828b29bcba67baba9d", Level::Warn);
/// A name this machine held is now another's.
pub const NAME_LOST: Event = event("name_lost", "2eb1e30ceeae4b0ba61b417626faf1ad", Level::Warn);
/// A name was removed from the configuration or released.
pub const NAME_RELEASED: Event = event("name_released", "9be19d46adcd4d02aaabba6bdd5dfd95", Level::Info);
/// A name has a new holder elsewhere in the network.
pub const NAME_TAKEN: Event = event("name_taken", "a9ed1c0d69f345cdb643c6a9f99d0237", Level::Info);
/// A name is no longer claimed by any reachable machine.
pub const NAME_GONE: Event = event("name_gone", "753967c5e0374e788b9406f1aabd7cd4", Level::Info);
/// A peer was met, or met again.
pub const PEER_UP: Event = event("peer_up", "2ac39b1d241c4c00ad69e617debf6f04", Level::Info);
/// A peer no longer answers.
pub const PEER_DOWN: Event = event("peer_down", "21e685d2815a49399c58f3dce83eddfa", Level::Warn);
/// The first synchronisation with a peer is complete.
pub const JOINED: Event = event("joined", "e029c8ec65c24ccaacfd33678866c35d", Level::Info);
/// A start went on alone.
pub const JOIN_TIMEOUT: Event = event("join_timeout", "e08d4e0347df49ecb007709038a4c7f5", Level::Warn);
/// Signed settings of a higher revision are in force.
pub const SETTINGS_CHANGED: Event =
    event("settings_changed", "26d85e5b568e4e5e947b38caaf2be2d6", Level::Info);
/// The addresses of the interfaces have changed.
pub const ADDRESSES_CHANGED: Event =
    event("addresses_changed", "7ce65851c4ea43ed89f105e6766c0159", Level::Info);
/// No interface has a usable address.
pub const NO_ADDRESSES: Event = event("no_addresses", "e607e4eade834437926f15f9f42566a9", Level::Warn);
/// Somebody sends what is not sealed with the network secret.
pub const STRANGER: Event = event("stranger", "c7e5d67c831b46aab049ee84aeb3d036", Level::Warn);
/// A record has a bad signature, breaks a limit or is filed under another's key.
pub const RECORD_REFUSED: Event = event("record_refused", "8f9028b1baff4bdc9c49a0d26367db0d", Level::Warn);
/// A peer's clock and this machine's differ by more than a minute.
pub const CLOCK_SKEW: Event = event("clock_skew", "683184d20d464345b78592a2aacb5037", Level::Warn);
/// Own claims were broken and are made anew.
pub const CLAIMS_BROKEN: Event = event("claims_broken", "1b78fe77286f4c3e88871cfc55ed857d", Level::Warn);
/// A copy of this machine's key file is in use elsewhere.
pub const CLONED_KEY: Event = event("cloned_key", "4db69b3d421b4c18b6b9dbd35c709461", Level::Error);
/// Two hosts with different keys call themselves the same.
pub const LABEL_SHARED: Event = event("label_shared", "b3d4d48b4b8f4217be9e40e4fbda4718", Level::Warn);
/// State on the disk was torn or corrupt.
pub const STATE_SET_ASIDE: Event = event("state_set_aside", "b8241aa1f36b457f8ae3ca2f27839188", Level::Error);
/// Writing to the state directory failed.
pub const STATE_WRITE_FAILED: Event =
    event("state_write_failed", "fee3ef48db9a414296aca9fb7b32cc93", Level::Error);
/// Publishing the table failed; the last good one stays.
pub const TABLE_WRITE_FAILED: Event =
    event("table_write_failed", "5df2ffa227734f12b2c8c158200bef1b", Level::Error);
/// Publishing the table works again.
pub const TABLE_WRITE_RECOVERED: Event =
    event("table_write_recovered", "8c85cf49edf54f22af2295ea43756491", Level::Info);
/// An export cannot be written; the last good file stays.
pub const EXPORT_FAILED: Event = event("export_failed", "aa0fe3e3b72848a59ab25f6d43b3ee98", Level::Error);
/// An export is written again.
pub const EXPORT_RECOVERED: Event =
    event("export_recovered", "c0f52ecd1d9a4c7b93c9e0f3a8a86d2b", Level::Info);
/// The gossip task ended or panicked and was rebuilt.
pub const GOSSIP_RESTARTED: Event =
    event("gossip_restarted", "5b3e6f06343c443c8732ca63b8514b58", Level::Error);
/// Over two thirds of the certificate's life are gone.
pub const CERTIFICATE_EXPIRING: Event =
    event("certificate_expiring", "f4ac0af5fdb5456b9aea643d00e8dd43", Level::Warn);
/// The network's admission rules refuse an own claim.
pub const CLAIM_NOT_ADMITTED: Event =
    event("claim_not_admitted", "110e57a5218942a7b9c67203eec1532d", Level::Warn);
/// The secrets to seal and open with have changed.
pub const SECRET_CHANGED: Event = event("secret_changed", "96eaab26ffb94763b3f7927871743cab", Level::Info);
/// Peers seal with a secret that this machine does not have.
pub const SECRET_MISSED: Event = event("secret_missed", "bcc986388d0a4a4087b67c1ff985ada2", Level::Error);
/// A control request that changes something was carried out.
pub const CONTROL_CHANGE: Event = event("control_change", "b30a919678134597841193b701abeca6", Level::Info);
/// Somebody without the right asked for a change.
pub const CONTROL_DENIED: Event = event("control_denied", "35abdd3ea7674e0288d239412f7af2bd", Level::Warn);
/// Another log level is in force.
pub const LOG_LEVEL_CHANGED: Event =
    event("log_level_changed", "8b13cd84401446789f8fe3d33628c076", Level::Info);
/// No peer has passed on the settings.
pub const SETTINGS_MISSING: Event =
    event("settings_missing", "f4e2c66457174e61948e9dcecc82374e", Level::Warn);
/// A host has not renewed its claims for the claim TTL.
pub const HOST_EXPIRED: Event = event("host_expired", "7c9f921ecb5b4dcaae853ebc00185e3e", Level::Warn);
/// A peer has a newer record of this machine.
pub const OWN_RECORD_AHEAD: Event =
    event("own_record_ahead", "2d99c479e9264b69aec5464a1ed412b7", Level::Warn);
/// With nothing on disk, own claims were taken up from peers.
pub const NAMES_ADOPTED: Event = event("names_adopted", "d272f65934c9495284240d1a358a5240", Level::Info);
/// Own claims were moved to when they really began.
pub const EPOCHS_RAISED: Event = event("epochs_raised", "2fe1b504defe4820baef1c99777501bf", Level::Warn);

/// Every event, for the tests and for tools that list them.
pub const ALL: &[Event] = &[
    STARTED,
    STOPPING,
    RELOADED,
    RELOAD_REFUSED,
    NAME_HELD,
    NAME_WAITING,
    NAME_LOST,
    NAME_RELEASED,
    NAME_TAKEN,
    NAME_GONE,
    PEER_UP,
    PEER_DOWN,
    JOINED,
    JOIN_TIMEOUT,
    SETTINGS_CHANGED,
    ADDRESSES_CHANGED,
    NO_ADDRESSES,
    STRANGER,
    RECORD_REFUSED,
    CLOCK_SKEW,
    CLAIMS_BROKEN,
    CLONED_KEY,
    LABEL_SHARED,
    STATE_SET_ASIDE,
    STATE_WRITE_FAILED,
    TABLE_WRITE_FAILED,
    TABLE_WRITE_RECOVERED,
    EXPORT_FAILED,
    EXPORT_RECOVERED,
    GOSSIP_RESTARTED,
    CERTIFICATE_EXPIRING,
    CLAIM_NOT_ADMITTED,
    SECRET_CHANGED,
    SECRET_MISSED,
    CONTROL_CHANGE,
    CONTROL_DENIED,
    LOG_LEVEL_CHANGED,
    SETTINGS_MISSING,
    HOST_EXPIRED,
    OWN_RECORD_AHEAD,
    NAMES_ADOPTED,
    EPOCHS_RAISED,
];

const fn event(kind: &'static str, message_id: &'static str, level: Level) -> Event {
    Event { kind, message_id, level }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CATALOG: &str = include_str!("../../../units/data-mesher.catalog");

    #[test]
    fn the_catalogue_explains_every_event_and_no_other() {
        let in_catalog: Vec<&str> = CATALOG.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let in_code: Vec<&str> = ALL.iter().map(|event| event.message_id).collect();
        assert_eq!(in_catalog, in_code, "the same events in the same order");
        assert_eq!(in_code.iter().collect::<BTreeSet<_>>().len(), in_code.len(), "an id is used twice");
        for id in in_code {
            assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        }
    }

    #[test]
    fn each_entry_of_the_catalogue_has_a_subject_and_a_text() {
        let entries: Vec<&str> = CATALOG.split("\n-- ").skip(1).collect();
        assert_eq!(entries.len(), ALL.len());
        for entry in entries {
            let (head, text) = entry.split_once("\n\n").unwrap_or_else(|| panic!("no text: {entry}"));
            assert!(head.contains("\nSubject: ") && head.contains("\nDefined-By: data-mesher"), "{head}");
            assert!(text.trim().len() > 40, "{entry}");
            for field in text.split('@').skip(1).step_by(2) {
                assert!(super::super::journal::FIELDS.contains(&field), "unknown field @{field}@ in {entry}");
            }
        }
    }

    #[test]
    fn every_constant_is_in_the_list() {
        let source = include_str!("events.rs").split("#[cfg(test)]").next().unwrap_or_default();
        let constants = source.matches(": Event =").count();
        assert_eq!(constants, ALL.len());
    }
}
