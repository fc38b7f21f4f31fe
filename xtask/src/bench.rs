//! The benchmarks of the module and the table: a program of their own (`benches/`), which builds what it compares with.

use std::process::ExitCode;

use anyhow::Result;

use crate::host;

/// Runs the benchmarks with these options of theirs.
///
/// # Errors
///
/// When they cannot be built, or end in failure.
pub(crate) fn run(options: &[String]) -> Result<ExitCode> {
    let mut command = host::cargo(&["run", "--release", "--locked", "-p", "mesher_benches", "--"]);
    host::run(command.args(options))?;
    Ok(ExitCode::SUCCESS)
}
