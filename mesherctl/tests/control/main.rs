//! The commands that ask the daemon. At the other end of the socket is a peer that speaks the protocol and answers what the
//! test tells it: what is tested is the tool, from its arguments to its output and exit status.

#![allow(unreachable_pub, reason = "modules of a test have no outside")]

mod changing;
mod peer;
mod showing;
mod watching;
