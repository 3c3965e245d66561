//! The devices, as the checks know them: written from what is told of each and not read from the presets, so that a
//! preset that says something else is found out as well.

use std::sync::Arc;

use mailguard::policy::Personality;

/// What the client sees of the greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// All of it.
    Pass,
    /// Stars, but for every 2 and 0.
    Keep20,
    /// Stars.
    All,
    /// Stars, but for the word ESMTP.
    Esmtp,
    /// `SMTP/cmap ready`, and underscores.
    Cmap,
    /// This.
    Text(&'static str),
    /// The name of the host, and this.
    Host(&'static str),
}

/// What becomes of a command that may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server gets NOOP, the client reads this.
    Noop(Option<&'static str>),
    /// Letters of the verb become X.
    XVerb,
    /// All of the line becomes X.
    XLine,
}

/// How a command line is judged that comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// By the octet: what may still become an allowed verb passes.
    Stream,
    /// When it is whole.
    Whole,
    /// When it is whole, but what comes alone without the end of its verb is X.
    Mask,
    /// When it is whole, and pieces are forgotten.
    Discard,
}

/// What becomes of an end of mail data that is split over packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SplitEnd {
    Pass,
    /// It is lost, and all behind it.
    Withhold,
    /// The server's reply to it is.
    WithholdReply,
}

/// Words that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Only(&'static [&'static [&'static str]]),
    AllBut(&'static [&'static str]),
}

impl Words {
    pub(crate) fn has(self, word: &[u8]) -> bool {
        let is_it = |name: &&str| name.as_bytes().eq_ignore_ascii_case(word);
        match self {
            Self::Only(groups) => groups.iter().copied().flatten().any(is_it),
            Self::AllBut(names) => !word.is_empty() && !names.iter().any(is_it),
        }
    }

    /// How many octets of a word pass before it is clear that it is none of these, if it is not.
    pub(crate) fn may_pass(self, word: &[u8], but: &str) -> usize {
        let Self::Only(groups) = self else { return word.len() };
        let longest = |name: &&str| {
            let pairs = name.bytes().zip(word.to_ascii_uppercase());
            pairs.take_while(|(a, b)| a == b).count()
        };
        let names = groups.iter().copied().flatten().filter(|name| **name != but);
        names.map(longest).max().unwrap_or(0)
    }
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// The preset, and what is set otherwise.
    preset: &'static str,
    knobs: &'static [(&'static str, &'static str)],
    pub(crate) inspects: bool,
    pub(crate) greeting: Greeting,
    /// Lines of a masked greeting behind the first keep code and separator.
    pub(crate) keeps_codes: bool,
    pub(crate) verbs: Words,
    pub(crate) refusal: Refusal,
    /// EHLO becomes HELO.
    pub(crate) takes_ehlo_for_helo: bool,
    pub(crate) keywords: Words,
    /// Lines with other keywords vanish; else they become `XXXA`.
    pub(crate) removes: bool,
    /// Special characters of addresses become spaces.
    pub(crate) blanks_addresses: bool,
    pub(crate) pieces: Pieces,
    pub(crate) split_end: SplitEnd,
    /// Mail data begins with DATA, whatever the reply.
    pub(crate) trusts_data: bool,
    /// Mail data in a packet that begins inside of a line is taken for commands.
    pub(crate) corrupts: bool,
    /// Stray CR, LF and NUL become spaces.
    pub(crate) cleans: bool,
    /// Who speaks before the greeting, or pipelines what was not offered, is reset.
    pub(crate) wants_manners: bool,
    /// Long lines end the connection (the default policy map).
    pub(crate) measures: bool,
    pub(crate) answers: &'static [(&'static str, &'static str)],
}

const SEVEN: &[&str] = &["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"];
const EIGHT_MORE: &[&str] = &["AUTH", "EHLO", "ETRN", "HELP", "SAML", "SEND", "SOML", "VRFY"];

/// What the captures of an ASA agree on.
const ASA_KEYWORDS: &[&str] = &[
    "8BITMIME",
    "AUTH",
    "BINARYMIME",
    "CHECKPOINT",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "ETRN",
    "PIPELINING",
    "SIZE",
];

const PLAIN: Device = Device {
    preset: "off",
    knobs: &[],
    inspects: true,
    greeting: Greeting::Pass,
    keeps_codes: true,
    verbs: Words::AllBut(&[]),
    refusal: Refusal::Noop(Some("500 Command unrecognized")),
    takes_ehlo_for_helo: false,
    keywords: Words::AllBut(&[]),
    removes: true,
    blanks_addresses: false,
    pieces: Pieces::Stream,
    split_end: SplitEnd::Pass,
    trusts_data: false,
    corrupts: false,
    cleans: false,
    wants_manners: false,
    measures: false,
    answers: &[],
};

const OFF: Device = Device { inspects: false, ..PLAIN };

const MAILGUARD: Device = Device {
    preset: "mailguard",
    greeting: Greeting::Keep20,
    verbs: Words::Only(&[SEVEN]),
    ..PLAIN
};

const PIX40: Device = Device {
    preset: "pix40",
    greeting: Greeting::Cmap,
    refusal: Refusal::Noop(Some("250 OK")),
    ..MAILGUARD
};

const PIX6X: Device = Device {
    preset: "pix6x",
    keeps_codes: false,
    refusal: Refusal::XVerb,
    blanks_addresses: true,
    pieces: Pieces::Whole,
    ..MAILGUARD
};

const PIX5X: Device = Device { preset: "pix5x", split_end: SplitEnd::Withhold, ..PIX6X };

const PIX44: Device = Device { preset: "pix44", greeting: Greeting::All, ..PIX5X };

const ASA70: Device = Device {
    preset: "asa70",
    verbs: Words::Only(&[SEVEN, EIGHT_MORE]),
    refusal: Refusal::XLine,
    keywords: Words::Only(&[ASA_KEYWORDS]),
    removes: false,
    pieces: Pieces::Mask,
    ..PIX6X
};

const ASA72: Device = Device {
    preset: "asa72",
    keywords: Words::Only(&[ASA_KEYWORDS, &["VRFY", "AUTH="]]),
    blanks_addresses: false,
    measures: true,
    ..ASA70
};

/// All of them: every preset, and behind those the values of knobs that no preset has.
static DEVICES: &[Device] = &[
    OFF,
    MAILGUARD,
    PIX40,
    Device { preset: "pix41", ..PIX40 },
    Device { preset: "pix42", ..PIX44 },
    PIX44,
    PIX5X,
    PIX6X,
    ASA70,
    ASA72,
    Device {
        preset: "asa94",
        verbs: Words::Only(&[SEVEN, EIGHT_MORE, &["STARTTLS"]]),
        keywords: Words::Only(&[ASA_KEYWORDS, &["VRFY", "AUTH=", "STARTTLS"]]),
        ..ASA72
    },
    Device {
        preset: "modern",
        verbs: Words::Only(&[
            SEVEN,
            &["AUTH", "BDAT", "BURL", "EHLO", "ETRN"],
            &["HELP", "STARTTLS", "VRFY"],
        ]),
        keywords: Words::Only(&[
            &["8BITMIME", "AUTH", "AUTH=", "BINARYMIME", "CHUNKING", "DELIVERBY", "DSN"],
            &["ENHANCEDSTATUSCODES", "ETRN", "EXPN", "HELP", "PIPELINING", "REQUIRETLS"],
            &["SIZE", "SMTPUTF8", "STARTTLS", "VRFY"],
        ]),
        cleans: true,
        wants_manners: true,
        ..PLAIN
    },
    Device {
        preset: "watchguard",
        greeting: Greeting::Text("SMTP service ready"),
        verbs: Words::Only(&[SEVEN, &["EHLO", "VRFY", "EXPN", "HELP", "AUTH"]]),
        keywords: Words::Only(&[&["8BITMIME", "AUTH", "DSN", "SIZE"]]),
        answers: &[(
            "HELP",
            "214-Commands:\r\n214-\tDATA\tRCPT\tMAIL\tQUIT\tRSET\r\n214 \tHELO\tVRFY\tEXPN\tHELP\tNOOP",
        )],
        ..PLAIN
    },
    Device {
        preset: "checkpoint",
        greeting: Greeting::Text("CheckPoint FireWall-1 secure ESMTP server"),
        answers: &[("NOOP", "220 OK")],
        ..PLAIN
    },
    Device {
        preset: "raptor",
        greeting: Greeting::Host("Generic SMTP handler"),
        verbs: Words::AllBut(&["ATRN", "ETRN", "EXPN", "VRFY", "STARTTLS"]),
        keywords: Words::AllBut(&["ETRN", "EXPN", "VRFY", "STARTTLS"]),
        answers: &[("HELP", "214 Help not supported by this implementation")],
        ..PLAIN
    },
    Device { preset: "arista", takes_ehlo_for_helo: true, ..PLAIN },
    Device {
        preset: "fsecure",
        verbs: Words::AllBut(&["STARTTLS", "BDAT"]),
        keywords: Words::AllBut(&["CHUNKING", "BINARYMIME", "PIPELINING", "STARTTLS"]),
        ..PLAIN
    },
    Device {
        preset: "pix6x",
        knobs: &[("refusal", "noop"), ("greeting", "esmtp")],
        refusal: Refusal::Noop(None),
        greeting: Greeting::Esmtp,
        ..PIX6X
    },
    Device {
        preset: "mailguard",
        knobs: &[("refusal", "x-verb"), ("special-characters", "blank")],
        refusal: Refusal::XVerb,
        blanks_addresses: true,
        ..MAILGUARD
    },
    Device {
        preset: "mailguard",
        knobs: &[
            ("refusal", "x-line"),
            ("ehlo", "pass"),
            ("keywords", "SIZE,CHUNKING"),
            ("verbs", "HELO,EHLO,MAIL,RCPT,DATA,RSET,NOOP,QUIT,BDAT"),
        ],
        verbs: Words::Only(&[SEVEN, &["EHLO", "BDAT"]]),
        keywords: Words::Only(&[&["SIZE", "CHUNKING"]]),
        removes: false,
        refusal: Refusal::XLine,
        ..MAILGUARD
    },
    Device {
        preset: "pix44",
        knobs: &[("split-end", "withhold-reply"), ("partial-lines", "discard")],
        split_end: SplitEnd::WithholdReply,
        pieces: Pieces::Discard,
        ..PIX44
    },
    Device {
        preset: "pix42",
        knobs: &[("mail-data", "corrupt"), ("split-end", "pass")],
        split_end: SplitEnd::Pass,
        corrupts: true,
        ..PIX44
    },
    Device {
        preset: "pix5x",
        knobs: &[("data-phase", "command"), ("split-end", "pass")],
        split_end: SplitEnd::Pass,
        trusts_data: true,
        ..PIX5X
    },
];

/// The personality, as the checks know it.
#[derive(Clone, Copy)]
pub(crate) struct Mode(&'static Device);

impl Mode {
    pub(crate) const OFF: Self = Self(&DEVICES[0]);
    pub(crate) const MAILGUARD: Self = Self(&DEVICES[1]);
    pub(crate) const PIX40: Self = Self(&DEVICES[2]);
    /// Those by which most tests go: one that does nothing, and two in which nothing depends on packets.
    pub(crate) const FEW: [Self; 3] = [Self::OFF, Self::MAILGUARD, Self::PIX40];

    /// All there are.
    pub(crate) fn all() -> impl ExactSizeIterator<Item = Self> {
        DEVICES.iter().map(Self)
    }

    /// The one of that number, which may be a seed.
    pub(crate) fn nth(number: u64) -> Self {
        Self(&DEVICES[number as usize % DEVICES.len()])
    }

    /// One that inspects.
    pub(crate) fn that_inspects(number: u64) -> Self {
        Self::such(number, |mode| mode.inspects())
    }

    /// One that inspects, and nothing of what it does depends on how streams are cut.
    pub(crate) fn blind_to_packets(number: u64) -> Self {
        Self::such(number, |mode| mode.inspects() && mode.is_blind_to_packets())
    }

    /// One in which what came counts as soon as it came: no line waits for its end.
    pub(crate) fn that_holds_no_line(number: u64) -> Self {
        let holds = |device: &Device| matches!(device.pieces, Pieces::Whole | Pieces::Discard);
        Self::such(number, |mode| mode.inspects() && !holds(mode.0))
    }

    /// One of those that does not care for cuts, and nothing waits for anything.
    pub(crate) fn that_waits_for_nothing(number: u64) -> Self {
        let is_it =
            |mode: &Self| mode.inspects() && mode.0.pieces == Pieces::Stream && !mode.0.cleans;
        Self::such(number, is_it)
    }

    fn such(number: u64, is_it: impl Fn(&Self) -> bool) -> Self {
        let them: Vec<_> = Self::all().filter(is_it).collect();
        them[number as usize % them.len()]
    }

    pub(crate) fn device(self) -> &'static Device {
        self.0
    }

    pub(crate) fn personality(self) -> Arc<Personality> {
        let preset = Personality::named(self.0.preset).expect("a personality of that name");
        let mut personality = preset.clone();
        for (knob, value) in self.0.knobs {
            personality.set(knob, value).expect("a knob and a value of it");
        }
        Arc::new(personality)
    }

    pub(crate) fn inspects(self) -> bool {
        self.0.inspects
    }

    /// Nothing of what it does depends on how streams are cut.
    pub(crate) fn is_blind_to_packets(self) -> bool {
        let device = self.0;
        !matches!(device.pieces, Pieces::Mask | Pieces::Discard)
            && device.split_end == SplitEnd::Pass
            && !device.corrupts
    }
}

impl PartialEq for Mode {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

impl core::fmt::Debug for Mode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {:?}", self.0.preset, self.0.knobs)
    }
}

#[test]
fn every_preset_is_among_the_devices() {
    for preset in Personality::ALL {
        let plain = |device: &&Device| device.preset == preset.name && device.knobs.is_empty();
        assert_eq!(DEVICES.iter().filter(plain).count(), 1, "{}", preset.name);
    }
    for mode in Mode::all() {
        let personality = mode.personality();
        assert_eq!(personality.is_blind_to_packets(), mode.is_blind_to_packets(), "{mode:?}");
        assert_eq!(personality.inspect, mode.inspects(), "{mode:?}");
    }
}
