//! Man pages: of each command line from the tables of clap, of the configuration and the console from the table of their
//! commands.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::reference::{LEGEND, sections};

/// The page of the configuration and the console.
const COMMANDS: &str = "mailguard-commands";

const MANUAL: &str = "Mailguard";

fn source() -> String {
    format!("mailguard {}", env!("CARGO_PKG_VERSION"))
}

/// Every page: the name of its file, and its text.
pub(super) fn pages(command: Command) -> Vec<(String, String)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let all: Vec<_> = command.get_subcommands().cloned().chain([command.clone()]).collect();
    let names: Vec<_> = all.iter().map(name_of).collect();
    let mut pages: Vec<_> = all
        .into_iter()
        .zip(&names)
        .map(|(of, name)| (format!("{name}.1"), page(of, &names)))
        .collect();
    pages.push((format!("{COMMANDS}.5"), commands_page(&names)));
    pages
}

fn name_of(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: Command, names: &[String]) -> String {
    let name = name_of(&command);
    let mut octets = Vec::new();
    // A vector takes everything.
    let _ = Man::new(command).source(source()).manual(MANUAL).render(&mut octets);
    tidy(&String::from_utf8_lossy(&octets)) + &see_also(&name, names)
}

/// What clap leaves that roff has another way to say, or would misread: empty lines between paragraphs, breaks
/// beside them, a date that is empty.
fn tidy(text: &str) -> String {
    let lines = text.lines().map(|line| if line.is_empty() { ".sp" } else { line });
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    text.replace(".br\n.sp\n.br\n", ".sp\n").replace("\n.SH EXTRA\n", "\n.SH NOTES\n").replacen(
        "  \"mailguard",
        " \"\" \"mailguard",
        1,
    )
}

fn commands_page(names: &[String]) -> String {
    let mut roff = Roff::new();
    roff.control("TH", [COMMANDS, "5", "", &source(), MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!(
        "{COMMANDS} - commands of the configuration and the console of mailguard"
    ))]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "The configuration that mailguard run --config reads, and that write memory writes, is lines of these commands, as far as \
         they may be typed at (config)# or behind it; a line that is indented belongs to the one before it, and ! or : begins a comment. At \
         the console and over telnet all of them may be typed. Each generation of the device has its own, which is said behind the command.",
    )]);
    roff.control("PP", []);
    roff.text([roman(LEGEND)]);
    for section in sections() {
        roff.control("SH", [section.title.replace('`', "").to_uppercase().as_str()]);
        for (syntax, about) in section.rows {
            roff.control("TP", []);
            roff.text([bold(syntax)]);
            roff.text([roman(about)]);
        }
    }
    tidy(&roff.to_roff()) + &see_also("", names)
}

/// All the other pages.
fn see_also(name: &str, names: &[String]) -> String {
    let others = names.iter().filter(|of| *of != name).map(|of| format!("{of}(1)"));
    let last = (!name.is_empty()).then(|| format!("{COMMANDS}(5)"));
    let all: Vec<_> = others.chain(last).collect();
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(all.join(", "))]);
    roff.to_roff()
}
