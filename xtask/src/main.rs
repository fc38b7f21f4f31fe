//! The project's own commands: demo, test, dist, deb, install, machines, plants, fuzz, bench.

mod bench;
mod cli;
mod deb;
mod demo;
mod deny;
mod dist;
mod fuzz;
mod host;
mod install;
mod machines;
mod nsswitch;
mod paths;
mod plants;
mod test;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
