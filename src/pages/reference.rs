//! The reference of the commands of the configuration and the console, from their table.

use std::fmt::Write as _;

use crate::config::{Command, Family, KINDS, No, Place, commands};

/// How the syntax of a command is to be read.
pub(super) const LEGEND: &str = "Words in capitals stand for one's own, what is in brackets may be missing, of what is in braces \
                                 one is meant, dots repeat. A word may be cut short as long as it can be only one.";

/// Commands of one place, or the words of one's own.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// The syntax, and what is to be said of it.
    pub(super) rows: Vec<(&'static str, String)>,
}

/// All of it, in the order of the table.
pub(super) fn sections() -> Vec<Section> {
    let mut all = Vec::<Section>::new();
    let mut place = None;
    for command in commands() {
        let row = (command.syntax, format!("{}.{}{}", command.about, no(command), has(command)));
        match all.last_mut().filter(|_| place == Some(command.place)) {
            Some(section) => section.rows.push(row),
            None => all.push(Section { title: title(command.place), rows: vec![row] }),
        }
        place = Some(command.place);
    }
    let kinds = KINDS.iter().map(|kind| {
        let words = (kind.words)().join(", ");
        let gap = if words.is_empty() { "" } else { ": " };
        (kind.name, format!("{}{gap}{words}", kind.about))
    });
    all.push(Section { title: "Words of one's own", rows: kinds.collect() });
    all
}

/// Prints the reference of all commands, in Markdown.
///
/// # Errors
///
/// One line: standard output cannot be written.
pub fn reference() -> Result<(), String> {
    super::print(markdown().as_bytes())
}

fn markdown() -> String {
    let mut text = format!("# Commands\n\n{LEGEND}\n");
    for section in sections() {
        let _ = write!(text, "\n## {}\n\n", section.title);
        for (syntax, about) in section.rows {
            let _ = writeln!(text, "- `{syntax}`: {about}");
        }
    }
    text
}

fn title(place: Place) -> &'static str {
    match place {
        Place::User => "At `>`",
        Place::Privileged => "At `#`, and everywhere behind it",
        Place::Config => "At `(config)#`, and everywhere behind it",
        Place::Interface => "Behind `interface`",
        Place::ClassMap => "Behind `class-map`",
        Place::RegexClass => "Behind `class-map type regex`",
        Place::EsmtpMap => "Behind `policy-map type inspect esmtp`",
        Place::EsmtpMatch => "Behind its `match`",
        Place::EsmtpParameters => "Behind its `parameters`",
        Place::PolicyMap => "Behind `policy-map`",
        Place::PolicyClass => "Behind its `class`",
        Place::TcpMap => "Behind `tcp-map`",
    }
}

fn no(command: &Command) -> String {
    match command.no {
        No::Same => " With `no`: takes it back.".into(),
        No::Words(words) => format!(" `no {words}` takes it back."),
        No::Never(_) => String::new(),
    }
}

fn has(command: &Command) -> String {
    let names = [
        (Family::Mailhost, "pix40 pix41"),
        (Family::Fixup, "pix42 to pix6x"),
        (Family::Inspect, "asa70"),
        (Family::Maps, "asa72 asa94"),
    ];
    let those: Vec<_> = names
        .iter()
        .filter(|(family, _)| command.has.has(*family))
        .map(|(_, name)| *name)
        .collect();
    if those.len() == names.len() {
        String::new()
    } else {
        format!(" ({}, and what is no Cisco)", those.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_every_command() {
        let text = markdown();
        for command in commands() {
            assert!(
                text.contains(command.syntax) && text.contains(command.about),
                "{}",
                command.syntax
            );
        }
    }
}
