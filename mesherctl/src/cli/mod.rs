//! The command line: what can be asked for, and where it is carried out.

mod network;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::ArgValueCompleter;

use crate::failure::Failure;
use crate::output::Output;
use crate::{complete, config, control, doctor, explain, status, table};

use self::network::NetworkCommand;
pub(crate) use self::network::{CertifyArguments, InitArguments, RevokeArguments, SecretStep, SetArguments};

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
        Command::Network(NetworkCommand::Init(init)) => crate::network::init(&out, init),
        Command::Network(NetworkCommand::Set(set)) => crate::network::set(&out, socket, set),
        Command::Network(NetworkCommand::Certify(certify)) => crate::network::certify(&out, certify),
        Command::Network(NetworkCommand::Revoke(revoke)) => crate::network::revoke(&out, socket, revoke),
        Command::Network(NetworkCommand::Secret { step, file }) => {
            crate::network::secret_step(&out, *step, file)
        }
        Command::Network(NetworkCommand::Show { dir, config }) => {
            crate::network::show(&out, dir.as_deref(), config)
        }
        Command::Host(HostCommand::Show { state_dir }) => {
            crate::network::host_show(&out, socket, state_dir.as_deref())
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
    use clap::error::ErrorKind;
    use mesher_control::Call;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// Whatever stands between backquotes or on a line of its own and begins with the tool's name is understood by it.
    #[test]
    fn the_pages_name_no_command_and_no_option_that_there_is_not() {
        let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let docs = std::fs::read_dir(repository.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let mut seen = 0;
        for page in docs
            .chain([repository.join("README.md")])
            .filter(|page| page.extension().is_some_and(|e| e == "md"))
        {
            let text = std::fs::read_to_string(&page).unwrap();
            let spans = text.split(['`', '\n', '|', ';', '&', '(']).map(str::trim);
            for order in spans.filter(|span| span.starts_with("mesherctl ") && !span.contains('…')) {
                let words = order.split('#').next().unwrap().split([')', '"', '>', '<']).next().unwrap();
                let parsed = Arguments::command().try_get_matches_from(words.split_whitespace());
                let wrong = parsed.is_err_and(|error| {
                    matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument)
                });
                assert!(!wrong, "{}: {order}", page.display());
                seen += 1;
            }
        }
        assert!(seen > 50, "only {seen} orders were found");
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
