//! What the demonstration shows: a line an event, with the seconds since the start; plain when not on a terminal.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Answers;

/// Where the lines go.
pub(super) struct Screen {
    begun: Instant,
    terminal: bool,
    colour: bool,
    /// Set when nobody reads any more: then it ends as if interrupted.
    interrupted: Arc<AtomicBool>,
}

impl Screen {
    /// The standard output, the clock at zero.
    pub(super) fn new(interrupted: Arc<AtomicBool>) -> Self {
        let terminal = io::stdout().is_terminal();
        let colour = terminal && env::var_os("NO_COLOR").is_none();
        Screen { begun: Instant::now(), terminal, colour, interrupted }
    }

    /// Sets the clock to zero again.
    pub(super) fn restart_clock(&mut self) {
        self.begun = Instant::now();
    }

    /// A line of text.
    pub(super) fn say(&self, text: impl Display) {
        self.show(format_args!("{text}\n"));
    }

    fn show(&self, text: impl Display) {
        let mut output = io::stdout();
        if write!(output, "{text}").and_then(|()| output.flush()).is_err() {
            self.interrupted.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn title(&self, text: &str) {
        self.say(format_args!("{}\n", self.styled("1", text)));
    }

    pub(super) fn heading(&self, text: &str) {
        self.clear();
        self.say(format_args!("\n{}", self.styled("1", text)));
    }

    pub(super) fn event(&self, text: &str) {
        self.clear();
        self.say(format_args!("{:7.2} s  {text}", self.begun.elapsed().as_secs_f64()));
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
        self.say(format_args!(
            "\n  {who}$ {}    # {why}",
            self.styled("1", &format!("getent ahosts {name}"))
        ));
        for line in answer {
            self.say(format_args!("  {line}"));
        }
        self.say("");
    }

    /// On a terminal, a line that is written over by the next.
    pub(super) fn waiting(&self, since: Duration) {
        if self.terminal && since > Duration::from_secs(1) {
            self.show(format_args!("\r{:7.2} s  …", self.begun.elapsed().as_secs_f64()));
        }
    }

    /// Takes the line of `waiting` away.
    pub(super) fn clear(&self) {
        if self.terminal {
            self.show("\r\x1b[K");
        }
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
