//! The parsed TOML text, read key by key: every key is taken once, with what is expected of it; what is left
//! over is unknown. Problems gather, so that one run tells all of them.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Problem;

/// The file's text and what was found wrong with it so far.
pub(crate) struct Document<'i> {
    text: &'i str,
    problems: Vec<Problem>,
    /// Every key that was asked for, with its section's prefix.
    known: Vec<(String, Vec<&'static str>)>,
    /// Keys that nobody asked for. What they may have been meant to be is known when all sections have been read.
    left_over: Vec<LeftOver>,
}

/// A key that nobody asked for.
struct LeftOver {
    place: Range<usize>,
    /// Of its section.
    prefix: String,
    key: String,
    is_section: bool,
}

/// One table of the file: the top level, or a section.
pub(crate) struct Section<'i> {
    /// With a dot at the end, or empty for the top level.
    prefix: String,
    table: DeTable<'i>,
    /// Where a problem with a missing key is shown.
    place: Range<usize>,
    /// What was asked for, for the nearest known key.
    known: Vec<&'static str>,
}

/// What a key holds, and where.
pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

impl<'i> Document<'i> {
    /// Parses `text` as TOML. What is not TOML becomes problems; the rest can still be read.
    pub(crate) fn new(text: &'i str) -> (Self, Section<'i>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut document = Self { text, problems: Vec::new(), known: Vec::new(), left_over: Vec::new() };
        for error in errors {
            let place = error.span().unwrap_or(0..0);
            document.push(place, String::new(), format!("not TOML: {}", one_line(error.message())));
        }
        let place = root.span();
        let section = Section { prefix: String::new(), table: root.into_inner(), place, known: Vec::new() };
        (document, section)
    }

    /// Notes a problem at `place`, a range of bytes in the text.
    pub(crate) fn push(&mut self, place: Range<usize>, key: String, message: String) {
        let start = place.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let source = self.text[line_start..].lines().next().unwrap_or("").to_owned();
        self.problems.push(Problem {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            source,
            key,
            message,
        });
    }

    /// All problems, in the order of the file; those of one place in the order they were found.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        for LeftOver { place, prefix, key, is_section } in std::mem::take(&mut self.left_over) {
            let what = if is_section { "section" } else { "key" };
            let message = format!("unknown {what}; {}", self.meant(&prefix, &key, is_section));
            self.push(place, format!("{prefix}{key}"), message);
        }
        self.problems.sort_by_key(|p| (p.line, p.column));
        self.problems
    }

    /// What an unknown key may have been meant to be: that of another section, a similar one of its own, or one similar to that of
    /// another section.
    fn meant(&self, prefix: &str, key: &str, is_section: bool) -> String {
        let own = self.known.iter().find(|(of, _)| of == prefix).map_or(&[][..], |(_, keys)| keys);
        let others = || self.known.iter().filter(|(of, _)| of != prefix);
        let names_section = |of: &str| self.known.iter().any(|(other, _)| *other == format!("{of}{key}."));
        let exact = others().find(|(of, keys)| keys.contains(&key) && names_section(of) == is_section);
        if let Some((of, _)) = exact {
            return match of.strip_suffix('.') {
                Some(section) => format!("{key} belongs in the section [{section}]"),
                None if is_section => format!("[{key}] is a section of its own"),
                None => format!("{key} belongs at the top, before the first section"),
            };
        }
        if let Some(near) = nearest(key, own) {
            return format!("did you mean {near}?");
        }
        let near_one = others().find_map(|(of, keys)| Some((of.strip_suffix('.')?, nearest(key, keys)?)));
        match near_one.filter(|_| !is_section) {
            Some((section, near)) => format!("did you mean {near}, in the section [{section}]?"),
            None => format!("expected one of {}", own.join(", ")),
        }
    }
}

impl<'i> Section<'i> {
    /// Takes `key` out of the section, if it is there.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value<'i>> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Whether `key` is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes the section `[name]`. One that is not there counts as empty.
    pub(crate) fn section(&mut self, document: &mut Document<'_>, name: &'static str) -> Section<'i> {
        let prefix = format!("{}{name}.", self.prefix);
        let empty = |prefix, place| Section { prefix, table: DeTable::new(), place, known: Vec::new() };
        let Some(value) = self.take(name) else { return empty(prefix, 0..0) };
        let place = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Section { prefix, table, place, known: Vec::new() },
            other => {
                let message = format!("expected a section, written [{name}], found {}", describe(&other));
                document.push(place.clone(), format!("{}{name}", self.prefix), message);
                empty(prefix, place)
            }
        }
    }

    /// The key's name with its section.
    pub(crate) fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Notes that `key`, which has no default, is missing.
    pub(crate) fn missing(&self, document: &mut Document<'_>, key: &str, expected: &str) {
        let section = self.prefix.trim_end_matches('.');
        let message = format!("missing; expected {expected}, in the section [{section}]");
        document.push(self.place.clone(), self.full(key), message);
    }

    /// Takes `key` and gives it to `read`, which says what it expected where that is not what it found.
    /// `None` if the key is absent or wrong; a wrong one is noted.
    pub(crate) fn read<T>(
        &mut self,
        document: &mut Document<'_>,
        key: &'static str,
        read: impl FnOnce(&DeValue<'i>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(message) => {
                document.push(value.span(), self.full(key), message);
                None
            }
        }
    }

    /// Takes the list `key` and gives each element to `read`. Wrong elements are noted and left out.
    pub(crate) fn read_list<T: PartialEq>(
        &mut self,
        document: &mut Document<'_>,
        key: &'static str,
        read: impl Fn(&DeValue<'i>) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            let message =
                format!("expected a list, such as [\"…\", \"…\"], found {}", describe(value.get_ref()));
            document.push(value.span(), self.full(key), message);
            return Vec::new();
        };
        let mut elements = Vec::new();
        for element in array.iter() {
            match read(element.get_ref()) {
                Ok(read) if elements.contains(&read) => {
                    let message = format!("{} is in the list twice", describe(element.get_ref()));
                    document.push(element.span(), self.full(key), message);
                }
                Ok(read) => elements.push(read),
                Err(message) => document.push(element.span(), self.full(key), message),
            }
        }
        elements
    }

    /// Notes every key that nobody has taken.
    pub(crate) fn finish(self, document: &mut Document<'_>) {
        for (key, value) in self.table.iter() {
            document.left_over.push(LeftOver {
                place: key.span(),
                prefix: self.prefix.clone(),
                key: key.get_ref().to_string(),
                is_section: value.get_ref().is_table(),
            });
        }
        document.known.push((self.prefix, self.known));
    }
}

/// A value in words: what kind it is, and the value where it is short enough to help.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() <= 80 => format!("{text:?}"),
        DeValue::String(_) => "a long text".to_owned(),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(value) => format!("the date or time {value}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}

/// The known word most like `name`, if one is like it at all.
///
/// Jaro-Winkler with this bound takes a typing error or a missing word for what it is (`gosip_interval`,
/// `bootstrap`), and leaves foreign words alone.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let lower = name.to_ascii_lowercase();
    known
        .iter()
        .map(|&k| (strsim::jaro_winkler(&lower, k), k))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// The parser's message, which may span lines, in one.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
