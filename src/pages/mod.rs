//! What is printed for readers and shells, all of it from the tables that the program itself goes by: man pages,
//! completions, the reference of the commands.

mod man;
mod reference;

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

pub use reference::reference;

/// The name of the program.
const NAME: &str = "mailguard";

/// Where man pages go.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The directory, which exists. man DIRECTORY/PAGE shows a page.
    directory: PathBuf,
}

/// Whose completions.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell. In bash: . <(mailguard completions bash)
    shell: Shell,
}

/// Writes the man pages of `command`, of its subcommands, and of the configuration and the console.
///
/// # Errors
///
/// One line: a page cannot be written.
pub fn man(args: &ManArgs, command: Command) -> Result<(), String> {
    for (name, text) in man::pages(shown(&command)) {
        let path = args.directory.join(name);
        std::fs::write(&path, text)
            .map_err(|why| format!("cannot write {}: {why}", path.display()))?;
    }
    Ok(())
}

/// Prints the completions of `command`.
///
/// # Errors
///
/// One line: standard output cannot be written.
pub fn completions(args: &CompletionsArgs, command: Command) -> Result<(), String> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut shown(&command), NAME, &mut text);
    print(&text)
}

/// The command without what is hidden, which nobody is to type.
fn shown(command: &Command) -> Command {
    let subcommands = command.get_subcommands().filter(|of| !of.is_hide_set()).cloned();
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(command.get_about().cloned().unwrap_or_default())
        .subcommand_required(true)
        .subcommands(subcommands)
}

fn print(text: &[u8]) -> Result<(), String> {
    match io::stdout().write_all(text) {
        // A reader that has gone away needs no more.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        Err(_) | Ok(()) => Ok(()),
    }
}
