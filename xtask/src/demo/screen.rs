//! What the demonstration shows: a line an event, with the seconds since the start; plain when not on a terminal.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::Answers;

/// Where the lines go.
pub(super) struct Screen {
    begun: Instant,
    terminal: bool,
    colour: bool,
}

impl Screen {
    /// The standard output, the clock at zero.
    pub(super) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        Screen { begun: Instant::now(), terminal, colour: terminal && env::var_os("NO_COLOR").is_none() }
    }

    pub(super) fn title(&self, text: &str) {
        println!("{}\n", self.styled("1", text));
    }

    pub(super) fn heading(&self, text: &str) {
        self.clear();
        println!("\n{}", self.styled("1", text));
    }

    pub(super) fn event(&self, text: &str) {
        self.clear();
        println!("{:7.2} s  {text}", self.begun.elapsed().as_secs_f64());
    }

    /// A line for every address that names came to have, or lost, in one member's eyes.
    pub(super) fn changes(&self, who: &str, before: &Answers, now: &Answers) {
        let mut gained: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, address) in now.iter().filter(|(name, address)| before.get(*name) != Some(*address)) {
            match gained.iter_mut().find(|(known, _)| known == address) {
                Some((_, names)) => names.push(name),
                None => gained.push((address, vec![name])),
            }
        }
        for (address, names) in gained {
            self.event(&format!("{who:<5} sees {} at {address}", self.styled("32", &names.join(", "))));
        }
        let lost: Vec<&str> = before.keys().filter(|name| !now.contains_key(*name)).copied().collect();
        if !lost.is_empty() {
            self.event(&format!("{who:<5} no longer sees {}", self.styled("31", &lost.join(", "))));
        }
    }

    /// A lookup as it is typed and answered.
    pub(super) fn lookup(&self, who: &str, name: &str, answer: &[String], why: &str) {
        println!("\n  {who}$ {}    # {why}", self.styled("1", &format!("getent ahosts {name}")));
        for line in answer {
            println!("  {line}");
        }
        println!();
    }

    /// On a terminal, a line that is written over by the next.
    pub(super) fn waiting(&self, since: Duration) {
        if self.terminal && since > Duration::from_secs(1) {
            print!("\r{:7.2} s  …", self.begun.elapsed().as_secs_f64());
            let _ = io::stdout().flush();
        }
    }

    /// Takes the line of `waiting` away.
    pub(super) fn clear(&self) {
        if self.terminal {
            print!("\r\x1b[K");
            let _ = io::stdout().flush();
        }
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
