//! The verbs of commands that are known by name, and sets of them.

macro_rules! verbs {
    ($($(#[doc = $text:literal])+ $verb:ident = $name:literal,)+) => {
        /// A verb that is known by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Verb { $($(#[doc = $text])+ $verb,)+ }

        impl Verb {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$verb,)+];

            /// The name, in upper case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$verb => $name,)+ }
            }
        }
    };
}

verbs! {
    /// RFC 5321.
    Helo = "HELO",
    /// RFC 5321.
    Ehlo = "EHLO",
    /// RFC 5321.
    Mail = "MAIL",
    /// RFC 5321.
    Rcpt = "RCPT",
    /// RFC 5321.
    Data = "DATA",
    /// RFC 5321.
    Rset = "RSET",
    /// RFC 5321.
    Noop = "NOOP",
    /// RFC 5321.
    Quit = "QUIT",
    /// RFC 5321.
    Vrfy = "VRFY",
    /// RFC 5321.
    Expn = "EXPN",
    /// RFC 5321.
    Help = "HELP",
    /// RFC 4954.
    Auth = "AUTH",
    /// RFC 3207.
    StartTls = "STARTTLS",
    /// RFC 3030.
    Bdat = "BDAT",
    /// RFC 1985.
    Etrn = "ETRN",
    /// RFC 2645.
    Atrn = "ATRN",
    /// RFC 821.
    Turn = "TURN",
    /// RFC 821.
    Send = "SEND",
    /// RFC 821.
    Soml = "SOML",
    /// RFC 821.
    Saml = "SAML",
    /// RFC 4468.
    Burl = "BURL",
    /// Sendmail.
    Onex = "ONEX",
    /// Sendmail.
    VerbVerb = "VERB",
    /// Sendmail.
    Debug = "DEBUG",
    /// Sendmail.
    Wiz = "WIZ",
    /// Sendmail.
    Kill = "KILL",
    /// Exchange.
    XExps = "X-EXPS",
    /// Exchange.
    XLink2State = "X-LINK2STATE",
    /// Exchange.
    XExch50 = "XEXCH50",
    /// Postfix.
    XClient = "XCLIENT",
    /// Postfix.
    XForward = "XFORWARD",
}

/// The longest name.
pub const VERB_LEN_MAX: usize = 12;

impl Verb {
    /// The verb of that name, in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        let is_it = |verb: &Self| verb.name().as_bytes().eq_ignore_ascii_case(name);
        if name.len() > size_of::<u64>() {
            return Self::ALL.iter().copied().find(is_it);
        }
        let wanted = number(name);
        let at = NUMBERS.iter().position(|number| *number == wanted)?;
        Self::ALL.get(at).copied().filter(is_it)
    }
}

/// A short name as a number, in upper case; the start of a longer one is lost.
const fn number(name: &[u8]) -> u64 {
    let (mut number, mut at) = (0, 0);
    while at < name.len() {
        number = number << 8 | name[at].to_ascii_uppercase() as u64;
        at += 1;
    }
    number
}

/// The numbers of all verbs: they are compared at once, not one letter after the other.
const NUMBERS: [u64; Verb::ALL.len()] = {
    let mut numbers = [0; Verb::ALL.len()];
    let mut at = 0;
    while at < Verb::ALL.len() {
        numbers[at] = number(Verb::ALL[at].name().as_bytes());
        at += 1;
    }
    numbers
};

/// The verbs that begin with a letter, by letter: of the forty of them a few are left to be compared.
const BY_LETTER: [VerbSet; 26] = {
    let mut sets = [VerbSet::of(&[]); 26];
    let mut at = 0;
    while at < Verb::ALL.len() {
        let verb = Verb::ALL[at];
        let letter = (verb.name().as_bytes()[0] - b'A') as usize;
        sets[letter] = sets[letter].and(verb);
        at += 1;
    }
    sets
};

/// The known verbs that begin with that letter, in any case.
fn beginning_with(letter: u8) -> VerbSet {
    let at = letter.to_ascii_uppercase().wrapping_sub(b'A');
    BY_LETTER.get(usize::from(at)).copied().unwrap_or(VerbSet::of(&[]))
}

/// Verbs that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerbSet {
    known: u64,
    /// Verbs that are not known by name pass too.
    others: bool,
}

impl VerbSet {
    /// Every verb, whatever it is.
    pub const ANY: Self = Self { known: u64::MAX, others: true };

    /// These.
    pub const fn of(verbs: &[Verb]) -> Self {
        let (mut known, mut at) = (0, 0);
        while at < verbs.len() {
            known |= 1 << verbs[at] as u64;
            at += 1;
        }
        Self { known, others: false }
    }

    /// All but these, unknown ones included.
    pub const fn all_but(verbs: &[Verb]) -> Self {
        Self { known: !Self::of(verbs).known, others: true }
    }

    /// These without one.
    #[must_use]
    pub const fn without(self, verb: Verb) -> Self {
        Self { known: self.known & !(1 << verb as u64), ..self }
    }

    /// These and one more.
    #[must_use]
    pub const fn and(self, verb: Verb) -> Self {
        Self { known: self.known | 1 << verb as u64, ..self }
    }

    /// These without those.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { known: self.known & !other.known, others: self.others && !other.others }
    }

    /// Those of these that are among those too.
    #[must_use]
    pub const fn meet(self, other: Self) -> Self {
        Self { known: self.known & other.known, others: self.others && other.others }
    }

    /// Whether the verb is one of them.
    pub const fn contains(self, verb: Verb) -> bool {
        self.known & 1 << verb as u64 != 0
    }

    /// Whether verbs that are not known by name are among them.
    pub const fn has_others(self) -> bool {
        self.others
    }

    /// The known ones.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        let mut left = self.known;
        core::iter::from_fn(move || {
            let verb = Verb::ALL.get(left.trailing_zeros() as usize).copied();
            left &= left.wrapping_sub(1);
            verb
        })
    }

    /// Whether the name, in upper case, is one that may pass.
    pub fn allows(self, name: &[u8]) -> bool {
        match Verb::named(name) {
            Some(verb) => self.contains(verb),
            None => self.others && !name.is_empty(),
        }
    }

    /// Whether what begins like this, in upper case, may still become one that may pass.
    pub fn may_begin(self, start: &[u8]) -> bool {
        let of_letter = start.first().map_or(Self::ANY, |letter| beginning_with(*letter));
        let mut candidates = self.meet(of_letter).iter();
        self.others || candidates.any(|verb| verb.name().as_bytes().starts_with(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::COUNTED_VERBS_MAX;

    #[test]
    fn names_are_found_in_any_case_and_fit() {
        for &verb in Verb::ALL {
            assert_eq!(Verb::named(verb.name().to_lowercase().as_bytes()), Some(verb));
            assert!(verb.name().len() <= VERB_LEN_MAX);
        }
        assert!(Verb::ALL.len() <= 64 && Verb::ALL.len() < COUNTED_VERBS_MAX);
        for name in
            ["GOODMORNING", "", "\0HELO", "LO", "HELOO", "AHELO", "-LINK2STATE", "XLINK2STATE"]
        {
            assert_eq!(Verb::named(name.as_bytes()), None, "{name:?}");
        }
    }

    #[test]
    fn sets_know_what_may_begin() {
        let set = VerbSet::of(&[Verb::Helo, Verb::Data]);
        assert!(set.may_begin(b"HEL") && set.may_begin(b"") && !set.may_begin(b"EH"));
        assert!(set.allows(b"HELO") && !set.allows(b"HEL") && !set.allows(b"EHLO"));
        assert!(VerbSet::ANY.allows(b"ZZZ") && VerbSet::ANY.may_begin(b"\xff"));
        assert!(!VerbSet::ANY.allows(b""));
        assert_eq!(set.and(Verb::Ehlo).iter().count(), 3);
        assert_eq!(VerbSet::ANY.minus(set), VerbSet::all_but(&[Verb::Helo, Verb::Data]));
        assert_eq!(VerbSet::ANY.meet(set), set);
    }
}
