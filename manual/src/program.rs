//! A program's page, from its command line's definition.

use clap::builder::StyledStr;
use clap::{ArgAction, Command};
use roff::{Inline, Roff, bold, italic, roman};

/// A program and where its page belongs.
pub(crate) struct Page {
    /// What its command line is parsed with.
    pub(crate) command: Command,
    /// What it is, in a few words: the manual's index shows them.
    pub(crate) summary: &'static str,
    /// The manual's section.
    pub(crate) section: &'static str,
    /// Other pages.
    pub(crate) see_also: &'static [&'static str],
}

/// The page's text.
pub(crate) fn render(page: &Page, date: &str) -> String {
    let mut command = page.command.clone();
    // Gives every argument its final form; also hands global ones on, which are left out again below.
    command.build();
    let name = command.get_name().to_owned();
    let version = format!("data-mesher {}", command.get_version().unwrap_or_default());
    let mut roff = Roff::new();
    roff.control("TH", [name.as_str(), page.section, date, version.as_str()]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {}", page.summary))]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text(synopsis(&command, &name));
    roff.control("SH", ["DESCRIPTION"]);
    let long = command.get_long_about().or(command.get_about());
    paragraphs(&mut roff, &text(long));
    roff.control("SH", ["OPTIONS"]);
    options(&mut roff, &command, |_| true);
    if command.get_subcommands().next().is_some() {
        roff.control("SH", ["COMMANDS"]);
        subcommands(&mut roff, &command, "");
    }
    notes(&mut roff, &text(command.get_after_help()));
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(page.see_also.join(", "))]);
    roff.to_roff()
}

/// The commands that can be carried out, each with its full name; groups are gone through.
fn subcommands(roff: &mut Roff, command: &Command, prefix: &str) {
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        let name = format!("{prefix}{}", child.get_name());
        if child.get_subcommands().next().is_some() {
            subcommands(roff, child, &format!("{name} "));
            continue;
        }
        roff.control("SS", [] as [&str; 0]);
        roff.text(synopsis(child, &name));
        paragraphs(roff, &text(child.get_long_about().or(child.get_about())));
        options(roff, child, |argument| !argument.is_global_set());
    }
}

fn synopsis(command: &Command, name: &str) -> Vec<Inline> {
    let mut line = vec![bold(name)];
    let own = |argument: &&clap::Arg| !argument.is_hide_set() && !argument.is_global_set();
    let optional = |argument: &&clap::Arg| !argument.is_positional() && !argument.is_required_set();
    let standard =
        |argument: &&clap::Arg| matches!(argument.get_action(), ArgAction::Help | ArgAction::Version);
    let arguments = || command.get_arguments().filter(own).filter(|argument| !standard(argument));
    let globals = command.get_arguments().any(|argument| argument.is_global_set());
    if arguments().any(|argument| optional(&argument)) || (globals && command.has_subcommands()) {
        line.extend([roman(" ["), italic("OPTIONS"), roman("]")]);
    }
    for argument in arguments().filter(|argument| !optional(argument)) {
        line.push(roman(" "));
        if let Some(long) = argument.get_long() {
            line.extend([bold(format!("--{long}")), roman(" ")]);
        }
        let value = value_name(argument);
        let dots = if many(argument) { "..." } else { "" };
        if argument.is_required_set() {
            line.extend([italic(value), roman(dots)]);
        } else {
            line.extend([roman("["), italic(value), roman(format!("]{dots}"))]);
        }
    }
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND")]);
    }
    line
}

/// The arguments that `wanted` takes, with their help, values and defaults.
fn options(roff: &mut Roff, command: &Command, wanted: impl Fn(&clap::Arg) -> bool) {
    let help = |argument: &&clap::Arg| {
        // Every command has them, and the page is what they would print.
        command.get_name() != "mesherd"
            && command.get_name() != "mesherctl"
            && matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::Version)
    };
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set() && wanted(argument));
    for argument in shown.filter(|argument| !help(argument)) {
        roff.control("TP", [] as [&str; 0]);
        let mut head = Vec::new();
        if let Some(short) = argument.get_short() {
            head.extend([bold(format!("-{short}")), roman(", ")]);
        }
        match argument.get_long() {
            Some(long) => head.push(bold(format!("--{long}"))),
            None if argument.is_positional() => {}
            None => drop(head.pop()),
        }
        if argument.is_positional() {
            head.push(italic(value_name(argument)));
        } else if argument.get_action().takes_values() {
            head.extend([roman(" "), italic(value_name(argument))]);
        }
        roff.text(head);
        let mut said = text(argument.get_long_help().or(argument.get_help()));
        said += &values(argument);
        let default: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if !default.is_empty() && argument.get_action().takes_values() {
            said += &format!(" (default: {})", default.join(" "));
        }
        roff.text(inlines(&said));
    }
}

/// The values that an argument can have, with what each means. `true` and `false` need no telling.
fn values(argument: &clap::Arg) -> String {
    let values = argument.get_possible_values();
    let told = values.iter().filter(|value| !value.is_hide_set());
    let told: Vec<String> = told
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({})", value.get_name(), text(Some(help))),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if told.is_empty() || told == ["`true`", "`false`"] {
        String::new()
    } else {
        format!(": {}", told.join(", "))
    }
}

/// Text in which what stands between backquotes is to be typed as it is.
fn inlines(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 0 { roman(part) } else { bold(part) }).collect()
}

/// What the help ends with: `Title: text` each.
fn notes(roff: &mut Roff, after: &str) {
    for note in after.split("\n\n").filter(|note| !note.trim().is_empty()) {
        match note.split_once(": ") {
            Some((title, text)) => {
                roff.control("SH", [title.to_uppercase().as_str()]);
                roff.text([roman(text.replace('\n', " "))]);
            }
            None => {
                roff.control("SH", ["NOTES"]);
                roff.text([roman(note.replace('\n', " "))]);
            }
        }
    }
}

fn paragraphs(roff: &mut Roff, text: &str) {
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            roff.control("PP", [] as [&str; 0]);
        }
        roff.text(inlines(&paragraph.replace('\n', " ")));
    }
}

fn many(argument: &clap::Arg) -> bool {
    argument.get_num_args().is_some_and(|range| range.max_values() > 1)
        || (argument.is_positional() && matches!(argument.get_action(), ArgAction::Append))
}

fn value_name(argument: &clap::Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    if names.is_empty() {
        return argument.get_id().as_str().to_uppercase();
    }
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
}

fn text(styled: Option<&StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}
