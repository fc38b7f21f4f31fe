//! Adds our source to nsswitch.conf(5), and takes it out again, leaving everything else as it is.

/// Our source's name: glibc loads `libnss_mesher.so.2` for it.
const SOURCE: &str = "mesher";

/// Sources that ask the network or another daemon. Ours goes before the first of them: behind `resolve
/// [!UNAVAIL=return]` it would never be asked, and behind `dns` every lookup would leave the machine first.
const AFTER_OURS: [&str; 8] =
    ["resolve", "dns", "mdns", "mdns4", "mdns6", "mdns_minimal", "mdns4_minimal", "mdns6_minimal"];

/// The text with our source in every `hosts` line, before the first source that leaves the machine, otherwise at the
/// line's end. A line that names it already stays as it is. Without a `hosts` line one is added, with what glibc
/// does without it.
pub(crate) fn add(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut met = false;
    for line in text.split_inclusive('\n') {
        match hosts_line(line) {
            Some(words) => {
                met = true;
                out.push_str(&add_to_line(line, &words));
            }
            None => out.push_str(line),
        }
    }
    if !met {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str("hosts:          files mesher dns\n");
    }
    out
}

/// The text without our source and the actions that belong to it.
pub(crate) fn remove(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match hosts_line(line) {
            Some(words) => remove_from_line(line, &words),
            None => line.to_owned(),
        })
        .collect()
}

/// A source, or the actions in brackets behind one, and where it stands in its line.
struct Word<'a> {
    text: &'a str,
    start: usize,
}

impl Word<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    fn is_action(&self) -> bool {
        self.text.starts_with('[')
    }
}

/// The sources and actions of a `hosts` line; nothing for any other line.
fn hosts_line(line: &str) -> Option<Vec<Word<'_>>> {
    let code = line.split('#').next().unwrap_or(line);
    let (database, _) = code.split_once(':')?;
    if database.trim() != "hosts" {
        return None;
    }
    let mut words = Vec::new();
    let mut at = database.len() + 1;
    while at < code.len() {
        let rest = &code[at..];
        let start = at + rest.len() - rest.trim_start().len();
        let rest = &code[start..];
        if rest.is_empty() {
            break;
        }
        // An action list may hold blanks: `[NOTFOUND = return]`.
        let length = if rest.starts_with('[') {
            rest.find(']').map_or(rest.len(), |end| end + 1)
        } else {
            rest.find(|c: char| c.is_whitespace() || c == '[').unwrap_or(rest.len())
        };
        words.push(Word { text: &code[start..start + length], start });
        at = start + length;
    }
    Some(words)
}

fn add_to_line(line: &str, words: &[Word<'_>]) -> String {
    if words.iter().any(|word| word.text == SOURCE) {
        return line.to_owned();
    }
    if let Some(next) = words.iter().find(|word| AFTER_OURS.contains(&word.text)) {
        return format!("{}{SOURCE} {}", &line[..next.start], &line[next.start..]);
    }
    let end = words.last().map_or_else(|| line.find(':').map_or(line.len(), |colon| colon + 1), Word::end);
    format!("{} {SOURCE}{}", &line[..end], &line[end..])
}

fn remove_from_line(line: &str, words: &[Word<'_>]) -> String {
    let mut out = line.to_owned();
    // Words from here on are gone, with nothing left behind them.
    let mut gone_from = words.len();
    // From behind, so that the places of the words before stay true.
    for (index, word) in words.iter().enumerate().rev().filter(|(_, word)| word.text == SOURCE) {
        let actions = words[index + 1..].iter().take_while(|word| word.is_action()).count();
        let end = words[index + actions].end();
        match words[..gone_from].get(index + actions + 1) {
            Some(next) => out.replace_range(word.start..next.start, ""),
            None => {
                gone_from = index;
                let before = out[..word.start].trim_end().len();
                out.replace_range(before..end, "");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::time::SystemTime;

    use super::{add, remove};

    #[test]
    fn takes_out_what_is_there_twice() {
        assert_eq!(remove("hosts: files mesher mesher\n"), "hosts: files\n");
        assert_eq!(remove("hosts: mesher [NOTFOUND=return] mesher # ours\n"), "hosts: # ours\n");
        assert_eq!(remove("hosts: mesher mesher dns mesher\n"), "hosts: dns\n");
    }

    /// What a line becomes, for each way in which distributions write it.
    const LINES: [(&str, &str); 9] = [
        ("hosts: files dns\n", "hosts: files mesher dns\n"),
        ("hosts:          files dns # local\n", "hosts:          files mesher dns # local\n"),
        (
            "hosts: files mdns4_minimal [NOTFOUND=return] dns mymachines\n",
            "hosts: files mesher mdns4_minimal [NOTFOUND=return] dns mymachines\n",
        ),
        (
            "hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns\n",
            "hosts: mymachines mesher resolve [!UNAVAIL=return] files myhostname dns\n",
        ),
        ("hosts:\tfiles[SUCCESS=merge]dns\n", "hosts:\tfiles[SUCCESS=merge]mesher dns\n"),
        ("hosts: files myhostname\n", "hosts: files myhostname mesher\n"),
        ("hosts: files   # dns\n", "hosts: files mesher   # dns\n"),
        ("hosts:\n", "hosts: mesher\n"),
        (" hosts : files dns", " hosts : files mesher dns"),
    ];

    #[test]
    fn adds_before_the_first_source_that_leaves_the_machine_and_takes_out_again() {
        for (before, after) in LINES {
            assert_eq!(add(before), after);
            assert_eq!(remove(after), before, "removed again");
        }
    }

    #[test]
    fn adding_twice_is_adding_once() {
        for (before, _) in LINES {
            assert_eq!(add(&add(before)), add(before));
        }
    }

    #[test]
    fn leaves_other_databases_and_comments_alone() {
        let text = "# hosts: files dns\npasswd: files\nhosts: files dns\nnetworks: files\n";
        let added = "# hosts: files dns\npasswd: files\nhosts: files mesher dns\nnetworks: files\n";
        assert_eq!(add(text), added);
        assert_eq!(remove(added), text);
    }

    #[test]
    fn adds_the_line_where_there_is_none() {
        assert_eq!(add("passwd: files"), "passwd: files\nhosts:          files mesher dns\n");
        assert_eq!(add(""), "hosts:          files mesher dns\n");
    }

    #[test]
    fn takes_out_the_actions_behind_it_and_what_an_administrator_moved() {
        assert_eq!(remove("hosts: mesher [NOTFOUND = return] files dns\n"), "hosts: files dns\n");
        assert_eq!(remove("hosts: files dns mesher [!UNAVAIL=return] # end\n"), "hosts: files dns # end\n");
        assert_eq!(remove("hosts: mesher files mesher\n"), "hosts: files\n");
    }

    #[test]
    fn a_source_whose_name_begins_like_ours_is_another_source() {
        assert_eq!(add("hosts: files mesher2 dns\n"), "hosts: files mesher2 mesher dns\n");
        assert_eq!(remove("hosts: files mesher2 dns\n"), "hosts: files mesher2 dns\n");
    }

    /// What the Debian package's script, which has no xtask, makes of a text.
    fn packaged(what: &str, text: &str) -> String {
        let file = std::env::temp_dir().join(format!("nsswitch.conf.{}", std::process::id()));
        fs::write(&file, text).expect("a temporary file");
        let script = crate::paths::repository().join("packaging/debian/nsswitch");
        let status = Command::new(script).arg(what).arg(&file).status().expect("perl");
        assert!(status.success(), "{what} ended with {status}");
        let after = fs::read_to_string(&file).expect("the file is still there");
        fs::remove_file(&file).expect("it can be removed");
        after
    }

    #[test]
    fn the_debian_package_edits_it_in_the_same_way() {
        for (before, _) in LINES {
            assert_eq!(packaged("add", before), add(before));
            assert_eq!(packaged("remove", &add(before)), before);
        }
        assert_eq!(packaged("add", ""), add(""));
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock past 1970").as_nanos();
        let seed = u64::try_from(now & u128::from(u32::MAX)).expect("32 bits");
        println!("seed {seed}");
        let mut state = seed;
        let mut pick = |count: usize| {
            // The multiplier and increment of Knuth's MMIX generator, whose high bits are good.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).expect("31 bits") % count
        };
        for _ in 0..40 {
            let mut text = String::new();
            for _ in 0..pick(12) {
                text += ["hosts:", "hosts :", " hosts:", "hosts:", "networks:", "# hosts:", "hosts"][pick(7)];
                for _ in 0..pick(6) {
                    text += ["", " ", "\t", "  "][pick(4)];
                    text += ["files", "mesher", "dns", "mesher", "resolve", "[!UNAVAIL=return]"][pick(6)];
                    text += ["", " ", "[NOTFOUND = return]", " # mesher", "mdns4_minimal", "[", "]"][pick(7)];
                }
                text += ["\n", " \n", "\n", "\n\n"][pick(4)];
            }
            assert_eq!(packaged("add", &text), add(&text), "adding to {text:?}");
            assert_eq!(packaged("remove", &text), remove(&text), "removing from {text:?}");
        }
    }
}
