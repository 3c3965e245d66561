//! Personalities: which device, and which version of it, the guard behaves like. Values, not code.

/// How the greeting of the SMTP server is shown to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// As it is.
    Pass,
    /// Every octet except `2`, `0`, CR and LF becomes `*`; the code and the octet behind it stay.
    Keep20,
    /// The text becomes `SMTP/cmap ready` and underscores up to its length.
    Cmap,
}

/// One device's behaviour, as named knobs.
#[derive(Debug, PartialEq, Eq)]
pub struct Personality {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Whether streams are inspected at all.
    pub inspect: bool,
    /// What becomes of the greeting.
    pub greeting: Greeting,
    /// The commands that reach the server, in upper case.
    pub verbs: &'static [&'static str],
    /// What the client reads instead of the server's reply when its command was refused.
    pub refusal: &'static str,
}

/// The seven commands of RFC 821 section 4.5.1.
const RFC821_MINIMUM: &[&str] = &["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"];

impl Personality {
    /// What Microsoft KB 320027 describes: seven commands, `500 Command unrecognized` for all others.
    pub const MAILGUARD: Self = Self {
        name: "mailguard",
        about: "seven commands, others answered 500 Command unrecognized, greeting masked but for 2 and 0",
        inspect: true,
        greeting: Greeting::Keep20,
        verbs: RFC821_MINIMUM,
        refusal: "500 Command unrecognized",
    };

    /// PIX 4.0 and 4.1 (`mailhost`): refused commands are answered OK.
    pub const PIX40: Self = Self {
        name: "pix40",
        about: "PIX 4.0 and 4.1 (mailhost): seven commands, others answered 250 OK, greeting SMTP/cmap",
        inspect: true,
        greeting: Greeting::Cmap,
        verbs: RFC821_MINIMUM,
        refusal: "250 OK",
    };

    /// No inspection: the reference to measure against.
    pub const OFF: Self = Self {
        name: "off",
        about: "everything is relayed untouched: the reference to measure against",
        inspect: false,
        greeting: Greeting::Pass,
        verbs: &[],
        refusal: "",
    };

    /// All that can be named.
    pub const ALL: &'static [&'static Self] = &[&Self::MAILGUARD, &Self::PIX40, &Self::OFF];

    /// The personality of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().copied().find(|p| p.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        for personality in Personality::ALL {
            assert_eq!(Personality::named(personality.name), Some(*personality));
        }
        assert_eq!(Personality::named("pix"), None);
    }
}
