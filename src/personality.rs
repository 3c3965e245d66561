//! `mailguard personality`: which devices can be shown, and how sure what is known of each is.

use std::io::{self, Write};

use clap::builder::PossibleValue;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::config::Config;
use crate::policy::{KNOBS, Personality, Source};

/// What to print.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The personality whose knobs are printed; without it, all personalities are listed.
    #[arg(value_name = "NAME", value_parser = personalities())]
    name: Option<&'static Personality>,
}

/// Names of personalities, for command lines.
pub fn personalities() -> impl TypedValueParser<Value = &'static Personality> {
    let all = Personality::ALL.iter();
    PossibleValuesParser::new(all.map(|p| PossibleValue::new(p.name).help(p.about)))
        .try_map(|name| Personality::named(&name).ok_or("no such personality"))
}

/// Prints them.
///
/// # Errors
///
/// One line: standard output cannot be written.
pub fn run(args: &Args) -> Result<(), String> {
    let text = match args.name {
        Some(personality) => knobs(personality),
        None => list(),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has gone away needs no more.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        Err(_) | Ok(()) => Ok(()),
    }
}

fn list() -> String {
    let line =
        |personality: &&Personality| format!("{:12}{}\n", personality.name, personality.about);
    Personality::ALL.iter().map(line).collect()
}

/// Every knob of the personality in force.
pub fn text_of(config: &Config) -> String {
    let policy = config.policy();
    let named = Personality::named(config.personality);
    let inspection = policy.inspections.first().map(|inspection| &*inspection.personality);
    inspection.or(named).map_or_else(String::new, knobs)
}

/// Every knob with its value, how sure that is, and why.
fn knobs(personality: &Personality) -> String {
    let mut text = format!("{}: {}\n\n", personality.name, personality.about);
    let evidence = Personality::evidence(personality.name);
    let mut row = |name: &str, value: &str| {
        text += &format!("{name} {value}\n");
        let mut found = evidence.iter().filter(|(of, ..)| *of == name).peekable();
        if found.peek().is_none() {
            text += &format!("    {}\n", Source::OurChoice.label());
        }
        for (_, source, why) in found {
            text += &format!("    {}: {why}\n", source.label());
        }
    };
    for knob in KNOBS {
        row(knob.name, &knob.value(personality));
    }
    for (verb, answer) in personality.answers {
        row("answers", &format!("{} {:?}", verb.name(), answer));
    }
    if !personality.map.is_empty() {
        text += "\nclasses of the map, and their actions:\n\n";
    }
    for (at, class) in personality.map.iter().enumerate() {
        text += &format!("{} match {}\n    {}\n", at + 1, class.text(), class.action_text());
    }
    text += "\nknobs, to be set with mailguard run --set KNOB=VALUE:\n\n";
    for knob in KNOBS {
        text += &format!("{} {}\n    {}\n", knob.name, knob.values, knob.about);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_personality_is_listed_and_every_knob_printed_with_its_source() {
        let list = list();
        for personality in Personality::ALL {
            assert!(list.contains(personality.name) && !personality.about.is_empty());
            let text = knobs(personality);
            for knob in KNOBS {
                assert!(text.contains(&format!("\n{} {}\n", knob.name, knob.value(personality))));
            }
        }
        let asa = knobs(&Personality::ASA72);
        assert!(asa.contains("refusal x-line\n    documented: ASA guides"), "{asa}");
        assert!(
            knobs(&Personality::CHECKPOINT).contains("answers NOOP \"220 OK\"\n    field-reported")
        );
        assert!(knobs(&Personality::MODERN).contains("early-talk reset\n    our choice\n"));
    }
}
