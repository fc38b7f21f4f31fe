//! `mesherctl network`: what making and changing a network takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use mesher_claims::keys::HostKey;
use mesher_claims::names::{Domain, Label};
use mesher_claims::record::Admission;

use crate::complete;

#[derive(Debug, Subcommand)]
pub(super) enum NetworkCommand {
    /// Make a network: its key, its secret and its signed settings
    Init(InitArguments),
    /// Change a network's settings: signs a new revision of them
    Set(SetArguments),
    /// Allow a host to claim names: signs a certificate
    Certify(CertifyArguments),
    /// Take every name from a host: signs a new revision of the settings
    Revoke(RevokeArguments),
    /// Change the network secret, in three steps that every machine takes before the next begins
    Secret {
        /// Which step
        #[arg(value_enum)]
        step: SecretStep,
        /// The file with the secrets
        #[arg(default_value = mesher_config::DEFAULT_SECRET_FILE)]
        file: PathBuf,
    },
    /// Show a network's id and its signed settings
    Show {
        /// The directory with the network's files; else those that the configuration names
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// The configuration to look into
        #[arg(long, value_name = "FILE", default_value = mesher_config::DEFAULT_CONFIG_FILE)]
        config: PathBuf,
    },
}

/// What a new network is to be like.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// What all its names live under: `sol`, `mesh.example.org`
    #[arg(long)]
    pub(crate) domain: Domain,
    /// How long a machine that is away keeps its names: 10s, 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = mesher_config::parse_duration, default_value = "24h")]
    pub(crate) claim_ttl: Duration,
    /// Where to write its files
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Who may claim names: whoever holds the secret, or only machines with a certificate
    #[arg(long, value_enum, default_value_t = AdmissionChoice::Open)]
    pub(crate) admission: AdmissionChoice,
    /// Believe loopback addresses: for tests and demonstrations on one machine
    #[arg(long)]
    pub(crate) allow_loopback: bool,
    /// Allow a domain under which anybody can register names, such as `com` or `co.uk`
    #[arg(long)]
    pub(crate) allow_public_domain: bool,
}

/// How a network is to be from now on. What is not given stays as it is.
#[derive(Debug, Args)]
pub(crate) struct SetArguments {
    /// The directory with the network's key and its newest settings
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// What all names live under: all of them move
    #[arg(long)]
    pub(crate) domain: Option<Domain>,
    /// How long a machine that is away keeps its names: 10s, 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = mesher_config::parse_duration)]
    pub(crate) claim_ttl: Option<Duration>,
    /// Who may claim names: whoever holds the secret, or only machines with a certificate
    #[arg(long, value_enum)]
    pub(crate) admission: Option<AdmissionChoice>,
    /// A host whose signed times order the claims; to be given for each. They replace those there were
    #[arg(long, value_name = "HOST KEY")]
    pub(crate) witness: Vec<HostKey>,
    /// Do without witnesses
    #[arg(long, conflicts_with = "witness")]
    pub(crate) no_witnesses: bool,
    /// Believe loopback addresses: for tests and demonstrations on one machine
    #[arg(long, value_name = "true|false")]
    pub(crate) allow_loopback: Option<bool>,
    /// Allow a domain under which anybody can register names, such as `com` or `co.uk`
    #[arg(long, value_name = "true|false")]
    pub(crate) allow_public_domain: Option<bool>,
    /// Sign under this revision instead of the next one
    #[arg(long, value_name = "NUMBER")]
    pub(crate) revision: Option<u64>,
    /// Say what would be signed, and sign nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What a host may claim, and for how long.
#[derive(Debug, Args)]
pub(crate) struct CertifyArguments {
    /// The host's public key, as `mesherctl host show` prints it there
    #[arg(value_name = "HOST KEY")]
    pub(crate) key: HostKey,
    /// The directory with the network's key and its newest settings
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// What the host is to be called: its host.label
    #[arg(long)]
    pub(crate) label: Label,
    /// The names it may claim, with commas between: alpha,*.alpha,web
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) names: Vec<String>,
    /// For how long, from now: 90d
    #[arg(long, value_name = "DURATION", value_parser = mesher_config::parse_duration)]
    pub(crate) valid: Duration,
    /// Where to write the certificate; else it is printed
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Say what would be signed, and sign nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Whose claims are to count nowhere any more.
#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    /// The hosts' public keys, as `mesherctl host show` and `mesherctl peers --json` print them
    #[arg(value_name = "HOST KEY", required = true, add = ArgValueCompleter::new(complete::peer_keys))]
    pub(crate) keys: Vec<HostKey>,
    /// The directory with the network's key and its newest settings
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Take them off the list again
    #[arg(long)]
    pub(crate) undo: bool,
    /// Say what would be signed, and sign nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The steps of a change of the network secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SecretStep {
    /// Put a new one behind those there are: it opens
    Add,
    /// Put the newest one first: it seals
    Promote,
    /// Take out all but the first
    Retire,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AdmissionChoice {
    Open,
    Certified,
}

impl From<AdmissionChoice> for Admission {
    fn from(choice: AdmissionChoice) -> Self {
        match choice {
            AdmissionChoice::Open => Self::Open,
            AdmissionChoice::Certified => Self::Certified,
        }
    }
}
