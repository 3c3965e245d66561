//! From the syntax of commands to a parser of lines: one automaton for all commands of a mode.
//!
//! ```text
//! fixup protocol smtp [PORTS]           a word in capitals is one's own (value.rs), what is in brackets may be missing
//! match [not] cmd verb VERB...          one or more of it
//! {drop-connection | reset} [log]       one of them
//! ```
//!
//! A word may be cut short as long as it can be only one.

use super::value::{Kind, kind_named};
use super::word::Word;

/// What is expected at a place.
#[derive(Clone, Copy)]
enum Token {
    /// The word itself.
    Literal(&'static str),
    /// A word of one's own.
    Value(&'static Kind),
}

impl Token {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => one == other,
            (Self::Value(one), Self::Value(other)) => one.name == other.name,
            (Self::Literal(_), Self::Value(_)) | (Self::Value(_), Self::Literal(_)) => false,
        }
    }
}

/// How well a word fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It is the beginning of the word.
    Begins,
    /// It is a word of one's own.
    Own,
    /// It is the word.
    Exact,
}

#[derive(Default)]
struct State {
    edges: Vec<(Token, usize)>,
    /// What may follow without a word.
    free: Vec<usize>,
    /// A command may end here.
    ends: Option<usize>,
    /// The command that it is of.
    command: usize,
}

/// The automaton of the commands of a mode.
#[derive(Default)]
pub(super) struct Grammar {
    states: Vec<State>,
}

/// What was written for the words of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    values: Vec<(&'static str, String, usize)>,
}

impl Args {
    /// Whether the word, or a word of that kind, is there.
    pub fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(of, ..)| *of == name)
    }

    /// All words in order: what each is, and how it was written.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(name, text, _)| (*name, text.as_str()))
    }

    /// The first word of that kind.
    pub fn get(&self, kind: &str) -> Option<&str> {
        self.values.iter().find(|(of, ..)| *of == kind).map(|(_, text, _)| text.as_str())
    }

    /// All words of that kind.
    pub fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |(of, ..)| *of == kind).map(|(_, text, _)| text.as_str())
    }

    /// The column of the first word of that kind.
    pub fn column(&self, kind: &str) -> usize {
        self.values.iter().find(|(of, ..)| *of == kind).map_or(0, |(.., column)| *column)
    }
}

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing fits the word at that column.
    Invalid(usize),
    /// There is more to it, behind that column.
    Incomplete(usize),
    /// The word at that column may be several.
    Ambiguous(usize),
}

/// A command as far as it has been read.
#[derive(Clone)]
struct Thread {
    state: usize,
    args: Args,
    fits: Vec<Fit>,
}

impl Grammar {
    /// The grammar of `commands`: the number of each, and its syntax.
    ///
    /// # Panics
    ///
    /// A syntax is none; all of them are constants.
    pub(super) fn new(commands: &[(usize, String)]) -> Self {
        let mut grammar = Self { states: vec![State::default()] };
        for (number, syntax) in commands {
            let first = grammar.states.len();
            let tokens: Vec<_> = tokens(syntax);
            let mut rest = &tokens[..];
            let end = grammar.sequence(&mut rest, 0, syntax);
            assert!(rest.is_empty(), "unbalanced: {syntax}");
            let last = grammar.state();
            grammar.states[end].free.push(last);
            grammar.states[last].ends = Some(*number);
            grammar.states[first..].iter_mut().for_each(|state| state.command = *number);
        }
        grammar
    }

    fn state(&mut self) -> usize {
        self.states.push(State::default());
        self.states.len() - 1
    }

    /// Adds tokens up to a closing one behind the state; the state behind them.
    fn sequence(&mut self, tokens: &mut &[&'static str], from: usize, syntax: &str) -> usize {
        // Each begins at a state of its own, so that it may be repeated.
        let mut at = from;
        while let Some((first, rest)) = tokens.split_first() {
            if matches!(*first, "]" | "}" | "|") {
                break;
            }
            *tokens = rest;
            let begin = self.state();
            self.states[at].free.push(begin);
            let end = match *first {
                "[" => {
                    let end = self.alternatives(tokens, begin, "]", syntax);
                    self.states[begin].free.push(end);
                    end
                }
                "{" => self.alternatives(tokens, begin, "}", syntax),
                word => {
                    let end = self.state();
                    let token = if word.bytes().all(|octet| octet.is_ascii_uppercase()) {
                        let kind = kind_named(word);
                        Token::Value(kind.unwrap_or_else(|| panic!("no kind {word}: {syntax}")))
                    } else {
                        Token::Literal(word)
                    };
                    self.states[begin].edges.push((token, end));
                    if let Token::Value(Kind { is_rest: true, .. }) = token {
                        self.states[end].edges.push((token, end));
                    }
                    end
                }
            };
            if tokens.first() == Some(&"...") {
                *tokens = &tokens[1..];
                self.states[end].free.push(begin);
            }
            at = end;
        }
        at
    }

    fn alternatives(
        &mut self,
        tokens: &mut &[&'static str],
        begin: usize,
        close: &str,
        syntax: &str,
    ) -> usize {
        let end = self.state();
        loop {
            let last = self.sequence(tokens, begin, syntax);
            self.states[last].free.push(end);
            let (first, rest) =
                tokens.split_first().unwrap_or_else(|| panic!("unbalanced: {syntax}"));
            *tokens = rest;
            if *first == close {
                return end;
            }
            assert_eq!(*first, "|", "unbalanced: {syntax}");
        }
    }

    /// The states that can be reached without a word.
    fn reach(&self, from: usize) -> Vec<usize> {
        let mut reached = vec![from];
        let mut at = 0;
        while let Some(&state) = reached.get(at) {
            for &next in &self.states[state].free {
                if !reached.contains(&next) {
                    reached.push(next);
                }
            }
            at += 1;
        }
        reached
    }

    /// Reads words; the ways to read them.
    fn read(&self, line: &str, words: &[Word<'_>]) -> Result<Vec<Thread>, Wrong> {
        let mut threads = vec![Thread { state: 0, args: Args::default(), fits: Vec::new() }];
        for word in words {
            let mut next: Vec<(Thread, Token, Fit)> = Vec::new();
            for thread in &threads {
                for state in self.reach(thread.state) {
                    for (token, to) in &self.states[state].edges {
                        let Some(fit) = fit(token, word.text) else { continue };
                        let mut thread = thread.clone();
                        thread.state = *to;
                        thread.fits.push(fit);
                        match token {
                            Token::Literal(literal) => {
                                thread.args.values.push((literal, word.text.into(), word.column));
                            }
                            Token::Value(kind) if kind.is_rest => {
                                if !thread.args.has(kind.name) {
                                    let rest = line.get(word.column..).unwrap_or_default();
                                    let text = rest.trim_end().into();
                                    thread.args.values.push((kind.name, text, word.column));
                                }
                            }
                            Token::Value(kind) => {
                                thread.args.values.push((kind.name, word.text.into(), word.column));
                            }
                        }
                        next.push((thread, *token, fit));
                    }
                }
            }
            if next.is_empty() {
                return Err(Wrong::Invalid(word.column));
            }
            if next.iter().any(|(.., fit)| *fit == Fit::Exact) {
                next.retain(|(.., fit)| *fit == Fit::Exact);
            }
            let mut begun = next.iter().filter(|(.., fit)| *fit == Fit::Begins);
            if let Some((_, first, _)) = begun.next()
                && begun.any(|(_, token, _)| !token.is(first))
            {
                return Err(Wrong::Ambiguous(word.column));
            }
            threads = next.into_iter().map(|(thread, ..)| thread).collect();
        }
        Ok(threads)
    }

    /// The command that the words of `line` are.
    ///
    /// # Errors
    ///
    /// They are none, not a whole one, or may be several.
    pub(super) fn parse(&self, line: &str, words: &[Word<'_>]) -> Result<(usize, Args), Wrong> {
        let threads = self.read(line, words)?;
        let ended = threads.iter().filter_map(|thread| {
            let ends = self.reach(thread.state).into_iter().find_map(|at| self.states[at].ends)?;
            Some((thread, ends))
        });
        // Of several the one that fits best word for word; the first of those that fit alike.
        let best = ended.reduce(|best, next| if next.0.fits > best.0.fits { next } else { best });
        match best {
            Some((thread, number)) => Ok((number, thread.args.clone())),
            None => Err(Wrong::Incomplete(line.trim_end().len())),
        }
    }

    /// What may follow the words: each with the command that goes on so, and the words before it, whole.
    pub(super) fn next(&self, line: &str, words: &[Word<'_>]) -> Result<Vec<Lead>, Wrong> {
        let mut all: Vec<Lead> = Vec::new();
        for thread in self.read(line, words)? {
            let names: Vec<_> = thread.args.values.iter().map(|(name, ..)| *name).collect();
            let before = names.join(" ");
            for state in self.reach(thread.state) {
                let state = &self.states[state];
                let tokens = state.edges.iter().map(|(token, _)| match token {
                    Token::Literal(word) => Next::Word(word),
                    Token::Value(kind) => Next::Value(kind.name),
                });
                for next in tokens.chain(state.ends.map(|_| Next::End)) {
                    let lead = Lead { next, command: state.command, before: before.clone() };
                    if !all.contains(&lead) {
                        all.push(lead);
                    }
                }
            }
        }
        Ok(all)
    }
}

/// What may come next, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) next: Next,
    /// The number of the command.
    pub(super) command: usize,
    /// The words before it, as the syntax has them.
    pub(super) before: String,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// This word.
    Word(&'static str),
    /// A word of this kind.
    Value(&'static str),
    /// The end of the line.
    End,
}

impl Next {
    /// The words that it can be, if they can be counted.
    pub(super) fn words(self) -> Vec<&'static str> {
        match self {
            Self::Word(word) => vec![word],
            Self::Value(kind) => kind_named(kind).map_or_else(Vec::new, |kind| (kind.words)()),
            Self::End => Vec::new(),
        }
    }
}

fn fit(token: &Token, word: &str) -> Option<Fit> {
    match token {
        Token::Literal(literal) if literal.eq_ignore_ascii_case(word) => Some(Fit::Exact),
        Token::Literal(literal) => {
            let start = literal.get(..word.len()).filter(|_| !word.is_empty())?;
            start.eq_ignore_ascii_case(word).then_some(Fit::Begins)
        }
        Token::Value(kind) => (kind.accepts)(word).then_some(Fit::Own),
    }
}

/// The tokens of a syntax. They live as long as the program: so do the commands.
fn tokens(syntax: &str) -> Vec<&'static str> {
    let spaced = syntax
        .replace("...", " ... ")
        .replace('[', " [ ")
        .replace(']', " ] ")
        .replace('{', " { ")
        .replace('}', " } ")
        .replace('|', " | ");
    String::leak(spaced).split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::super::word::words;
    use super::*;

    fn grammar(syntaxes: &[&str]) -> Grammar {
        let commands: Vec<_> =
            syntaxes.iter().enumerate().map(|(n, syntax)| (n, (*syntax).to_owned())).collect();
        Grammar::new(&commands)
    }

    fn parse(grammar: &Grammar, line: &str) -> Result<usize, Wrong> {
        grammar.parse(line, &words(line)).map(|(number, _)| number)
    }

    #[test]
    fn words_may_be_cut_short_as_long_as_they_can_be_only_one() {
        let grammar = grammar(&[
            "configure terminal",
            "copy running-config startup-config",
            "show conn",
            "show counters",
        ]);
        assert_eq!(parse(&grammar, "conf t"), Ok(0));
        assert_eq!(parse(&grammar, "CONF TERM"), Ok(0));
        assert_eq!(parse(&grammar, "co"), Err(Wrong::Ambiguous(0)));
        assert_eq!(parse(&grammar, "con"), Err(Wrong::Incomplete(3)));
        assert_eq!(parse(&grammar, "cop run start"), Ok(1));
        assert_eq!(parse(&grammar, "sh co"), Err(Wrong::Ambiguous(3)));
        assert_eq!(parse(&grammar, "sh conn"), Ok(2));
        assert_eq!(parse(&grammar, "conf  terminals"), Err(Wrong::Invalid(6)));
        assert_eq!(parse(&grammar, "conf t x"), Err(Wrong::Invalid(7)));
        assert_eq!(parse(&grammar, ""), Err(Wrong::Incomplete(0)));
    }

    #[test]
    fn brackets_braces_and_dots() {
        let grammar = grammar(&[
            "fixup protocol smtp [PORTS]",
            "match [not] cmd verb VERB...",
            "{drop-connection | reset | mask} [log]",
            "timeout {conn TIME | half-closed TIME}...",
            "description TEXT",
        ]);
        assert_eq!(parse(&grammar, "fixup protocol smtp"), Ok(0));
        assert_eq!(parse(&grammar, "fixup protocol smtp 25-30"), Ok(0));
        assert_eq!(parse(&grammar, "fixup protocol smtp 0"), Err(Wrong::Invalid(20)));
        let line = "match not cmd verb helo NOOP";
        let (number, args) = grammar.parse(line, &words(line)).unwrap();
        assert_eq!((number, args.has("not")), (1, true));
        assert_eq!(args.all("VERB").collect::<Vec<_>>(), ["helo", "NOOP"]);
        assert_eq!(args.column("VERB"), 19);
        assert_eq!(parse(&grammar, "match cmd verb"), Err(Wrong::Incomplete(14)));
        assert_eq!(parse(&grammar, "reset log"), Ok(2));
        assert_eq!(parse(&grammar, "log"), Err(Wrong::Invalid(0)));
        assert_eq!(parse(&grammar, "timeout half 0:10:00 conn 1:00:00"), Ok(3));
        let line = "description  all  of it ";
        let (_, args) = grammar.parse(line, &words(line)).unwrap();
        assert_eq!(args.get("TEXT"), Some("all  of it"));
    }

    #[test]
    fn a_word_that_is_there_goes_before_one_of_one_s_own() {
        let grammar = grammar(&["policy-map NAME", "policy-map type inspect esmtp NAME"]);
        assert_eq!(parse(&grammar, "policy-map ty"), Ok(0));
        assert_eq!(parse(&grammar, "policy-map type"), Err(Wrong::Incomplete(15)));
        assert_eq!(parse(&grammar, "policy-map t i e x"), Ok(1));
        assert_eq!(parse(&grammar, "policy-map global_policy"), Ok(0));
    }

    #[test]
    fn what_may_come_next() {
        let grammar = grammar(&["show conn [detail]", "show mode", "no mailhost ADDRESS"]);
        let leads = |line: &str| grammar.next(line, &words(line)).unwrap();
        let next = |line: &str| leads(line).into_iter().map(|lead| lead.next).collect::<Vec<_>>();
        let show = Next::Word("show");
        assert_eq!(next(""), [show, show, Next::Word("no")], "two commands begin so");
        let of: Vec<_> = leads("sh").into_iter().map(|lead| (lead.command, lead.before)).collect();
        assert_eq!(of, [(0, "show".into()), (1, "show".into())]);
        assert_eq!(next("sh"), [Next::Word("conn"), Next::Word("mode")]);
        assert_eq!(next("sh conn"), [Next::Word("detail"), Next::End]);
        assert_eq!(next("no m"), [Next::Value("ADDRESS")]);
    }
}
