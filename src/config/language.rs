//! Lines in a mode: which command they are, what may follow, what they may become.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::command::{Command, Editor, Mode, No, PLACES, Place, Refused, Run};
use super::commands::{beginning, commands};
use super::grammar::{Args, Grammar, Lead, Next, Wrong};
use super::settings::Family;
use super::value::kind_named;
use super::word::{Word, words};
use crate::limits::CONFIG_LINE_MAX;

const FAMILIES: [Family; 5] =
    [Family::Mailhost, Family::Fixup, Family::Inspect, Family::Maps, Family::Own];

/// The commands of a place, in the language of a family.
struct Local {
    grammar: Grammar,
    /// By the number in the grammar: the command, and whether it is its `no` form.
    commands: Vec<(&'static Command, bool)>,
}

static LOCALS: LazyLock<HashMap<(Place, Family), Local>> = LazyLock::new(|| {
    let all = PLACES.iter().flat_map(|place| FAMILIES.iter().map(move |family| (*place, *family)));
    all.map(|(place, family)| ((place, family), local(place, family))).collect()
});

fn local(place: Place, family: Family) -> Local {
    let mut forms = Vec::new();
    for command in commands().filter(|of| of.place == place && of.has.has(family)) {
        forms.push((command, false, command.syntax.to_owned()));
        match command.no {
            No::Same => forms.push((command, true, format!("no {}", command.syntax))),
            No::Words(words) => forms.push((command, true, format!("no {words}"))),
            No::Never(_) => {}
        }
    }
    let numbered: Vec<_> =
        forms.iter().enumerate().map(|(number, (.., syntax))| (number, syntax.clone())).collect();
    let commands = forms.into_iter().map(|(command, is_no, _)| (command, is_no)).collect();
    Local { grammar: Grammar::new(&numbered), commands }
}

fn locals(mode: &Mode, family: Family) -> impl Iterator<Item = &'static Local> {
    mode.places().iter().filter_map(move |place| LOCALS.get(&(*place, family)))
}

/// A line that is a command.
#[derive(Debug)]
pub struct Line {
    /// The command.
    pub command: &'static Command,
    /// It is its `no` form.
    pub is_no: bool,
    /// What was written.
    pub args: Args,
}

/// Why a line was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is no command.
    Wrong(Wrong),
    /// It is one, and cannot be done.
    Refused(Refused),
    /// It is longer than a line may be.
    TooLong,
}

impl Fault {
    /// The column of what is to blame.
    pub fn column(&self) -> usize {
        match self {
            Self::Wrong(
                Wrong::Invalid(column) | Wrong::Incomplete(column) | Wrong::Ambiguous(column),
            ) => *column,
            Self::Refused(refused) => refused.column,
            Self::TooLong => CONFIG_LINE_MAX,
        }
    }

    /// What is wrong, as the device says it.
    pub fn text(&self, line: &str) -> String {
        match self {
            Self::Wrong(Wrong::Invalid(_)) => {
                "ERROR: % Invalid input detected at '^' marker.".into()
            }
            Self::Wrong(Wrong::Incomplete(_)) => "ERROR: % Incomplete command".into(),
            Self::Wrong(Wrong::Ambiguous(_)) => {
                format!("ERROR: % Ambiguous command:  \"{}\"", line.trim())
            }
            Self::Refused(refused) => format!("ERROR: {}", refused.why),
            Self::TooLong => format!("ERROR: a line has at most {CONFIG_LINE_MAX} octets"),
        }
    }
}

/// The command that a line is.
///
/// # Errors
///
/// It is none in that mode of that family.
pub fn read(line: &str, mode: &Mode, family: Family) -> Result<Line, Fault> {
    if line.len() > CONFIG_LINE_MAX {
        return Err(Fault::TooLong);
    }
    let words = words(line);
    let mut worst = Wrong::Invalid(words.first().map_or(0, |word| word.column));
    for local in locals(mode, family) {
        match local.grammar.parse(line, &words) {
            Ok((number, args)) => {
                if let Some((command, is_no)) = local.commands.get(number) {
                    return Ok(Line { command, is_no: *is_no, args });
                }
            }
            Err(wrong @ Wrong::Ambiguous(_)) => return Err(Fault::Wrong(wrong)),
            Err(wrong) => {
                let reach = |wrong: &Wrong| match wrong {
                    Wrong::Invalid(column) | Wrong::Ambiguous(column) => *column,
                    Wrong::Incomplete(column) => column + 1,
                };
                if reach(&wrong) > reach(&worst) {
                    worst = wrong;
                }
            }
        }
    }
    Err(Fault::Wrong(worst))
}

/// Edits a configuration with a line that is a command.
///
/// # Errors
///
/// It cannot be done; nothing has changed then.
pub fn edit(line: &Line, editor: &mut Editor<'_>) -> Result<(), Refused> {
    let Run::Edit(edit) = line.command.run else { return Ok(()) };
    let before = editor.mode.clone();
    if line.command.place == Place::Config {
        *editor.mode = Mode::Config;
    }
    let done = edit(editor, &line.args, line.is_no);
    if done.is_err() {
        *editor.mode = before;
    }
    done
}

/// What may follow what was typed, each with what it is. Without a blank behind the last word, what that may become.
pub fn help(line: &str, mode: &Mode, family: Family) -> Vec<(String, String)> {
    let (before, partial) = split(line);
    let found = expected(&before, partial, mode, family);
    let mut all: Vec<(String, String)> = Vec::new();
    for Expected { next, .. } in &found {
        let row = match next {
            Next::Word(word) => (*word).to_owned(),
            Next::Value(kind) => (*kind).to_owned(),
            Next::End => "<cr>".to_owned(),
        };
        if !all.iter().any(|(of, _)| *of == row) {
            all.push((row, about(*next, &found).to_owned()));
        }
    }
    all
}

/// What the last word may become.
pub fn complete(line: &str, mode: &Mode, family: Family) -> Vec<String> {
    let (before, partial) = split(line);
    let mut all: Vec<String> = Vec::new();
    for Expected { next, .. } in expected(&before, partial, mode, family) {
        for word in next.words() {
            let begins = word.get(..partial.len()).is_some_and(|s| s.eq_ignore_ascii_case(partial));
            if begins && !all.iter().any(|of| of == word) {
                all.push(word.to_owned());
            }
        }
    }
    all
}

/// The whole words of a line, and the one that is being typed.
fn split(line: &str) -> (String, &str) {
    let start = line.rfind(char::is_whitespace).map_or(0, |at| {
        at + line.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    let (before, partial) = line.split_at(start);
    (before.to_owned(), partial)
}

/// Something that may come next in one of the commands.
struct Expected {
    next: Next,
    /// The words before it, whole.
    before: String,
    command: &'static Command,
    is_no: bool,
}

/// What may come behind `before` and begin with `partial`.
fn expected(before: &str, partial: &str, mode: &Mode, family: Family) -> Vec<Expected> {
    let words: Vec<Word<'_>> = words(before);
    let mut found = Vec::new();
    for local in locals(mode, family) {
        let Ok(leads) = local.grammar.next(before, &words) else { continue };
        for Lead { next, command, before } in leads {
            let fits = match next {
                Next::Word(word) => {
                    word.get(..partial.len()).is_some_and(|s| s.eq_ignore_ascii_case(partial))
                }
                Next::Value(_) => true,
                Next::End => partial.is_empty(),
            };
            if let Some((command, is_no)) = local.commands.get(command).filter(|_| fits) {
                found.push(Expected { next, before, command, is_no: *is_no });
            }
        }
    }
    found
}

/// What is said of what may come next: what the only command does that goes on so, or what those have in common.
fn about(next: Next, found: &[Expected]) -> &'static str {
    let mut leading = found.iter().filter(|of| of.next == next);
    let Some(first) = leading.next() else { return "" };
    match next {
        Next::Value(kind) => kind_named(kind).map_or("", |kind| kind.about),
        Next::Word("no") if first.is_no => beginning("no"),
        Next::Word(word) if leading.any(|of| of.command.about != first.command.about) => {
            let before = first.before.strip_prefix("no").filter(|_| first.is_no);
            let before = before.unwrap_or(&first.before).trim_start();
            beginning(format!("{before} {word}").trim_start())
        }
        Next::Word(_) | Next::End => first.command.about,
    }
}

/// Whether a line is a command of another family: its words are right, its version is wrong.
pub fn is_of_another_version(line: &str, mode: &Mode, family: Family) -> bool {
    FAMILIES.iter().any(|other| *other != family && read(line, mode, *other).is_ok())
}
