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
