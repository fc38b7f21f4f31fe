//! What is printed: text in colour for a person at a terminal, plain text for a pipe, JSON for a program.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;

/// Where output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
}

/// How a word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Warning,
    Bad,
    Heading,
    Faint,
}

impl Output {
    /// JSON if asked for; colour at a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal is a dumb one.
    pub(crate) fn new(json: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { json, colour: io::stdout().is_terminal() && !no_colour && !dumb }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// The word in the colour of its mood.
    pub(crate) fn paint(self, mood: Mood, text: impl fmt::Display) -> String {
        let code = match mood {
            _ if !self.colour => return text.to_string(),
            Mood::Good => "32",
            Mood::Warning => "33",
            Mood::Bad => "1;31",
            Mood::Heading => "1",
            Mood::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Prints text, ending it with a line end.
    pub(crate) fn print(self, text: impl fmt::Display) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// Prints bytes as they are.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Prints a value as JSON: indented, so that people can read it too.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Other(error.to_string()))?;
        self.print(text)
    }

    /// Prints a value as one line of JSON: for streams.
    pub(crate) fn json_line(self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::Other(error.to_string()))?;
        self.print(text)
    }

    /// Rows below a heading, each column as wide as its widest cell, two spaces between. A cell may be in a mood.
    pub(crate) fn table(self, heading: &[&str], rows: &[Vec<(String, Option<Mood>)>]) -> String {
        let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
        for row in rows {
            for (width, (cell, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let heading = heading.iter().map(|cell| ((*cell).to_owned(), Some(Mood::Faint))).collect();
        let lines = std::iter::once(&heading).chain(rows).map(|row: &Vec<(String, Option<Mood>)>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(index, ((cell, mood), width))| {
                // The padding stays outside the colour, and the last column needs none.
                let pad = if index + 1 == row.len() { 0 } else { width - cell.chars().count() };
                format!("{}{:pad$}", mood.map_or_else(|| cell.clone(), |mood| self.paint(mood, cell)), "")
            });
            format!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A time span in words, coarse: `0.4 s`, `12 s`, `5 min`, `3 h`, `2 days`.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// A time as people write it, in UTC: `2026-11-22 13:30:24 UTC`.
pub(crate) fn time(unix_ms: u64) -> String {
    // Beyond the year 9999, which is what the formatter can do, nobody can have claimed a name by an honest clock.
    if unix_ms >= 253_402_300_800_000 {
        return format!("{unix_ms} ms after 1970");
    }
    let time = std::time::UNIX_EPOCH + Duration::from_millis(unix_ms);
    humantime::format_rfc3339_seconds(time).to_string().replace('T', " ").replace('Z', " UTC")
}

/// Text from elsewhere in the network, safe to print: control characters are shown, not obeyed.
pub(crate) fn safe(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_times_in_words() {
        let spans =
            [(0, "0.0 s"), (449, "0.4 s"), (12_300, "12 s"), (300_000, "5 min"), (86_400_000, "24 h")];
        for (ms, words) in spans {
            assert_eq!(span(ms), words);
        }
        assert_eq!(time(1_795_354_224_000), "2026-11-22 13:30:24 UTC");
        assert_eq!(time(u64::MAX), "18446744073709551615 ms after 1970");
    }

    #[test]
    fn columns_are_as_wide_as_needed_and_colour_adds_no_width() {
        let rows = vec![
            vec![("alpha".to_owned(), Some(Mood::Good)), ("1".to_owned(), None)],
            vec![("é".to_owned(), None), ("22".to_owned(), None)],
        ];
        let plain = Output { json: false, colour: false }.table(&["LABEL", "N"], &rows);
        assert_eq!(plain, "  LABEL  N\n  alpha  1\n  é      22");
        let colour = Output { json: false, colour: true }.table(&["LABEL", "N"], &rows);
        assert!(colour.contains("\x1b[32malpha\x1b[0m  1"), "{colour:?}");
    }

    #[test]
    fn what_others_wrote_does_not_move_the_cursor() {
        assert_eq!(safe("a\x1b[2Jb"), "a\\u{1b}[2Jb");
    }
}
