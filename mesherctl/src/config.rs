//! `config check`.

use std::path::Path;

use mesher_config::{Config, LoadError, Problem};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Mood, Output};

/// One problem for `--json`.
#[derive(Debug, Serialize)]
struct ShownProblem<'a> {
    file: String,
    line: usize,
    column: usize,
    key: &'a str,
    message: &'a str,
}

/// Checks the file at `path`. What is wrong goes to standard output, like a compiler's; the exit status tells the rest.
pub(crate) fn check(out: &Output, path: &Path, print: bool) -> Result<(), Failure> {
    match Config::load(path, &host_name()) {
        Ok(config) if print => out.raw(config.to_toml().as_bytes()),
        Ok(_) if out.is_json() => out.json(&Vec::<ShownProblem<'_>>::new()),
        Ok(_) => out.print(format_args!("{}: {}", path.display(), out.paint(Mood::Good, "no problems"))),
        Err(LoadError::Invalid { path, problems }) => {
            let file = path.display().to_string();
            if out.is_json() {
                let shown = |p: &Problem| -> serde_json::Value {
                    let problem = ShownProblem {
                        file: file.clone(),
                        line: p.line,
                        column: p.column,
                        key: &p.key,
                        message: &p.message,
                    };
                    serde_json::to_value(problem).unwrap_or_default()
                };
                out.json(&problems.iter().map(shown).collect::<Vec<_>>())?;
            } else {
                for problem in &problems {
                    out.print(describe(out, &file, problem))?;
                }
            }
            let count = problems.iter().count();
            Err(Failure::Config(format!("{file}: {count} problem{}", if count == 1 { "" } else { "s" })))
        }
        Err(error) => Err(error.into()),
    }
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
