//! The operator's command line.
//!
//! `cli` says what can be asked for; each other module carries out one group of commands. Commands that ask the daemon go
//! through `mesher_control`; those that make or check files need no daemon.

mod admission;
mod cli;
mod complete;
mod config;
mod control;
mod doctor;
mod explain;
mod failure;
mod files;
mod hosts;
mod network;
mod nsswitch;
mod output;
mod status;
mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

/// The definition of the command line, for the manual page.
#[must_use]
pub fn command() -> clap::Command {
    cli::Arguments::command()
}

/// `mesherctl help claim` asks for what `mesherctl claim --help` prints.
fn with_help_as_an_option(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// Carries out what the process was started for.
#[must_use]
pub fn main() -> ExitCode {
    // A shell that asks what could come next gets its answer, and nothing else happens.
    clap_complete::CompleteEnv::with_factory(cli::Arguments::command).complete();
    let arguments = cli::Arguments::parse_from(with_help_as_an_option(std::env::args_os().collect()));
    match cli::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                crate::output::tell(format_args!("mesherctl: {text}"));
            }
            failure.exit_code()
        }
    }
}
