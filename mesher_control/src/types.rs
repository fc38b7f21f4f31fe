//! What the daemon answers, field by field as in the interface file, where each is described.
#![allow(
    missing_docs,
    reason = "the fields are described in the interface file, which a test holds these to"
)]

use serde::{Deserialize, Serialize};

macro_rules! types {
    ($($kind:ident $name:ident $body:tt)*) => {$(types!(@$kind $name $body);)*};
    (@object $name:ident { $($field:ident: $type:ty,)* }) => {
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(zlink::introspect::CustomType))]
        pub struct $name { $(pub $field: $type,)* }
    };
    // The parameters of a method's reply.
    (@reply $name:ident { $($field:ident: $type:ty,)* }) => {
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(zlink::introspect::Type))]
        pub struct $name { $(pub $field: $type,)* }
    };
    (@choice $name:ident { $($variant:ident,)* }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($variant,)* }

        impl $name {
            /// Every value, in the interface file's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
        }

        #[cfg(test)]
        impl zlink::introspect::Type for $name {
            const TYPE: &'static zlink::idl::Type<'static> =
                &zlink::idl::Type::Custom(zlink::names::TypeName::from_static_str_unchecked(stringify!($name)));
        }
    };
}

types! {
    choice State { Starting, NoSettings, Joining, Running, Alone, Stopping, }

    object Network {
        id: String,
        domain: Option<String>,
        revision: Option<u64>,
        claim_ttl_ms: Option<u64>,
        admission: Option<Admission>,
        witnesses: u64,
        secrets: Vec<String>,
    }

    choice Admission { Open, Certified, }

    object Host {
        label: String,
        key: String,
        addresses: Vec<String>,
        certificate: Option<Certificate>,
    }

    object Certificate {
        label: String,
        names: Vec<String>,
        not_before_unix_ms: u64,
        not_after_unix_ms: u64,
        expiring: bool,
    }

    choice PeerState { Alive, Away, Expired, }

    object Peer {
        label: String,
        key: String,
        state: PeerState,
        address: Option<String>,
        last_contact_ms: Option<u64>,
        age_ms: Option<u64>,
        ahead_ms: Option<i64>,
        secret: Option<String>,
        names: u64,
    }

    choice Source { Configuration, Runtime, }

    object Name {
        name: String,
        holder: Option<String>,
        holder_key: Option<String>,
        addresses: Vec<String>,
        waiting: u64,
        held: bool,
        refused: Option<String>,
        source: Option<Source>,
    }

    choice Standing { Holder, Waiting, NotCounted, }

    object Claimant {
        name: String,
        label: String,
        key: String,
        standing: Standing,
        reason: Option<String>,
        epoch_unix_ms: u64,
        rank_unix_ms: u64,
        lease_left_ms: Option<u64>,
        addresses: Vec<String>,
        this_machine: bool,
    }

    object TableEntry {
        canonical: String,
        addresses: Vec<String>,
        ttl_s: u64,
        wildcard: bool,
    }

    object HostsTable {
        path: String,
        generation: u64,
        names: u64,
        bytes: u64,
        lease_left_ms: u64,
    }

    object Change {
        time_unix_ms: u64,
        kind: String,
        message_id: String,
        name: Option<String>,
        host: Option<String>,
        peer: Option<String>,
        message: String,
    }

    reply Status {
        version: String,
        state: State,
        sentence: String,
        started_unix_ms: u64,
        log_level: String,
        config_file: String,
        state_directory: String,
        network: Network,
        host: Host,
        warnings: Vec<String>,
        peers: Vec<Peer>,
        names: Vec<Name>,
        table: Option<HostsTable>,
    }

    reply Peers { peers: Vec<Peer>, }

    reply Names { names: Vec<Name>, }

    reply Explanation {
        name: String,
        rule: String,
        claimants: Vec<Claimant>,
        table: Option<TableEntry>,
    }

    reply TableReply { table: HostsTable, }

    reply Metrics { text: String, }

    reply Watched { change: Option<Change>, missed: u64, }

    reply Reloaded { changed: Vec<String>, needs_restart: Vec<String>, warnings: Vec<String>, }

    reply Claimed {
        name: String,
        holder: Option<String>,
        held: bool,
    }

    reply Released { name: String, }

    reply LogLevelSet { previous: String, }
}
