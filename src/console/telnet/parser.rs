//! The telnet protocol below the characters: RFC 854 (commands), 855 (options), 857 (ECHO), 858 (SGA).

/// End of subnegotiation parameters.
const SE: u8 = 240;
const BREAK: u8 = 243;
const INTERRUPT: u8 = 244;
const ARE_YOU_THERE: u8 = 246;
const ERASE_CHARACTER: u8 = 247;
const ERASE_LINE: u8 = 248;
/// Subnegotiation begins.
const SB: u8 = 250;
pub(super) const WILL: u8 = 251;
pub(super) const WONT: u8 = 252;
pub(super) const DO: u8 = 253;
pub(super) const DONT: u8 = 254;
pub(super) const IAC: u8 = 255;
/// End of file (RFC 1184).
const EOF: u8 = 236;

pub(super) const ECHO: u8 = 1;
/// SUPPRESS-GO-AHEAD.
pub(super) const SGA: u8 = 3;

/// What the operator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// An octet of a line, or a control character.
    Octet(u8),
    /// The end of a line: CR LF, CR NUL, a CR alone or an LF alone.
    End,
    /// The process is to be interrupted.
    Interrupt,
    /// The last character is to go.
    EraseCharacter,
    /// The line is to go.
    EraseLine,
    /// There is no more to come.
    Eof,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    /// Behind a CR: an LF or NUL belongs to it.
    Return,
    Command,
    /// Behind WILL, WONT, DO or DONT.
    Option(u8),
    Subnegotiation,
    SubnegotiationCommand,
}

/// Requests of one client that are answered: a real one makes a few dozen, and two ends that answer each
/// other's changes could otherwise go on for ever.
const ANSWERS_MAX: u16 = 200;

/// How far an option that the server offers is on (the end that offers, in the words of RFC 1143).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Offer {
    #[default]
    No,
    /// WILL was said, and not answered yet.
    Offered,
    Yes,
}

impl Offer {
    /// The client says DO or DONT; what is to be answered.
    fn hear(&mut self, wants: bool) -> Option<u8> {
        let was = *self;
        *self = if wants { Self::Yes } else { Self::No };
        match (was, wants) {
            (Self::No, true) => Some(WILL),
            (Self::Yes, false) => Some(WONT),
            (Self::No, false) | (Self::Offered, _) | (Self::Yes, true) => None,
        }
    }
}

/// Octets in, keys out. It keeps nothing of what it reads.
#[derive(Debug, Default)]
pub(super) struct Parser {
    state: State,
    echo: Offer,
    suppress: Offer,
    /// The client suppresses its go-ahead, too.
    suppressed: bool,
    answered: u16,
}

impl Parser {
    /// Offers to echo, and to leave out the go-ahead: a client that agrees to both sends each key as it
    /// is pressed, and shows none by itself.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[IAC, WILL, ECHO, IAC, WILL, SGA]);
        (self.echo, self.suppress) = (Offer::Offered, Offer::Offered);
    }

    /// Whether what is typed is shown only if the server shows it.
    pub(super) fn echoes(&self) -> bool {
        self.echo == Offer::Yes
    }

    /// The next octet. What it calls for goes to `out`: at most seven octets.
    pub(super) fn take(&mut self, octet: u8, out: &mut Vec<u8>) -> Option<Key> {
        let after_return = self.state == State::Return;
        match self.state {
            State::Data | State::Return => {
                self.state = State::Data;
                match octet {
                    IAC => self.state = State::Command,
                    b'\r' => {
                        self.state = State::Return;
                        return Some(Key::End);
                    }
                    b'\n' | 0 if after_return => {}
                    b'\n' => return Some(Key::End),
                    0 => {}
                    _ => return Some(Key::Octet(octet)),
                }
                None
            }
            State::Command => self.command(octet, out),
            State::Option(verb) => {
                self.state = State::Data;
                self.negotiate(verb, octet, out);
                None
            }
            State::Subnegotiation => {
                if octet == IAC {
                    self.state = State::SubnegotiationCommand;
                }
                None
            }
            State::SubnegotiationCommand => {
                self.state = if octet == SE { State::Data } else { State::Subnegotiation };
                None
            }
        }
    }

    fn command(&mut self, octet: u8, out: &mut Vec<u8>) -> Option<Key> {
        self.state = State::Data;
        match octet {
            IAC => return Some(Key::Octet(IAC)),
            WILL..=DONT => self.state = State::Option(octet),
            SB => self.state = State::Subnegotiation,
            BREAK | INTERRUPT => return Some(Key::Interrupt),
            ERASE_CHARACTER => return Some(Key::EraseCharacter),
            ERASE_LINE => return Some(Key::EraseLine),
            EOF => return Some(Key::Eof),
            ARE_YOU_THERE => out.extend_from_slice(b"[Yes]\r\n"),
            // No operation, data mark, abort output, go ahead, and what nobody has defined.
            _ => {}
        }
        None
    }

    fn negotiate(&mut self, verb: u8, option: u8, out: &mut Vec<u8>) {
        let answer = match (verb, option) {
            (DO | DONT, ECHO) => self.echo.hear(verb == DO),
            (DO | DONT, SGA) => self.suppress.hear(verb == DO),
            (WILL | WONT, SGA) => {
                let was = std::mem::replace(&mut self.suppressed, verb == WILL);
                let answer = if verb == WILL { DO } else { DONT };
                (was != self.suppressed).then_some(answer)
            }
            // A request that is not agreed to is refused, but news of what is off already is not answered, or two
            // who do so never end.
            (DO, _) => Some(WONT),
            (WILL, _) => Some(DONT),
            _ => None,
        };
        if let Some(answer) = answer
            && self.answered < ANSWERS_MAX
        {
            self.answered += 1;
            out.extend_from_slice(&[IAC, answer, option]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [u8; 0] = [];

    fn fed(parser: &mut Parser, octets: &[u8]) -> (Vec<Key>, Vec<u8>) {
        let mut out = Vec::new();
        let keys = octets.iter().filter_map(|octet| parser.take(*octet, &mut out)).collect();
        (keys, out)
    }

    fn typed(text: &str) -> Vec<Key> {
        text.bytes().map(Key::Octet).collect()
    }

    #[test]
    fn every_end_of_a_line_is_one() {
        for end in [&b"\r\n"[..], b"\r\0", b"\r", b"\n"] {
            let mut parser = Parser::default();
            let line = [b"ab", end, b"c"].concat();
            let expected = [typed("ab"), vec![Key::End], typed("c")].concat();
            assert_eq!(fed(&mut parser, &line), (expected, vec![]), "{end:?}");
        }
        let two = vec![Key::End, Key::End];
        for ends in [&b"\r\n\r\n"[..], b"\r\r\n", b"\n\n", b"\r\0\n"] {
            assert_eq!(fed(&mut Parser::default(), ends).0, two, "{ends:?}");
        }
    }

    #[test]
    fn escapes_are_told_from_text() {
        let mut parser = Parser::default();
        let (keys, out) = fed(&mut parser, &[b'a', IAC, IAC, b'b', IAC, 241, b'c', 0]);
        assert_eq!(
            (keys, out),
            ([typed("a"), vec![Key::Octet(255)], typed("bc")].concat(), vec![])
        );
        let (keys, out) = fed(&mut parser, &[IAC, 244, IAC, 243, IAC, 247, IAC, 248, IAC, 236]);
        let all = [Key::Interrupt, Key::Interrupt, Key::EraseCharacter, Key::EraseLine, Key::Eof];
        assert_eq!((keys, out), (all.to_vec(), vec![]));
        assert_eq!(fed(&mut parser, &[IAC, 246]), (vec![], b"[Yes]\r\n".to_vec()));
        // A window size with an escaped 255 in it, and one that looks like the end.
        let sized = [IAC, SB, 31, 0, IAC, IAC, SE, IAC, 249, 24, IAC, SE, b'x'];
        assert_eq!(fed(&mut parser, &sized), (typed("x"), vec![]));
    }

    #[test]
    fn echo_and_go_ahead_are_agreed_once() {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        parser.begin(&mut out);
        assert_eq!(out, [IAC, WILL, ECHO, IAC, WILL, SGA]);
        assert!(!parser.echoes(), "the client has not agreed yet");
        let agreed = [IAC, DO, ECHO, IAC, DO, SGA];
        assert_eq!(fed(&mut parser, &agreed).1, NOTHING);
        assert!(parser.echoes());
        assert_eq!(fed(&mut parser, &agreed).1, NOTHING, "no news is not answered");
        assert_eq!(fed(&mut parser, &[IAC, DONT, ECHO]).1, [IAC, WONT, ECHO]);
        assert!(!parser.echoes());
        assert_eq!(fed(&mut parser, &[IAC, DONT, ECHO]).1, NOTHING);
        assert_eq!(fed(&mut parser, &[IAC, DO, ECHO]).1, [IAC, WILL, ECHO]);
        assert!(parser.echoes());
        let suppress = [IAC, WILL, SGA, IAC, WILL, SGA, IAC, WONT, SGA, IAC, WONT, SGA];
        assert_eq!(fed(&mut parser, &suppress).1, [IAC, DO, SGA, IAC, DONT, SGA]);
    }

    #[test]
    fn an_offer_that_is_refused_is_not_made_again() {
        let mut parser = Parser::default();
        parser.begin(&mut Vec::new());
        assert_eq!(fed(&mut parser, &[IAC, DONT, ECHO, IAC, DONT, SGA]).1, NOTHING);
        assert!(!parser.echoes());
    }

    #[test]
    fn every_other_option_is_refused() {
        for option in (0..=255).filter(|option| ![ECHO, SGA].contains(option)) {
            let mut parser = Parser::default();
            assert_eq!(fed(&mut parser, &[IAC, DO, option]).1, [IAC, WONT, option]);
            assert_eq!(fed(&mut parser, &[IAC, WILL, option]).1, [IAC, DONT, option]);
            assert_eq!(fed(&mut parser, &[IAC, DONT, option, IAC, WONT, option]).1, NOTHING);
        }
        assert_eq!(fed(&mut Parser::default(), &[IAC, WILL, ECHO]).1, [IAC, DONT, ECHO]);
    }

    /// What an adversary would send: commands and options more often than chance has them.
    fn octet(random: &mut fastrand::Rng) -> u8 {
        let odd = [IAC, IAC, IAC, SB, SE, WILL, WONT, DO, DONT, ECHO, SGA, 246, b'\r', b'\n', 0];
        if random.bool() { odd[random.usize(..odd.len())] } else { random.u8(..) }
    }

    #[test]
    fn whatever_comes_it_goes_on_and_answers_little() {
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut parser = Parser::default();
            let mut out = Vec::new();
            for _ in 0..random.usize(..400) {
                let had = out.len();
                parser.take(octet(&mut random), &mut out);
                assert!(out.len() - had <= 7, "seed {seed}");
            }
            // Out of whatever it was in, a line gets through.
            let (keys, _) = fed(&mut parser, &[IAC, SE, b'\n', IAC, SE, b'\n', b'o', b'k', b'\r']);
            let expected = [typed("ok"), vec![Key::End]].concat();
            assert!(keys.ends_with(&expected), "seed {seed}: {keys:?}");
        }
    }

    #[test]
    fn two_that_answer_each_other_come_to_an_end() {
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut one, mut other) = (Parser::default(), Parser::default());
            let mut said: Vec<u8> =
                (0..60).flat_map(|_| [IAC, random.u8(WILL..=DONT), random.u8(..6)]).collect();
            let mut rounds = 0;
            while !said.is_empty() {
                said = fed(&mut one, &said).1;
                std::mem::swap(&mut one, &mut other);
                rounds += 1;
                assert!(rounds < 2 * ANSWERS_MAX, "seed {seed}: {said:?}");
            }
        }
    }
}
