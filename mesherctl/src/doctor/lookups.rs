//! The way of a lookup: nsswitch.conf names the module, the C library loads it, and programs get what the table says.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use mesher_control::types::{Names, Status};
use mesher_control::{Call, Client};
use mesher_table::TableFile;

use super::{Finding, Machine, output_of};
use crate::nsswitch::{self, FILE, SOURCE};

const MODULE: &str = "libnss_mesher.so.2";
const MODULE_C: &CStr = c"libnss_mesher.so.2";
const SYMBOL: &CStr = c"_nss_mesher_gethostbyname4_r";

/// Loads the module as the C library does for every program.
pub(super) fn module() -> Finding {
    const CHECK: &str = "module";
    // NixOS has its modules where only nscd looks.
    if std::path::Path::new("/etc/NIXOS").exists() {
        return if std::path::Path::new("/run/nscd/socket").exists() {
            Finding::ok(CHECK, "on NixOS nscd has it, and nscd is there")
        } else {
            Finding::wrong(
                CHECK,
                "on NixOS lookups go through nscd, and it is not running",
                "systemctl start nscd.service",
            )
        };
    }
    let missing =
        |what: String| Finding::wrong(CHECK, what, format!("find /usr/lib /lib -name {MODULE}; ldconfig"));
    // SAFETY: the name is a C string. The module has no initialisers that run code.
    let handle = unsafe { libc::dlopen(MODULE_C.as_ptr(), libc::RTLD_NOW) };
    if handle.is_null() {
        return missing(format!("the C library cannot load it: {}", last_error()));
    }
    // SAFETY: the handle is that of the module just loaded, which is never closed.
    let symbol = unsafe { libc::dlsym(handle, SYMBOL.as_ptr()) };
    if symbol.is_null() {
        return missing(format!("what is loaded as {MODULE} is another module: {}", last_error()));
    }
    let Some(path) = loaded_from() else { return Finding::ok(CHECK, MODULE) };
    match path.metadata() {
        Ok(metadata) if metadata.permissions().mode() & 0o444 != 0o444 => {
            let mode = metadata.permissions().mode() & 0o7777;
            Finding::wrong(
                CHECK,
                format!(
                    "{}: not everybody may read it (mode {mode:04o}), so some programs get no names",
                    path.display()
                ),
                format!("chmod a+r {}", path.display()),
            )
        }
        _ => Finding::ok(CHECK, path.display().to_string()),
    }
}

fn last_error() -> String {
    // SAFETY: dlerror returns NULL, or a C string that stays until this thread's next call of the family.
    let error = unsafe { libc::dlerror() };
    if error.is_null() {
        return "no reason given".to_owned();
    }
    // SAFETY: not NULL, so a C string; it is copied before the next call.
    unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned()
}

/// The file behind the module in this process.
fn loaded_from() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.contains(MODULE))?;
    line.find('/').map(|at| PathBuf::from(&line[at..]))
}

/// Whether programs ask the module, and before anything that leaves the machine.
pub(super) fn nsswitch(status: Option<&Status>) -> Finding {
    let text = match std::fs::read_to_string(FILE) {
        Ok(text) => text,
        Err(error) => {
            let text = format!("{FILE}: {error}");
            return Finding::wrong("nsswitch", text, format!("echo 'hosts: files mesher dns' >> {FILE}"));
        }
    };
    let domain = status.and_then(|status| status.network.domain.as_deref());
    judge_nsswitch(&text, domain)
}

fn judge_nsswitch(text: &str, domain: Option<&str>) -> Finding {
    const CHECK: &str = "nsswitch";
    let sources = nsswitch::host_sources(text);
    if sources.is_empty() {
        let what = format!("{FILE} has no line hosts:");
        return Finding::wrong(CHECK, what, format!("echo 'hosts: files mesher dns' >> {FILE}"));
    }
    let list: Vec<String> = sources.iter().map(ToString::to_string).collect();
    let list = list.join(" ");
    let mend = format!("sed -i 's/^hosts:.*/hosts: {}/' {FILE}", nsswitch::mended(&sources));
    let Some(place) = sources.iter().position(|source| source.name == SOURCE) else {
        let what = format!("the line hosts: ({list}) has no source {SOURCE}: programs do not ask the table");
        return Finding::wrong(CHECK, what, mend);
    };
    let before = &sources[..place];
    // mdns…_minimal knows .local only, and says so of nothing else.
    let local_only =
        |name: &str| name.starts_with("mdns") && name.ends_with("_minimal") && domain != Some("local");
    if let Some(end) = before.iter().find(|source| source.ends_unknown() && !local_only(&source.name)) {
        let what = format!("the line hosts: ({list}) ends lookups at {end}, before {SOURCE} is asked");
        return Finding::wrong(CHECK, what, mend);
    }
    if let Some(dns) = before.iter().find(|source| matches!(source.name.as_str(), "dns" | "resolve")) {
        let what = format!(
            "the line hosts: ({list}) asks {dns} before {SOURCE}: names leave the machine, and wait for DNS"
        );
        return Finding::wrong(CHECK, what, mend);
    }
    Finding::ok(CHECK, format!("hosts: {list}"))
}

/// Whether a program's lookup gives what the table says: with a name of the table. `way` is what was found of the way there.
pub(super) fn answers(machine: &Machine<'_>, way: &[Finding]) -> Option<Finding> {
    const CHECK: &str = "lookup";
    let status = machine.status()?;
    let path = &status.table.as_ref()?.path;
    let table = TableFile::open(path).ok()?;
    let Some(name) = name_to_try(machine, status) else {
        return Some(Finding::ok(CHECK, "no name is held yet, so there is none to look up"));
    };
    let entry = table.find(&name).ok().flatten()?;
    let v6 = entry.v6.iter().map(|v6| v6.address.to_string());
    let expected: BTreeSet<String> = entry.v4.iter().map(ToString::to_string).chain(v6).collect();
    let found = nsswitch::getaddrinfo(&name).unwrap_or_default();
    let found: BTreeSet<String> = found.iter().map(|found| nsswitch::unscoped(found).to_owned()).collect();
    // Without a route for a family the C library leaves its addresses out.
    if !found.is_empty() && found.is_subset(&expected) {
        let found: Vec<String> = found.into_iter().collect();
        return Some(Finding::ok(CHECK, format!("programs find {name} at {}", found.join(" "))));
    }
    let found: Vec<String> = found.into_iter().collect();
    let got = if found.is_empty() { "nothing".to_owned() } else { found.join(" ") };
    let expected: Vec<String> = expected.into_iter().collect();
    let what = format!("programs looking for {name} get {got}; the table says {}", expected.join(" "));
    // Only of a daemon that was started by hand: the module has one place compiled in.
    let read = std::env::var("MESHER_TABLE").unwrap_or_else(|_| crate::table::DEFAULT_TABLE.to_owned());
    if *path != read {
        let what = format!("{what}. Programs read {read}, unless MESHER_TABLE names this one");
        return Some(Finding::unclear(CHECK, what, format!("MESHER_TABLE={path} getent ahosts {name}")));
    }
    let cause = way.iter().find(|finding| finding.outcome == super::Outcome::Wrong);
    let run = match cause.and_then(|cause| cause.run.clone()) {
        Some(run) => run,
        None if output_of("pgrep", &["-x", "nscd"]).is_some() => "nscd --invalidate=hosts".to_owned(),
        None => format!("mesherctl explain {name}"),
    };
    Some(Finding::wrong(CHECK, what, run))
}

/// A name that this machine holds, or any with an address.
fn name_to_try(machine: &Machine<'_>, status: &Status) -> Option<String> {
    let proper = |name: &str| !name.starts_with("*.");
    let own = status.names.iter().find(|name| name.held && !name.addresses.is_empty() && proper(&name.name));
    if let Some(own) = own {
        return Some(own.name.clone());
    }
    let names: Names =
        Client::connect(machine.socket).and_then(|mut client| client.call(&Call::Names {})).ok()?;
    let found = names.names.into_iter().find(|name| !name.addresses.is_empty() && proper(&name.name));
    found.map(|name| name.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn the_order_of_the_sources_is_judged_and_mended() {
        let judge = |line: &str| judge_nsswitch(&format!("passwd: files\nhosts: {line}\n"), Some("sol"));
        for good in [
            "files mesher dns",
            "mesher files",
            "files mesher resolve [!UNAVAIL=return] dns",
            "files mdns4_minimal [NOTFOUND=return] mesher dns",
        ] {
            assert_eq!(judge(good).outcome, Outcome::Ok, "{good}");
        }
        for (bad, what, mended) in [
            ("files dns", "has no source mesher", "files mesher dns"),
            ("files dns mesher", "asks dns before mesher", "files mesher dns"),
            (
                "files resolve [!UNAVAIL=return] mesher dns",
                "ends lookups at resolve [!UNAVAIL=return]",
                "files mesher resolve [!UNAVAIL=return] dns",
            ),
            ("files [NOTFOUND=return] mesher", "ends lookups at files", "mesher files [NOTFOUND=return]"),
        ] {
            let finding = judge(bad);
            assert_eq!(finding.outcome, Outcome::Wrong, "{bad}");
            assert!(finding.message.contains(what), "{}", finding.message);
            assert_eq!(finding.run.unwrap(), format!("sed -i 's/^hosts:.*/hosts: {mended}/' {FILE}"));
        }
        assert_eq!(judge_nsswitch("passwd: files\n", None).outcome, Outcome::Wrong);
    }
}
