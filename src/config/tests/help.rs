//! What `?` says.

use super::*;

const FAMILIES: [Family; 5] =
    [Family::Mailhost, Family::Fixup, Family::Inspect, Family::Maps, Family::Own];

fn modes() -> Vec<Mode> {
    let name = || "name".to_owned();
    vec![
        Mode::User,
        Mode::Privileged,
        Mode::Config,
        Mode::Interface(name()),
        Mode::ClassMap(name()),
        Mode::RegexClass(name()),
        Mode::EsmtpMap(name()),
        Mode::EsmtpMatch(name(), 0),
        Mode::EsmtpParameters(name()),
        Mode::PolicyMap(name()),
        Mode::PolicyClass(name(), name()),
        Mode::TcpMap(name()),
    ]
}

fn row(line: &str, word: &str, mode: &Mode, family: Family) -> String {
    let rows = help(line, mode, family);
    let found = rows.into_iter().find(|(of, _)| of == word);
    found.unwrap_or_else(|| panic!("{line:?} leads to no {word}")).1
}

#[test]
fn something_is_said_of_every_word() {
    let mut count = 0;
    for family in FAMILIES {
        for mode in modes() {
            let mut lines = vec![String::new()];
            while let Some(line) = lines.pop() {
                for (word, about) in help(&line, &mode, family) {
                    count += 1;
                    assert!(!about.is_empty(), "{family:?} {mode:?}: {line}{word}");
                    let is_word = word.bytes().all(|o| o.is_ascii_lowercase() || o == b'-');
                    if is_word && line.split_whitespace().count() < 4 {
                        lines.push(format!("{line}{word} "));
                    }
                }
            }
        }
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn a_word_that_begins_several_commands_has_a_text_of_its_own() {
    let config = Mode::Config;
    for family in FAMILIES {
        for (word, about) in [
            ("show", "Show running system information"),
            ("clear", "Reset functions"),
            ("no", "Negate a command or set its defaults"),
            ("write", "Write running configuration to memory, network or terminal"),
            ("logging", "Configure logging levels, recipients and other options"),
        ] {
            assert_eq!(row("", word, &config, family), about);
        }
        // Cut short and taken back it is the same.
        let of = |line: &str, word: &str| row(line, word, &config, family);
        assert_eq!(of("no ", "logging"), of("", "logging"));
        assert_eq!(of("sho log", "logging"), of("show ", "logging"));
        assert_eq!(of("logging mess", "message"), of("no logging ", "message"));
    }
    // Each of them is said somewhere.
    for (words, about) in commands::BEGINNINGS {
        let (before, word) = words.rsplit_once(' ').unwrap_or(("", words));
        let said = |mode: &Mode, family| {
            let rows = help(&format!("{before} "), mode, family);
            rows.iter().any(|(of, text)| of == word && text == about)
        };
        let everywhere =
            FAMILIES.iter().flat_map(|of| modes().into_iter().map(move |mode| (mode, of)));
        assert!(everywhere.into_iter().any(|(mode, of)| said(&mode, *of)), "{words}");
    }
    // Of what leads to one command only, what that does.
    assert_eq!(
        row("fixup ", "protocol", &config, Family::Fixup),
        row("fixup p ", "smtp", &config, Family::Fixup)
    );
    assert_eq!(
        row("", "enable", &Mode::User, Family::Own),
        "may change things, after the password"
    );
    assert_eq!(row("", "enable", &config, Family::Own), "Turn on privileged commands");
}
