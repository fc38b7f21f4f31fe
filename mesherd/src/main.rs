//! The daemon: claims names, gossips, and keeps the hosts table.

fn main() {}
