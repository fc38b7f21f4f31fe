//! The command line: which command, with which options.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::{bench, deb, demo, deny, dist, fuzz, install, machines, plants, test};

const USAGE: &str = "\
Usage: cargo xtask COMMAND [OPTIONS]

Commands:
  demo [--check]            three daemons on this machine find each other by name; nothing is installed (no root); --check
                            runs it as the tests do: to its end, by Ctrl-C, and with nobody reading
  test                      install what the tests need, run everything, say what ran (root)
  dist                      build the release files into target/dist, laid out as they are installed
  deb [--from DIR] [--version VERSION]
                            build the Debian packages into target/deb; --from takes a finished dist tree
  install [--root DIR] [--from DIR]
                            build them and install them on this machine (root); --from takes a finished dist tree
  uninstall [--root DIR] [--purge]
                            take them off again (root); --purge removes configuration and state as well
  machines [SCENARIO…] [--suite bookworm|trixie|forky] [--lanes N] [--keep] [--script FILE --nodes FILE]
                            run whole-machine scenarios (root), all of tests/machines when none is named, two at a time
  deny                      hold the dependencies to deny.toml: licences, versions, sources
  plants [--all] [AREA|NAME…]
                            plant faults in a copy of the tree: for each, its test must fail
  fuzz [TARGET…] [--seconds N]
                            fuzz for a minute each, or so long, two at a time; all targets when none is named
  bench [--write|--check]   measure the module and the table: --write puts the results into docs/performance.md, --check
                            only holds the instructions of a lookup to the committed number

Everything is described in docs/testing.md and docs/installing.md.
";

/// Runs the command the process was started with.
///
/// # Errors
///
/// Whatever kept the command from doing its work, and a command line that asks for nothing known.
pub(crate) fn run() -> Result<ExitCode> {
    let mut parser = lexopt::Parser::from_env();
    let command = match parser.next()? {
        Some(Value(command)) => command.string()?,
        Some(Short('h') | Long("help")) | None => {
            print!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    if env::args_os().skip(2).any(|argument| argument == "--help" || argument == "-h") {
        print!("{}", usage_of(&command).unwrap_or(USAGE.to_owned()));
        return Ok(ExitCode::SUCCESS);
    }
    match command.as_str() {
        "dist" => {
            no_more(&mut parser)?;
            let tree = dist::build()?;
            println!("{}", tree.display());
            Ok(ExitCode::SUCCESS)
        }
        "deb" => {
            for package in deb::build(&deb_options(&mut parser)?)? {
                println!("{}", package.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        "demo" => match parser.next()? {
            Some(Long("check")) => demo::check().map(|_| ExitCode::SUCCESS),
            Some(other) => Err(other.unexpected().into()),
            None => demo::run(),
        },
        "test" => {
            no_more(&mut parser)?;
            test::run()
        }
        "deny" => {
            no_more(&mut parser)?;
            let failed = deny::run()?.failed;
            Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        "install" => install::install(&install_options(&mut parser)?),
        "uninstall" => install::uninstall(&uninstall_options(&mut parser)?),
        "bench" => bench::run(&bench_arguments(&mut parser)?),
        "fuzz" => fuzz::run(&fuzz_options(&mut parser)?),
        "machines" => machines::run(&machines_options(&mut parser)?),
        "plants" => plants::run(&plants_options(&mut parser)?),
        "help" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("there is no command {command:?}; `cargo xtask --help` lists them"),
    }
}

/// What the usage has about one command; none, if there is no such command.
fn usage_of(command: &str) -> Option<String> {
    let is_it = |line: &str| {
        let line = line.strip_prefix("  ").unwrap_or_default();
        line.strip_prefix(command).is_some_and(|rest| rest.starts_with(' '))
    };
    let mut lines = USAGE.lines().skip_while(|line| !is_it(line));
    let first = lines.next()?.trim_start();
    let rest = lines.take_while(|line| line.starts_with("   "));
    Some(format!("Usage: cargo xtask {first}\n{}", rest.map(|line| format!("{line}\n")).collect::<String>()))
}

fn no_more(parser: &mut lexopt::Parser) -> Result<()> {
    match parser.next()? {
        Some(argument) => Err(argument.unexpected().into()),
        None => Ok(()),
    }
}

fn deb_options(parser: &mut lexopt::Parser) -> Result<deb::Options> {
    let mut options = deb::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("from") => options.from = Some(directory(parser)?),
            Long("version") => options.version = Some(parser.value()?.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(options)
}

fn install_options(parser: &mut lexopt::Parser) -> Result<install::Install> {
    let mut options = install::Install::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("root") => options.root = Some(directory(parser)?),
            Long("from") => options.from = Some(directory(parser)?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(options)
}

fn uninstall_options(parser: &mut lexopt::Parser) -> Result<install::Uninstall> {
    let mut options = install::Uninstall::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("root") => options.root = Some(directory(parser)?),
            Long("purge") => options.purge = true,
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(options)
}

fn fuzz_options(parser: &mut lexopt::Parser) -> Result<fuzz::Options> {
    let mut options = fuzz::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => options.seconds = number(parser, "--seconds")?,
            Value(name) => options.targets.push(name.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(options)
}

fn machines_options(parser: &mut lexopt::Parser) -> Result<machines::Options> {
    let mut options = machines::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("suite") => options.suite = parser.value()?.string()?,
            Long("lanes") => options.lanes = usize::try_from(number(parser, "--lanes")?)?,
            Long("keep") => options.keep = true,
            Long("script") => options.script = Some(parser.value()?.into()),
            Long("nodes") => options.nodes = Some(parser.value()?.into()),
            Value(name) => options.scenarios.push(name.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(options)
}

fn plants_options(parser: &mut lexopt::Parser) -> Result<plants::Options> {
    let mut options = plants::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("all") => options.all = true,
            Value(name) => options.only.push(name.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(options)
}

/// Options go on to the benchmark itself; what it does not know it refuses.
fn bench_arguments(parser: &mut lexopt::Parser) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("write") => arguments.push("--write".to_owned()),
            Long("check") => arguments.push("--check".to_owned()),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(arguments)
}

/// A number that is not 0.
fn number(parser: &mut lexopt::Parser, option: &str) -> Result<u64> {
    let given = parser.value()?.string()?;
    match given.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => bail!("{option}: expected a number from 1, found {given:?}"),
    }
}

fn directory(parser: &mut lexopt::Parser) -> Result<PathBuf> {
    let path = PathBuf::from(parser.value()?);
    path.canonicalize().with_context(|| format!("{}: expected a directory that exists", path.display()))
}

#[cfg(test)]
mod unit_tests {
    use super::{USAGE, number, usage_of};

    #[test]
    fn each_command_has_its_own_usage() {
        let commands: Vec<&str> = USAGE
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert!(commands.contains(&"machines") && commands.len() > 8, "{commands:?}");
        for command in commands {
            let usage = usage_of(command).expect("the command is in the usage");
            assert!(usage.starts_with(&format!("Usage: cargo xtask {command} ")), "{usage}");
            // Every command's words, and nothing of the next one's.
            assert!(
                usage.lines().count() <= 3 && usage.lines().skip(1).all(|line| line.starts_with("    ")),
                "{usage}"
            );
        }
        // The last is a word of the usage, and no command.
        for other in ["nosuch", "mach", "only"] {
            assert_eq!(usage_of(other), None, "{other}");
        }
    }

    #[test]
    fn numbers_are_from_one() {
        let said = |text| {
            number(&mut lexopt::Parser::from_args([text]), "--lanes").map_err(|error| error.to_string())
        };
        assert_eq!(said("7"), Ok(7));
        for text in ["0", "x", "7.5", ""] {
            assert_eq!(said(text), Err(format!("--lanes: expected a number from 1, found {text:?}")));
        }
    }
}
