//! The project's own commands: demo, test, dist, install, machines, bench.

fn main() {}
