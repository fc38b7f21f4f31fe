//! `config check`.

use std::io;
use std::path::Path;

use mesher_config::settings::{self, SettingsError};
use mesher_config::{Config, LoadError, Problem};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Mood, Output, count};

/// One problem for `--json`.
#[derive(Debug, Serialize)]
struct ShownProblem {
    file: String,
    line: usize,
    column: usize,
    key: String,
    message: String,
}

/// Checks the file at `path`. What is wrong goes to standard output, like a compiler's; the exit status tells the rest.
pub(crate) fn check(out: &Output, path: &Path, print: bool) -> Result<(), Failure> {
    match Config::load(path, &host_name()) {
        Ok(config) => check_settings(out, path, &config).and_then(|()| match (print, out.is_json()) {
            (true, true) => out.json(&as_json(&config)?),
            (true, false) => out.raw(config.to_toml().as_bytes()),
            (false, true) => out.json(&Vec::<ShownProblem>::new()),
            (false, false) => {
                out.print(format_args!("{}: {}", path.display(), out.paint(Mood::Good, "no problems")))
            }
        }),
        Err(LoadError::Invalid { path, problems }) => {
            report(out, &path.display().to_string(), &problems.iter().collect::<Vec<_>>())
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints the problems, and is the failure.
fn report(out: &Output, file: &str, problems: &[&Problem]) -> Result<(), Failure> {
    if out.is_json() {
        let shown = |p: &&Problem| ShownProblem {
            file: file.to_owned(),
            line: p.line,
            column: p.column,
            key: p.key.clone(),
            message: p.message.clone(),
        };
        out.json(&problems.iter().map(shown).collect::<Vec<_>>())?;
    } else {
        problems.iter().try_for_each(|problem| out.print(describe(out, file, problem)))?;
    }
    Err(Failure::Config(format!("{file}: {}", count(problems.len() as u64, "problem"))))
}

/// The configuration in full, as JSON.
fn as_json(config: &Config) -> Result<toml::Table, Failure> {
    toml::from_str(&config.to_toml()).map_err(|error| Failure::Other(error.to_string()))
}

/// The signed settings that the configuration names, without which the daemon does not start. (A secret may come as a credential,
/// and a certificate later: `doctor` looks for those.)
fn check_settings(out: &Output, path: &Path, config: &Config) -> Result<(), Failure> {
    let Some(file) = &config.network.settings_file else { return Ok(()) };
    let Err(error) = settings::read(file, &config.network.id) else { return Ok(()) };
    if matches!(&error, SettingsError::Read { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    {
        return Err(Failure::Denied(error.to_string()));
    }
    let (line, column, source) = place_of_settings(path);
    let (key, message) = ("network.settings_file".to_owned(), error.to_string());
    report(out, &path.display().to_string(), &[&Problem { line, column, source, key, message }])
}

/// Line, column and text of the line that names the settings file. The parsed configuration does not know its places any more.
fn place_of_settings(path: &Path) -> (usize, usize, String) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let names_it = |line: &str| {
        let (key, _) = line.split_once('=').unwrap_or_default();
        key.trim().trim_matches('"').ends_with("settings_file")
    };
    let found = text.lines().enumerate().find(|(_, line)| names_it(line));
    found.map_or((1, 1, String::new()), |(index, line)| {
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        (index + 1, indent + 1, line.to_owned())
    })
}

/// A problem with the line it is in and a mark below the place.
fn describe(out: &Output, file: &str, problem: &Problem) -> String {
    let place = out.paint(Mood::Heading, format_args!("{file}:{}:{}", problem.line, problem.column));
    let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
    let number = problem.line.to_string();
    let mark = " ".repeat(problem.column.saturating_sub(1));
    format!(
        "{place}: {key}{}\n  {number} | {}\n  {:width$} | {mark}{}",
        problem.message,
        problem.source.replace('\t', " "),
        "",
        out.paint(Mood::Bad, "^"),
        width = number.len(),
    )
}

/// The machine's host name, as the daemon takes it.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}
