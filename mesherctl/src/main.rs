//! The operator's command line.
//!
//! `cli` says what can be asked for; each other module carries out one group of commands. Commands that ask the daemon go
//! through `mesher_control`; those that make or check files need no daemon.

mod admission;
mod cli;
mod config;
mod control;
mod explain;
mod failure;
mod files;
mod hosts;
mod network;
mod output;
mod status;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match cli::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                eprintln!("mesherctl: {text}");
            }
            failure.exit_code()
        }
    }
}
