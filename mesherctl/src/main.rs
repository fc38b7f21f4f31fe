//! The operator's command line; what it does is in the library, which the manual page is made from too.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesherctl::main()
}
