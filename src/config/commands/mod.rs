//! The table of commands.

mod exec;
mod maps;
mod policies;
mod system;
mod tcp;

use super::command::{Command, Deed, Edit, Has, No, Place, Run};

const fn edit(
    place: Place,
    syntax: &'static str,
    about: &'static str,
    has: Has,
    run: Edit,
) -> Command {
    Command { place, syntax, about, no: No::Same, has, run: Run::Edit(run) }
}

const fn deed(place: Place, syntax: &'static str, about: &'static str, deed: Deed) -> Command {
    let no = No::Never("it does something once");
    Command { place, syntax, about, no, has: super::command::ALL, run: Run::Deed(deed) }
}

impl Command {
    const fn no(self, no: No) -> Self {
        Self { no, ..self }
    }

    const fn of(self, has: Has) -> Self {
        Self { has, ..self }
    }
}

/// All commands, in the order of the reference.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    let parts =
        [exec::COMMANDS, system::COMMANDS, policies::COMMANDS, maps::COMMANDS, tcp::COMMANDS];
    parts.into_iter().flatten()
}

/// Words that begin several commands, with what `?` says of them: in the words of the device where public transcripts
/// show them.
pub(super) const BEGINNINGS: &[(&str, &str)] = &[
    ("class-map", "Configure MPF Class Map"),
    ("clear", "Reset functions"),
    ("copy", "Copy from one file to another"),
    ("debug", "Debugging functions (see also 'undebug')"),
    ("enable", "Turn on privileged commands"),
    ("logging", "Configure logging levels, recipients and other options"),
    ("logging message", "the severity of a message, and whether it is sent"),
    ("nameif", "the name of an interface"),
    ("no", "Negate a command or set its defaults"),
    ("policy-map", "Configure MPF Parameter Map"),
    ("show", "Show running system information"),
    ("terminal", "Set terminal line parameters"),
    ("write", "Write running configuration to memory, network or terminal"),
];

/// What is said of such a word, which stands behind others.
pub(super) fn beginning(words: &str) -> &'static str {
    BEGINNINGS.iter().find(|(of, _)| *of == words).map_or("", |(_, about)| *about)
}
