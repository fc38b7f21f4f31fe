//! What is printed: text in colour for a person at a terminal, plain text for a pipe, JSON for a program.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;

/// Narrower terminals get lines as they are, and break them themselves.
const NARROWEST: usize = 20;
/// The last column of a table is wrapped into this many columns at least; with less room the table becomes a list.
const LAST_COLUMN: usize = 16;

/// A cell of a table, and how it is meant.
pub(crate) type Cell = (String, Option<Mood>);

/// Where output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
    /// Columns of the terminal; none where lines may be as long as they are.
    width: Option<usize>,
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
        let terminal = io::stdout().is_terminal();
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        Self {
            json,
            colour: terminal && !no_colour && !dumb,
            width: width.filter(|width| *width >= NARROWEST),
        }
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

    /// Text behind a head, wrapped at the terminal's edge with the rest of its lines indented. The head may be in colour; without
    /// one, the text begins where it is indented to.
    pub(crate) fn paragraph(self, head: &str, indent: usize, text: &str) -> String {
        let Some(width) = self.width else { return format!("{head}{text}") };
        let room = width.saturating_sub(indent).max(NARROWEST / 2);
        let first = if head.is_empty() { room } else { (indent + room).saturating_sub(visible_width(head)) };
        let mut lines = vec![String::new()];
        let mut left = first;
        for word in text.split(' ') {
            let length = word.chars().count();
            let begun = lines.last().is_some_and(|line| !line.is_empty());
            if length + usize::from(begun) > left && (begun || left < room) {
                lines.push(String::new());
                left = room;
            } else if begun && let Some(line) = lines.last_mut() {
                line.push(' ');
                left -= 1;
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(word);
            }
            left = left.saturating_sub(length);
        }
        format!("{head}{}", lines.join(&format!("\n{:indent$}", "")))
    }

    /// Rows below a heading, each column as wide as its widest cell, two spaces between. Where the terminal is too narrow for that,
    /// the last column is wrapped between words, or else each row becomes a list of its cells.
    pub(crate) fn table(self, heading: &[&str], rows: &[Vec<Cell>]) -> String {
        let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
        for row in rows {
            for (width, (cell, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let before_last: usize = 2 + widths.iter().rev().skip(1).map(|width| width + 2).sum::<usize>();
        let last = widths.last().copied().unwrap_or_default();
        let room = self.width.map_or(usize::MAX, |width| width.saturating_sub(before_last));
        if last > room && room < LAST_COLUMN.max(heading.last().map_or(0, |title| title.len())) {
            return rows.iter().map(|row| self.list(heading, row)).collect::<Vec<_>>().join("\n");
        }
        let heading = heading.iter().map(|cell| ((*cell).to_owned(), Some(Mood::Faint))).collect();
        let lines = std::iter::once(&heading).chain(rows).map(|row: &Vec<Cell>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(index, ((cell, mood), width))| {
                // The padding stays outside the colour, and the last column needs none.
                let is_last = index + 1 == row.len();
                let pad = if is_last { 0 } else { width - cell.chars().count() };
                let cell = if is_last { self.paragraph("", before_last, cell) } else { cell.clone() };
                format!("{}{:pad$}", mood.map_or_else(|| cell.clone(), |mood| self.paint(mood, &cell)), "")
            });
            format!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// A row of a table as lines: its first cell, and below it the others with their titles.
    fn list(self, heading: &[&str], row: &[Cell]) -> String {
        let titled = heading.iter().map(|title| title.chars().count()).max().unwrap_or_default();
        let mut lines = Vec::new();
        for (index, (title, (cell, mood))) in heading.iter().zip(row).enumerate() {
            if cell.is_empty() {
                continue;
            }
            let paint = |text: &str| mood.map_or_else(|| text.to_owned(), |mood| self.paint(mood, text));
            if index == 0 {
                lines.push(format!("  {}", paint(cell)));
                continue;
            }
            let title = self.paint(Mood::Faint, format_args!("    {:titled$}  ", title.to_lowercase()));
            let text = self.paragraph("", titled + 6, cell);
            lines.push(format!("{title}{}", paint(&text)));
        }
        lines.join("\n")
    }
}

/// How many columns a text takes that may be in colour.
fn visible_width(text: &str) -> usize {
    let mut width = 0;
    let mut in_escape = false;
    for c in text.chars() {
        match c {
            '\x1b' => in_escape = true,
            'm' if in_escape => in_escape = false,
            _ if in_escape => {}
            _ => width += 1,
        }
    }
    width
}

/// A line for the person at the terminal, on standard error. Who has gone away is not told.
pub(crate) fn tell(text: impl fmt::Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// A number of things: `1 name`, `2 names`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
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
        let plain = Output { json: false, colour: false, width: None }.table(&["LABEL", "N"], &rows);
        assert_eq!(plain, "  LABEL  N\n  alpha  1\n  é      22");
        let colour = Output { json: false, colour: true, width: None }.table(&["LABEL", "N"], &rows);
        assert!(colour.contains("\x1b[32malpha\x1b[0m  1"), "{colour:?}");
    }

    fn narrow(width: usize) -> Output {
        Output { json: false, colour: false, width: Some(width) }
    }

    #[test]
    fn a_narrow_terminal_gets_wrapped_columns_and_a_narrower_one_a_list() {
        let row =
            ["earth.sol", "alpha", "192.168.1.1 2001:db8:1::1"].map(|cell| (cell.to_owned(), None)).to_vec();
        let table = |width| narrow(width).table(&["NAME", "HOLDER", "ADDRESSES"], std::slice::from_ref(&row));
        let wide = "  NAME       HOLDER  ADDRESSES\n  earth.sol  alpha   192.168.1.1 2001:db8:1::1";
        assert_eq!(table(46), wide);
        assert_eq!(
            table(45),
            "  NAME       HOLDER  ADDRESSES\n  earth.sol  alpha   192.168.1.1\n                     2001:db8:1::1"
        );
        assert_eq!(
            table(30),
            "  earth.sol\n    holder     alpha\n    addresses  192.168.1.1\n               2001:db8:1::1"
        );
        for width in 20..60 {
            assert!(
                table(width).lines().all(|line| line.len() <= width.max(28)),
                "{width}:\n{}",
                table(width)
            );
        }
    }

    #[test]
    fn paragraphs_are_wrapped_and_what_does_not_fit_is_left_whole() {
        let text =
            narrow(24).paragraph("\x1b[1mok\x1b[0m    ", 6, "one two three four-and-twenty-blackbirds five");
        assert_eq!(text, "\x1b[1mok\x1b[0m    one two three\n      four-and-twenty-blackbirds\n      five");
        assert_eq!(Output { json: false, colour: false, width: None }.paragraph("a ", 6, "b c"), "a b c");
    }

    #[test]
    fn what_others_wrote_does_not_move_the_cursor() {
        assert_eq!(safe("a\x1b[2Jb"), "a\\u{1b}[2Jb");
    }
}
