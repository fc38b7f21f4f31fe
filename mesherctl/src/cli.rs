//! The command line: what can be asked for, and where it is carried out.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use mesher_claims::keys::HostKey;
use mesher_claims::names::{Domain, Label};
use mesher_claims::record::Admission;

use crate::failure::Failure;
use crate::output::Output;
use crate::{complete, config, control, doctor, explain, network, status, table};

const EXIT_STATUS: &str = "\
Exit status: 0 done; 1 failed; 2 wrong usage; 3 the daemon cannot be reached or does not answer; \
4 permission denied; 78 the configuration is wrong.";

/// Shows and controls data-mesher, which gives the machines of a mesh their names.
#[derive(Debug, Parser)]
#[command(name = "mesherctl", version, after_help = EXIT_STATUS, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", env = "MESHER_SOCKET", default_value = mesher_control::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Print JSON, with the fields of the control socket's interface
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything at a glance: network, peers, names held and waited for, table
    Status,
    /// The other machines of the network
    Peers {
        /// Only this one, with its key and its clock: by label, key or address
        #[arg(add = ArgValueCompleter::new(complete::peers))]
        peer: Option<String>,
    },
    /// All names of the network, and who holds them
    Names,
    /// Why a name is answered the way it is, on this machine
    Explain {
        /// Full, or without the network's domain
        #[arg(add = ArgValueCompleter::new(complete::names))]
        name: String,
    },
    /// Show what happens, as it happens
    Watch,
    /// Look for what keeps names from resolving on this machine, and say what to run
    ///
    /// Checks the configuration, the service and its sockets, the network secret, the state directory, the hosts table, the
    /// module, nsswitch.conf, a lookup, the time, the firewall, the gossip port and the bootstrap nodes. As root it sees more. The
    /// exit status is 1 if something is wrong.
    Doctor {
        /// The daemon's configuration; else the one that the daemon was started with
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Claim a name beside those of the configuration; kept over restarts
    Claim {
        /// Full, or without the network's domain
        #[arg(add = ArgValueCompleter::new(complete::names_to_claim))]
        name: String,
    },
    /// Give up a name that was claimed with `claim`
    Release {
        /// Full, or without the network's domain
        #[arg(add = ArgValueCompleter::new(complete::names_to_release))]
        name: String,
    },
    /// Have the daemon read its configuration, and the files that it names, again
    Reload {
        /// The daemon's configuration. Its network secret is passed on, which the daemon may not read itself
        #[arg(long, value_name = "FILE", default_value = mesher_config::DEFAULT_CONFIG_FILE)]
        config: PathBuf,
    },
    /// Change how much the daemon logs, until its next restart or reload
    LogLevel {
        /// The least severe messages to write
        #[arg(value_parser = ["error", "warn", "info", "debug", "trace"])]
        level: String,
    },
    /// The daemon's metrics, in Prometheus' text format
    Metrics,
    /// Make networks, and look at them
    #[command(subcommand)]
    Network(NetworkCommand),
    /// This machine's identity in its network
    #[command(subcommand)]
    Host(HostCommand),
    /// Check a configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make hosts tables, and look into them
    #[command(subcommand)]
    Table(TableCommand),
    /// Print completions for a shell, names and peers included
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum NetworkCommand {
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

#[derive(Debug, Subcommand)]
enum HostCommand {
    /// Show the public key of this machine, for the network's administrator
    Show {
        /// Read it from this state directory instead of asking the daemon
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Tell everything that is wrong with a configuration, as the daemon would
    Check {
        /// The file
        #[arg(default_value = mesher_config::DEFAULT_CONFIG_FILE)]
        file: PathBuf,
        /// Print the configuration in full, defaults included
        #[arg(long)]
        print: bool,
    },
}

#[derive(Debug, Subcommand)]
enum TableCommand {
    /// Make a table from a hosts(5) file
    Compile(CompileArguments),
    /// Print a table as a hosts(5) file
    Dump {
        /// The table
        #[arg(default_value = table::DEFAULT_TABLE)]
        file: PathBuf,
        /// Print it although no daemon keeps it up any more
        #[arg(long)]
        stale: bool,
    },
}

/// What goes into a table.
#[derive(Debug, Args)]
pub(crate) struct CompileArguments {
    /// The hosts(5) file, or - for standard input
    pub(crate) hosts: PathBuf,
    /// The table to write, or to renew in place
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// How long the table may be believed; for ever, if not given
    #[arg(long, value_name = "DURATION", value_parser = mesher_config::parse_duration)]
    pub(crate) lease: Option<Duration>,
    /// End lookups under this domain that the table cannot answer; may be given several times
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) contain: Vec<String>,
}

/// Carries out what was asked for.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let out = Output::new(arguments.json);
    let socket = &arguments.socket;
    match &arguments.command {
        Command::Status => status::status(&out, socket),
        Command::Peers { peer } => status::peers(&out, socket, peer.as_deref()),
        Command::Doctor { config } => doctor::doctor(&out, socket, config.as_deref()),
        Command::Names => status::names(&out, socket),
        Command::Explain { name } => explain::explain(&out, socket, name),
        Command::Watch => control::watch(&out, socket),
        Command::Claim { name } => control::claim(&out, socket, name),
        Command::Release { name } => control::release(&out, socket, name),
        Command::Reload { config } => control::reload(&out, socket, config),
        Command::LogLevel { level } => control::log_level(&out, socket, level),
        Command::Metrics => control::metrics(&out, socket),
        Command::Network(NetworkCommand::Init(init)) => network::init(&out, init),
        Command::Network(NetworkCommand::Set(set)) => network::set(&out, socket, set),
        Command::Network(NetworkCommand::Certify(certify)) => network::certify(&out, certify),
        Command::Network(NetworkCommand::Revoke(revoke)) => network::revoke(&out, socket, revoke),
        Command::Network(NetworkCommand::Secret { step, file }) => network::secret_step(&out, *step, file),
        Command::Network(NetworkCommand::Show { dir, config }) => network::show(&out, dir.as_deref(), config),
        Command::Host(HostCommand::Show { state_dir }) => {
            network::host_show(&out, socket, state_dir.as_deref())
        }
        Command::Config(ConfigCommand::Check { file, print }) => config::check(&out, file, *print),
        Command::Table(TableCommand::Compile(compile)) => table::compile(&out, compile),
        Command::Table(TableCommand::Dump { file, stale }) => table::dump(&out, file, *stale),
        Command::Completions { shell } => out.raw(&complete::registration(*shell)?),
    }
}

/// An address and, for a link-local one, its scope.
pub(crate) type ScopedAddress = (IpAddr, u32);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use mesher_control::Call;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_method_without_parameters_has_its_command() {
        let commands: Vec<String> =
            Arguments::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        for call in [
            Call::Status {},
            Call::Peers {},
            Call::Names {},
            Call::Metrics {},
            Call::Reload { secrets: None },
            Call::Watch {},
            Call::Table {},
        ] {
            let method = call.to_parts().0.rsplit('.').next().unwrap().to_ascii_lowercase();
            assert!(commands.contains(&method), "{method}");
        }
    }
}
