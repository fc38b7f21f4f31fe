//! `table compile` and `table dump`.

use std::io::Read;
use std::path::Path;

use mesher_table::{Deadline, Found, TableFile, TableWriter};
use serde::Serialize;

use crate::cli::CompileArguments;
use crate::failure::Failure;
use crate::hosts;
use crate::output::Output;

/// The daemon's table.
pub(crate) const DEFAULT_TABLE: &str = "/run/data-mesher/hosts.table";

/// `table compile`.
pub(crate) fn compile(out: &Output, arguments: &CompileArguments) -> Result<(), Failure> {
    let text = read_hosts(&arguments.hosts)?;
    let mut contents = hosts::parse(&text).map_err(|problems| {
        let file = arguments.hosts.display();
        let lines: Vec<String> =
            problems.iter().map(|(line, what)| format!("{file}:{line}: {what}")).collect();
        Failure::Other(lines.join("\nmesherctl: "))
    })?;
    contents.contain.clone_from(&arguments.contain);
    let failed = |error: mesher_table::WriteError| Failure::Other(error.to_string());
    let mut writer = TableWriter::open_or_create(&arguments.output).map_err(failed)?;
    if let Found::Foreign(why) = writer.found() {
        // A table is replaced; anything else may be somebody's only copy.
        return Err(Failure::Other(format!(
            "{}: is no hosts table ({why}), and is left alone; move it away",
            arguments.output.display()
        )));
    }
    let deadline = arguments.lease.map_or(Deadline::NEVER, Deadline::after);
    let published = writer.publish(&contents, deadline).map_err(failed)?;
    #[derive(Serialize)]
    struct Compiled {
        names: usize,
        bytes: usize,
        generation: u64,
    }
    let compiled =
        Compiled { names: contents.entries.len(), bytes: published.bytes, generation: published.generation };
    if out.is_json() {
        return out.json(&compiled);
    }
    out.print(format_args!(
        "{}: {} names, {} bytes, generation {}",
        arguments.output.display(),
        compiled.names,
        compiled.bytes,
        compiled.generation
    ))
}

fn read_hosts(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Failure::file(path))?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(Failure::file(path))
}

/// `table dump`.
pub(crate) fn dump(out: &Output, path: &Path, stale: bool) -> Result<(), Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::Other(format!("{}: {error}", path.display()));
    let table = TableFile::open(path).map_err(|error| Failure::Other(error.to_string()))?;
    let header = table.header().map_err(|error| unreadable(&error))?;
    if !header.leased && !stale {
        return Err(Failure::Other(format!(
            "{}: no daemon keeps this table up any more, and programs get no answers from it; \
             see: systemctl status data-mesher.service, or add --stale to print it all the same",
            path.display()
        )));
    }
    let contents = table.contents().map_err(|error| unreadable(&error))?;
    if !out.is_json() {
        return out.raw(hosts::write(&contents).as_bytes());
    }
    #[derive(Serialize)]
    struct DumpedName<'a> {
        name: &'a str,
        canonical: Option<&'a str>,
        addresses: Vec<String>,
        ttl_s: u32,
    }
    let names: Vec<DumpedName<'_>> = contents
        .entries
        .iter()
        .map(|entry| DumpedName {
            name: &entry.name,
            canonical: entry.canonical.as_deref(),
            addresses: entry
                .v4
                .iter()
                .map(ToString::to_string)
                .chain(entry.v6.iter().map(|v6| v6.address.to_string()))
                .collect(),
            ttl_s: entry.ttl_s,
        })
        .collect();
    out.json(&serde_json::json!({"generation": header.generation, "leased": header.leased, "contain": contents.contain, "names": names}))
}
