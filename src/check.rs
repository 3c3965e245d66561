//! `mailguard check`: what a configuration would do, without privileges and without doing it; and `mailguard reference`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Command, Family, KINDS, No, Place, What, commands, load};
use crate::keeper::read;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file; - is standard input.
    file: PathBuf,

    /// Prints the configuration that comes of it.
    #[arg(long)]
    print: bool,
}

/// Checks a configuration: 0 when it is good, lines that mailguard does nothing of included; 1 when a line is wrong; 2 when
/// it cannot be read.
pub fn run(args: &Args) -> ExitCode {
    let (name, text) = if args.file.as_os_str() == "-" {
        (
            "standard input".to_owned(),
            io::read_to_string(io::stdin()).map_err(|why| why.to_string()),
        )
    } else {
        let missing = || format!("cannot read {}: there is no such file", args.file.display());
        (
            args.file.display().to_string(),
            read(&args.file).and_then(|text| text.ok_or_else(missing)),
        )
    };
    let text = match text {
        Ok(text) => text,
        Err(why) => {
            let _ = writeln!(io::stderr(), "mailguard: {why}");
            return ExitCode::from(2);
        }
    };
    let loaded = load(&text, |_| "$".into());
    let mut shown: String = loaded.remarks.iter().map(|remark| remark.show(&name)).collect();
    let count =
        |is: fn(&What) -> bool| loaded.remarks.iter().filter(|remark| is(&remark.what)).count();
    let errors = count(|what| matches!(what, What::Error(_)));
    let unsupported = count(|what| matches!(what, What::Unsupported(_)));
    let _ = writeln!(shown, "{name}: {errors} wrong, {unsupported} unsupported");
    let _ = io::stderr().write_all(shown.as_bytes());
    if args.print {
        let _ = io::stdout().write_all(loaded.config.text(false).as_bytes());
    }
    if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints the reference of all commands, in Markdown.
///
/// # Errors
///
/// One line: standard output cannot be written.
pub fn reference() -> Result<(), String> {
    match io::stdout().write_all(reference_text().as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        Err(_) | Ok(()) => Ok(()),
    }
}

fn reference_text() -> String {
    let mut text = String::from(
        "# Commands\n\nWords in capitals stand for one's own, what is in brackets may be missing, of what is in braces one is meant, \
         dots repeat. A word may be cut short as long as it can be only one.\n",
    );
    let mut place = None;
    for command in commands() {
        if place != Some(command.place) {
            place = Some(command.place);
            let _ = write!(text, "\n## {}\n\n", title(command.place));
        }
        let _ = writeln!(
            text,
            "- `{}`: {}.{}{}",
            command.syntax,
            command.about,
            no(command),
            has(command)
        );
    }
    text += "\n## Words of one's own\n\n";
    for kind in KINDS {
        let words = (kind.words)().join(", ");
        let gap = if words.is_empty() { "" } else { ": " };
        let _ = writeln!(text, "- `{}`: {}{gap}{words}", kind.name, kind.about);
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
        let text = reference_text();
        for command in commands() {
            assert!(
                text.contains(command.syntax) && text.contains(command.about),
                "{}",
                command.syntax
            );
        }
    }
}
