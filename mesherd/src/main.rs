//! The daemon: claims names, gossips, and keeps the hosts table.

mod wiping;

use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;
use mesherd::cli::{EXIT_CONFIG, Failure, Options};
use mesherd::{daemon, systemd};

#[global_allocator]
static ALLOCATOR: wiping::Wiping = wiping::Wiping;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::SUCCESS };
            // Nobody is there to be told when the terminal is gone.
            let _ = error.print();
            return code;
        }
    };
    systemd::logging::start(LevelFilter::Info);
    keep_secrets_out_of_dumps();
    // One thread: the daemon waits nearly all the time, and a thread costs more memory than it would save time. What blocks
    // (fsync) goes to the runtime's blocking pool.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(daemon::run(options)),
        Err(error) => Err(Failure::Other(format!("the runtime could not be started: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            systemd::logging::last_words(failure.message());
            failure.exit_code()
        }
    }
}

/// A crash must not write this process's memory, and the keys in it, to a disk: neither to a file nor to a collector of core
/// dumps, whatever limits it was started with. Processes of the same user cannot look into it either (prctl(2),
/// `PR_SET_DUMPABLE`); root can.
fn keep_secrets_out_of_dumps() {
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        log::warn!("a crash of this process may leave its secrets in a core dump: {error}");
    }
}
