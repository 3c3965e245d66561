//! The keywords by which a server offers extensions in its reply to EHLO, and sets of them.

macro_rules! keywords {
    ($($(#[doc = $text:literal])+ $keyword:ident = $name:literal,)+) => {
        /// A keyword that is known by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Keyword { $($(#[doc = $text])+ $keyword,)+ }

        impl Keyword {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$keyword,)+];

            /// The name, in upper case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$keyword => $name,)+ }
            }
        }
    };
}

keywords! {
    /// RFC 6152.
    EightBitMime = "8BITMIME",
    /// RFC 4954.
    Auth = "AUTH",
    /// The form of a draft, for old clients: `AUTH=LOGIN`.
    AuthEquals = "AUTH=",
    /// RFC 3030.
    BinaryMime = "BINARYMIME",
    /// RFC 1845.
    Checkpoint = "CHECKPOINT",
    /// RFC 3030.
    Chunking = "CHUNKING",
    /// RFC 2852.
    DeliverBy = "DELIVERBY",
    /// RFC 3461.
    Dsn = "DSN",
    /// RFC 2034.
    EnhancedStatusCodes = "ENHANCEDSTATUSCODES",
    /// RFC 1985.
    Etrn = "ETRN",
    /// RFC 5321.
    Expn = "EXPN",
    /// RFC 5321.
    Help = "HELP",
    /// RFC 2920.
    Pipelining = "PIPELINING",
    /// RFC 8689.
    RequireTls = "REQUIRETLS",
    /// RFC 1870.
    Size = "SIZE",
    /// RFC 6531.
    SmtpUtf8 = "SMTPUTF8",
    /// RFC 3207.
    StartTls = "STARTTLS",
    /// RFC 5321.
    Vrfy = "VRFY",
}

/// The longest name.
pub const KEYWORD_LEN_MAX: usize = 19;

impl Keyword {
    /// The keyword that a line of the reply begins with, if it is a known one: up to a space, a tab or the
    /// end; `AUTH=` up to the sign.
    pub fn of_line(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|octet| matches!(octet, b' ' | b'\t' | b'\r'));
        let mut name = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        if let Some(equals) = name.iter().position(|octet| *octet == b'=') {
            name = name.get(..=equals).unwrap_or_default();
        }
        Self::ALL.iter().copied().find(|word| word.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Keywords that a client may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeywordSet {
    known: u32,
    /// Those that are not known by name are seen too.
    others: bool,
}

impl KeywordSet {
    /// Every keyword, whatever it is.
    pub const ANY: Self = Self { known: u32::MAX, others: true };

    /// These.
    pub const fn of(keywords: &[Keyword]) -> Self {
        let (mut known, mut at) = (0, 0);
        while at < keywords.len() {
            known |= 1 << keywords[at] as u32;
            at += 1;
        }
        Self { known, others: false }
    }

    /// All but these, unknown ones included.
    pub const fn all_but(keywords: &[Keyword]) -> Self {
        Self { known: !Self::of(keywords).known, others: true }
    }

    /// These without one.
    #[must_use]
    pub const fn without(self, keyword: Keyword) -> Self {
        Self { known: self.known & !(1 << keyword as u32), ..self }
    }

    /// These and one more.
    #[must_use]
    pub const fn and(self, keyword: Keyword) -> Self {
        Self { known: self.known | 1 << keyword as u32, ..self }
    }

    /// Whether the keyword is one of them.
    pub const fn contains(self, keyword: Keyword) -> bool {
        self.known & 1 << keyword as u32 != 0
    }

    /// Whether those that are not known by name are among them.
    pub const fn has_others(self) -> bool {
        self.others
    }

    /// The known ones.
    pub fn iter(self) -> impl Iterator<Item = Keyword> {
        Keyword::ALL.iter().copied().filter(move |keyword| self.contains(*keyword))
    }

    /// Whether a line with that keyword, or with none that is known, may be seen.
    pub fn shows(self, keyword: Option<Keyword>) -> bool {
        keyword.map_or(self.others, |keyword| self.contains(keyword))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyword_of_a_line_is_its_first_word() {
        assert_eq!(Keyword::of_line(b"SIZE 1000"), Some(Keyword::Size));
        assert_eq!(Keyword::of_line(b"8bitmime"), Some(Keyword::EightBitMime));
        assert_eq!(Keyword::of_line(b"AUTH LOGIN"), Some(Keyword::Auth));
        assert_eq!(Keyword::of_line(b"auth=LOGIN PLAIN"), Some(Keyword::AuthEquals));
        assert_eq!(Keyword::of_line(b"SIZES"), None);
        assert_eq!(Keyword::of_line(b""), None);
        for keyword in Keyword::ALL {
            assert!(keyword.name().len() <= KEYWORD_LEN_MAX);
        }
        assert!(Keyword::ALL.len() <= 32);
    }

    #[test]
    fn sets_by_what_is_in_and_by_what_is_not() {
        let some = KeywordSet::of(&[Keyword::Size]);
        assert!(
            some.shows(Some(Keyword::Size)) && !some.shows(Some(Keyword::Dsn)) && !some.shows(None)
        );
        let most = KeywordSet::all_but(&[Keyword::Size]);
        assert!(
            !most.shows(Some(Keyword::Size)) && most.shows(Some(Keyword::Dsn)) && most.shows(None)
        );
        assert_eq!(some.iter().count(), 1);
    }
}
