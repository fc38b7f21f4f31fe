//! Where messages go: to the journal with their fields when systemd started the daemon, else to standard error.

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

/// Begins logging at `level`. To be called once, first of all; a second call changes the level only.
///
/// The journal is used when standard error is connected to it (`JOURNAL_STREAM`, systemd.exec(5)). When it cannot be
/// reached all the same, lines on standard error get their priority in front, which systemd understands (sd-daemon(3)).
pub fn start(level: LevelFilter) {
    log::set_max_level(level);
    let to_journal = connected_to_journal();
    if to_journal && let Ok(journal) = JournalLog::new() {
        let _ = log::set_boxed_logger(Box::new(Filter(journal)));
        return;
    }
    let style = match (to_journal, io::stderr().is_terminal()) {
        (true, _) => Style::Priority,
        (false, true) if std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) => Style::Colour,
        (false, _) => Style::Plain,
    };
    let _ = log::set_boxed_logger(Box::new(Filter(Stderr { style })));
}

/// Says at level `error` why this process is about to end, so that `journalctl -u` shows it under the unit.
///
/// Under systemd it goes through standard error, whose unit journald knows from the start. With a message sent to it, journald looks
/// up whose it is when it comes to read it, and of a process that is gone by then it cannot tell.
pub fn last_words(message: &str) {
    if connected_to_journal() {
        Stderr { style: Style::Priority }.write(Level::Error, message);
    } else {
        log::error!("{message}");
    }
}

/// Changes the level of a running daemon.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// Holds back what other people's crates have to say, unless everything is asked for: at `debug` the operator wants to
/// know what the daemon does, not what its libraries do.
struct Filter<L>(L);

fn wanted(metadata: &Metadata<'_>, max_level: LevelFilter) -> bool {
    let own = metadata.target().starts_with("mesher");
    let foreign_level = if max_level == LevelFilter::Trace { LevelFilter::Debug } else { LevelFilter::Warn };
    metadata.level() <= if own { max_level } else { foreign_level.min(max_level) }
}

impl<L: Log> Log for Filter<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        wanted(metadata, log::max_level())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// For a terminal.
    Colour,
    /// For a file or a pipe.
    Plain,
    /// For systemd, which adds the time itself.
    Priority,
}

struct Stderr {
    style: Style,
}

impl Stderr {
    fn write(&self, level: Level, message: &str) {
        let line = format_line(self.style, SystemTime::now(), level, message);
        // One write a line, so that lines of several threads do not mix. Nobody is there to be told of an error.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.write(record.level(), &record.args().to_string());
    }

    fn flush(&self) {}
}

/// One message as lines of text. Control characters, which a peer may have had a hand in, are shown, not obeyed.
fn format_line(style: Style, now: SystemTime, level: Level, message: &str) -> String {
    let mut text = String::with_capacity(message.len() + 48);
    for c in message.chars() {
        match c {
            '\n' => text.push_str("\n    "),
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    let time = humantime::format_rfc3339_millis(now);
    match style {
        Style::Priority => {
            let priority = match level {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 5,
                Level::Debug => 6,
                Level::Trace => 7,
            };
            text.lines().map(|line| format!("<{priority}>{line}\n")).collect()
        }
        Style::Plain => format!("{time} {level:<5} {text}\n"),
        Style::Colour => {
            let colour = match level {
                Level::Error => "\x1b[1;31m",
                Level::Warn => "\x1b[33m",
                Level::Info => "\x1b[32m",
                Level::Debug | Level::Trace => "\x1b[2m",
            };
            format!("\x1b[2m{time}\x1b[0m {colour}{level:<5}\x1b[0m {text}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn line(style: Style, message: &str) -> String {
        format_line(style, UNIX_EPOCH + Duration::from_millis(1_500), Level::Warn, message)
    }

    #[test]
    fn lines_are_readable_in_each_style() {
        assert_eq!(line(Style::Plain, "a\nb"), "1970-01-01T00:00:01.500Z WARN  a\n    b\n");
        assert_eq!(line(Style::Priority, "a\nb"), "<4>a\n<4>    b\n");
        assert!(line(Style::Colour, "a").ends_with("\x1b[33mWARN \x1b[0m a\n"));
    }

    #[test]
    fn a_terminal_does_not_obey_what_a_stranger_wrote() {
        assert_eq!(
            line(Style::Plain, "name \x1b[2J\r"),
            "1970-01-01T00:00:01.500Z WARN  name \\u{1b}[2J\\r\n"
        );
    }

    #[test]
    fn libraries_are_heard_only_when_something_is_wrong() {
        let check =
            |target, level, max| wanted(&Metadata::builder().target(target).level(level).build(), max);
        assert!(check("mesherd::gossip", Level::Debug, LevelFilter::Debug));
        assert!(check("mesher_claims", Level::Info, LevelFilter::Info));
        assert!(!check("mesherd", Level::Debug, LevelFilter::Info));
        assert!(!check("netlink_proto", Level::Debug, LevelFilter::Debug));
        assert!(check("netlink_proto", Level::Warn, LevelFilter::Debug));
        assert!(!check("netlink_proto", Level::Warn, LevelFilter::Error));
        assert!(check("netlink_proto", Level::Debug, LevelFilter::Trace));
    }
}
