//! The personalities that can be named, and how sure each of their knobs is.
//!
//! Sources: Microsoft KB 320027 and 295725; Cisco document 4733 (*Testing the PIX Firewall Mailguard
//! Feature*), document 113423 and the ASA command line guides; public captures; nmap and rapid7 recog for what
//! other tools take for a device; the manuals of the other vendors.

use std::borrow::Cow;

use super::personality::{
    Greeting, Hide, PartialLines, Personality, Pipelining, Refusal, SplitEnd, Stray,
};
use crate::smtp::Verb::{
    Atrn, Auth, Bdat, Burl, Data, Ehlo, Etrn, Expn, Helo, Help, Mail, Noop, Quit, Rcpt, Rset, Saml,
    Send, Soml, StartTls, Vrfy,
};
use crate::smtp::{Keyword, KeywordSet, VerbSet};

/// How sure the value of a knob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The vendor, or Microsoft, says so.
    Documented,
    /// Captures, logs or the sources of other programs show it.
    FieldReported,
    /// It follows from what is documented or reported.
    Inferred,
    /// Nothing is known of the device; it is our choice.
    OurChoice,
}

impl Source {
    /// The word for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::FieldReported => "field-reported",
            Self::Inferred => "inferred",
            Self::OurChoice => "our choice",
        }
    }
}

use Source::{Documented, FieldReported, Inferred, OurChoice};

/// The knob, how sure its value is, and why.
pub type Evidence = (&'static str, Source, &'static str);

/// The seven commands of RFC 821 section 4.5.1.
const SEVEN: VerbSet = VerbSet::of(&[Helo, Mail, Rcpt, Data, Rset, Noop, Quit]);

/// The fifteen of `inspect esmtp`.
const FIFTEEN: VerbSet = VerbSet::of(&[
    Helo, Mail, Rcpt, Data, Rset, Noop, Quit, Auth, Ehlo, Etrn, Help, Saml, Send, Soml, Vrfy,
]);

/// What `match ehlo-reply-parameter others` leaves, as far as captures agree.
const ASA_70_KEYWORDS: KeywordSet = KeywordSet::of(&[
    Keyword::EightBitMime,
    Keyword::Auth,
    Keyword::BinaryMime,
    Keyword::Checkpoint,
    Keyword::Dsn,
    Keyword::EnhancedStatusCodes,
    Keyword::Etrn,
    Keyword::Pipelining,
    Keyword::Size,
]);

const ASA_KEYWORDS: KeywordSet = ASA_70_KEYWORDS.and(Keyword::Vrfy).and(Keyword::AuthEquals);

/// What `modern` understands well enough to let it through.
const MODERN_KEYWORDS: KeywordSet = KeywordSet::of(Keyword::ALL).without(Keyword::Checkpoint);

macro_rules! text {
    ($text:literal) => {
        Cow::Borrowed($text)
    };
}

impl Personality {
    /// What Microsoft KB 320027 describes: seven commands, `500 Command unrecognized` for all others.
    pub const MAILGUARD: Self = Self {
        name: "mailguard",
        about: "seven commands, others answered 500 Command unrecognized, greeting masked but for 2 and 0",
        greeting: Greeting::Keep20,
        verbs: SEVEN,
        refusal: Refusal::Unrecognized,
        ..Self::NEUTRAL
    };

    /// PIX 4.0 (`mailhost`): refused commands are answered OK.
    pub const PIX40: Self = Self {
        name: "pix40",
        about: "PIX 4.0 (mailhost): seven commands, others answered 250 OK, greeting SMTP/cmap",
        greeting: Greeting::Cmap,
        verbs: SEVEN,
        refusal: Refusal::Ok,
        ..Self::NEUTRAL
    };

    /// PIX 4.1 (`mailhost`).
    pub const PIX41: Self =
        Self { name: "pix41", about: "PIX 4.1 (mailhost): as pix40", ..Self::PIX40 };

    /// PIX 4.2 and 4.3 (`fixup protocol smtp`).
    pub const PIX42: Self = Self {
        name: "pix42",
        about: "PIX 4.2 (fixup protocol smtp): all of the greeting masked, verbs become XXXX, a split end of mail data is lost",
        ..Self::PIX44
    };

    /// PIX 4.4 and 5.0.
    pub const PIX44: Self = Self {
        name: "pix44",
        about: "PIX 4.4 and 5.0: all of the greeting masked, verbs become XXXX, a split end of mail data is lost",
        greeting: Greeting::All,
        keeps_continuation: false,
        verbs: SEVEN,
        refusal: Refusal::XVerb,
        blanks_special_characters: true,
        partial_lines: PartialLines::Hold,
        split_end: SplitEnd::Withhold,
        ..Self::NEUTRAL
    };

    /// PIX 5.1 to 5.3.
    pub const PIX5X: Self = Self {
        name: "pix5x",
        about: "PIX 5.1 to 5.3: greeting masked but for 2 and 0, verbs become XXXX, a split end of mail data is lost",
        greeting: Greeting::Keep20,
        ..Self::PIX44
    };

    /// PIX 6.x.
    pub const PIX6X: Self = Self {
        name: "pix6x",
        about: "PIX 6.0 to 6.3: greeting masked but for 2 and 0, verbs become XXXX",
        split_end: SplitEnd::Pass,
        ..Self::PIX5X
    };

    /// PIX and ASA 7.0 and 7.1 (`inspect esmtp`).
    pub const ASA70: Self = Self {
        name: "asa70",
        about: "PIX and ASA 7.0 and 7.1 (inspect esmtp): fifteen commands, keywords masked, no STARTTLS",
        greeting: Greeting::Keep20,
        keeps_continuation: false,
        verbs: FIFTEEN,
        refusal: Refusal::XLine,
        keywords: ASA_70_KEYWORDS,
        hide: Hide::Mask,
        blanks_special_characters: true,
        partial_lines: PartialLines::Mask,
        ..Self::NEUTRAL
    };

    /// PIX and ASA 7.2 to 9.3 with the default map.
    pub const ASA72: Self = Self {
        name: "asa72",
        about: "PIX and ASA 7.2 to 9.3 (_default_esmtp_map): fifteen commands, keywords masked, no STARTTLS",
        keywords: ASA_KEYWORDS,
        blanks_special_characters: false,
        ..Self::ASA70
    };

    /// ASA 9.4 and later, newly installed.
    pub const ASA94: Self = Self {
        name: "asa94",
        about: "ASA 9.4 and later, newly installed: as asa72, and STARTTLS passes (allow-tls)",
        verbs: FIFTEEN.and(StartTls),
        keywords: ASA_KEYWORDS.and(Keyword::StartTls),
        ..Self::ASA72
    };

    /// No device: ESMTP works, attacks on it do not.
    pub const MODERN: Self = Self {
        name: "modern",
        about: "no device: ESMTP, STARTTLS, AUTH, CHUNKING and SMTPUTF8 work; smuggling, injection and early talk do not",
        verbs: FIFTEEN.and(StartTls).and(Bdat).and(Burl).without(Send).without(Soml).without(Saml),
        keywords: MODERN_KEYWORDS,
        hide: Hide::Remove,
        bare_line_ends: Stray::Blank,
        nul: Stray::Blank,
        resets_early_talkers: true,
        pipelining: Pipelining::Offered,
        ..Self::NEUTRAL
    };

    /// The SMTP proxy of the WatchGuard Firebox.
    pub const WATCHGUARD: Self = Self {
        name: "watchguard",
        about: "WatchGuard Firebox: its own greeting and HELP, keywords that are not on its list vanish",
        greeting: Greeting::Text(text!("SMTP service ready")),
        verbs: SEVEN.and(Ehlo).and(Vrfy).and(Expn).and(Help).and(Auth),
        keywords: KeywordSet::of(&[
            Keyword::EightBitMime,
            Keyword::Auth,
            Keyword::Dsn,
            Keyword::Size,
        ]),
        hide: Hide::Remove,
        answers: &[(
            Help,
            "214-Commands:\r\n214-\tDATA\tRCPT\tMAIL\tQUIT\tRSET\r\n214 \tHELO\tVRFY\tEXPN\tHELP\tNOOP",
        )],
        ..Self::NEUTRAL
    };

    /// The SMTP Security Server of Check Point FireWall-1.
    pub const CHECKPOINT: Self = Self {
        name: "checkpoint",
        about: "Check Point FireWall-1: its own greeting, NOOP is answered 220 OK",
        greeting: Greeting::Text(text!("CheckPoint FireWall-1 secure ESMTP server")),
        answers: &[(Noop, "220 OK")],
        ..Self::NEUTRAL
    };

    /// Raptor, later the Symantec Enterprise Firewall.
    pub const RAPTOR: Self = Self {
        name: "raptor",
        about: "Raptor and Symantec Enterprise Firewall: its own greeting and HELP, no ATRN ETRN EXPN VRFY STARTTLS",
        greeting: Greeting::Host(text!("Generic SMTP handler")),
        verbs: VerbSet::all_but(&[Atrn, Etrn, Expn, Vrfy, StartTls]),
        keywords: KeywordSet::all_but(&[
            Keyword::Etrn,
            Keyword::Expn,
            Keyword::Vrfy,
            Keyword::StartTls,
        ]),
        hide: Hide::Remove,
        answers: &[(Help, "214 Help not supported by this implementation")],
        ..Self::NEUTRAL
    };

    /// Arista NG Firewall, once Untangle.
    pub const ARISTA: Self = Self {
        name: "arista",
        about: "Arista (Untangle) NG Firewall: EHLO becomes HELO",
        ehlo_becomes_helo: true,
        ..Self::NEUTRAL
    };

    /// F-Secure Internet Gatekeeper.
    pub const FSECURE: Self = Self {
        name: "fsecure",
        about: "F-Secure Internet Gatekeeper: CHUNKING, BINARYMIME, PIPELINING and STARTTLS vanish",
        verbs: VerbSet::all_but(&[StartTls, Bdat]),
        keywords: KeywordSet::all_but(&[
            Keyword::Chunking,
            Keyword::BinaryMime,
            Keyword::Pipelining,
            Keyword::StartTls,
        ]),
        hide: Hide::Remove,
        ..Self::NEUTRAL
    };

    /// No inspection: the reference to measure against.
    pub const OFF: Self = Self {
        name: "off",
        about: "everything is relayed untouched: the reference to measure against",
        inspect: false,
        ..Self::NEUTRAL
    };

    /// All that can be named.
    pub const ALL: &'static [&'static Self] = &[
        &Self::MAILGUARD,
        &Self::PIX40,
        &Self::PIX41,
        &Self::PIX42,
        &Self::PIX44,
        &Self::PIX5X,
        &Self::PIX6X,
        &Self::ASA70,
        &Self::ASA72,
        &Self::ASA94,
        &Self::MODERN,
        &Self::WATCHGUARD,
        &Self::CHECKPOINT,
        &Self::RAPTOR,
        &Self::ARISTA,
        &Self::FSECURE,
        &Self::OFF,
    ];

    /// What is known of the knobs of the preset of that name, for those that are known of.
    pub fn evidence(name: &str) -> &'static [Evidence] {
        match name {
            "mailguard" => MAILGUARD,
            "pix40" | "pix41" => PIX40,
            "pix42" => PIX42,
            "pix44" => PIX44,
            "pix5x" => PIX5X,
            "pix6x" => PIX6X,
            "asa70" => ASA70,
            "asa72" => ASA72,
            "asa94" => ASA94,
            "watchguard" => WATCHGUARD,
            "checkpoint" => CHECKPOINT,
            "raptor" => RAPTOR,
            "arista" => ARISTA,
            "fsecure" => FSECURE,
            _ => &[],
        }
    }
}

const SEVEN_COMMANDS: Evidence =
    ("verbs", Documented, "KB 320027, Cisco 4733: RFC 821 section 4.5.1");
const NO_EHLO: Evidence =
    ("ehlo", Documented, "KB 320027: EHLO is answered command unrecognized, or OK");
const KEEP20: Evidence = (
    "greeting",
    Documented,
    "KB 320027, from 5.1 on: all but 2 and 0 becomes *; any 2 and 0, as its sample decodes",
);
const SEPARATOR: Evidence = (
    "greeting-separator",
    FieldReported,
    "in all captures but the first line of KB 320027's sample",
);
const CONTINUATION: Evidence = (
    "greeting-continuation",
    Inferred,
    "a two-line greeting was seen masked with its second code; here 2 and 0 stay",
);
const X_VERB: Evidence = (
    "refusal",
    FieldReported,
    "captures show XXXX with the argument kept; NOOP is documented as well: refusal noop",
);
const SPECIAL: Evidence = (
    "special-characters",
    Documented,
    "ASA guides: | becomes a blank (message 108002); that > goes the same way is inferred",
);
const MAY_HANG: Evidence = (
    "partial-lines",
    Documented,
    "KB 320027, ASDM guide: a telnet session by character may hang; that lines wait is inferred",
);
const SPLIT_END: Evidence = (
    "split-end",
    Documented,
    "KB 295725 and CSCds90792; that the split is inside of .CRLF follows from Postfix's cure",
);
const REPLY_354: Evidence = (
    "data-phase",
    Documented,
    "CVE-2000-1022 and CSCdu47003 are mended here; data-phase command brings them back",
);
const BY_RULE: Evidence =
    ("pipelining", OurChoice, "a monitored signature; the reaction is not documented");

const MAILGUARD: &[Evidence] = &[
    SEVEN_COMMANDS,
    NO_EHLO,
    KEEP20,
    SEPARATOR,
    (
        "refusal",
        Documented,
        "KB 320027: all other commands are rejected with 500 Command unrecognized",
    ),
    REPLY_354,
    BY_RULE,
];
const PIX40: &[Evidence] = &[
    SEVEN_COMMANDS,
    NO_EHLO,
    (
        "greeting",
        FieldReported,
        "recog, PIX 4: SMTP/cmap ready and underscores; up to the old length is inferred",
    ),
    ("refusal", Documented, "Cisco 4733: OK even to denied commands; the code 250 is inferred"),
];
const PIX42: &[Evidence] = &[
    SEVEN_COMMANDS,
    NO_EHLO,
    ("greeting", OurChoice, "not told for 4.2: as 4.4"),
    ("refusal", Inferred, "KB 299304: X existed in 4.2(2)"),
    SEPARATOR,
    (
        "greeting-continuation",
        FieldReported,
        "a two-line greeting was seen masked with its second code",
    ),
    SPECIAL,
    MAY_HANG,
    SPLIT_END,
    REPLY_354,
];
const PIX44: &[Evidence] = &[
    SEVEN_COMMANDS,
    NO_EHLO,
    ("greeting", Documented, "KB 320027: in 4.4 all characters become *"),
    X_VERB,
    SEPARATOR,
    (
        "greeting-continuation",
        FieldReported,
        "a two-line greeting was seen masked with its second code",
    ),
    SPECIAL,
    MAY_HANG,
    SPLIT_END,
    REPLY_354,
];
const PIX5X: &[Evidence] = &[
    SEVEN_COMMANDS,
    NO_EHLO,
    KEEP20,
    X_VERB,
    SEPARATOR,
    CONTINUATION,
    SPECIAL,
    MAY_HANG,
    SPLIT_END,
    REPLY_354,
];
const PIX6X: &[Evidence] = &[
    SEVEN_COMMANDS,
    NO_EHLO,
    KEEP20,
    X_VERB,
    SEPARATOR,
    CONTINUATION,
    SPECIAL,
    MAY_HANG,
    ("split-end", Inferred, "mended in later releases (KB 295725), which is not told"),
    REPLY_354,
];
const FIFTEEN_COMMANDS: Evidence = ("verbs", Documented, "ASA guides: fifteen commands");
const X_LINE: Evidence = (
    "refusal",
    Documented,
    "ASA guides: all characters of the packet become X; that CRLF stay is inferred",
);
const EHLO_MASK: Evidence = (
    "hidden-keywords",
    FieldReported,
    "fifteen masked lines in five captures: XXXA, XXXB in order, length kept",
);
const BY_CHARACTER: Evidence = (
    "partial-lines",
    Documented,
    "Cisco 113423: H becomes X and is forwarded, and so is each letter behind it",
);
const ASA70: &[Evidence] = &[
    FIFTEEN_COMMANDS,
    KEEP20,
    X_LINE,
    SEPARATOR,
    CONTINUATION,
    ("keywords", FieldReported, "one capture, probably of an early image, masks VRFY and AUTH="),
    EHLO_MASK,
    SPECIAL,
    BY_CHARACTER,
    REPLY_354,
];
const ASA72: &[Evidence] = &[
    FIFTEEN_COMMANDS,
    KEEP20,
    X_LINE,
    SEPARATOR,
    CONTINUATION,
    ("keywords", FieldReported, "match ehlo-reply-parameter others, as captures show it"),
    EHLO_MASK,
    ("special-characters", Documented, "no special-character in the default map"),
    BY_CHARACTER,
    ("starttls", Documented, "no allow-tls in the default map"),
    REPLY_354,
];
const ASA94: &[Evidence] = &[
    ("verbs", Documented, "ASA guides: fifteen commands, and STARTTLS with allow-tls"),
    KEEP20,
    X_LINE,
    SEPARATOR,
    CONTINUATION,
    (
        "keywords",
        FieldReported,
        "match ehlo-reply-parameter others, as captures show it; STARTTLS with allow-tls",
    ),
    EHLO_MASK,
    ("special-characters", Documented, "no special-character in the default map"),
    BY_CHARACTER,
    ("starttls", Documented, "allow-tls: after the server's 220 inspection stops"),
    REPLY_354,
];
const WATCHGUARD: &[Evidence] = &[
    ("greeting", FieldReported, "nmap: 220 SMTP service ready"),
    ("answers", FieldReported, "nmap: the reply to HELP"),
    ("verbs", Inferred, "those that the reply to HELP names, EHLO and AUTH"),
    ("keywords", OurChoice, "documented is that each is on a list, not which are on it as shipped"),
    ("hidden-keywords", Documented, "Firebox reference: unknown extensions are removed"),
    ("refusal", OurChoice, "not found"),
];
const CHECKPOINT: &[Evidence] = &[
    ("greeting", FieldReported, "nmap and recog"),
    ("answers", FieldReported, "recog: NOOP is answered 220 OK"),
];
const RAPTOR: &[Evidence] = &[
    ("greeting", FieldReported, "nmap and recog: 220 HOST Generic SMTP handler"),
    ("answers", FieldReported, "nmap: the reply to HELP"),
    ("verbs", Documented, "Symantec Security Gateways reference: ATRN, ETRN, EXPN, VRFY are off"),
    ("keywords", Inferred, "those of the verbs"),
    ("hidden-keywords", OurChoice, "not found"),
    ("starttls", Documented, "no mechanism that encrypts the connection"),
];
const ARISTA: &[Evidence] =
    &[("ehlo", Documented, "Arista Edge support: EHLO is rewritten to HELO, in place")];
const FSECURE: &[Evidence] = &[
    (
        "keywords",
        Documented,
        "Internet Gatekeeper manual: these four are dropped from the reply to EHLO",
    ),
    ("hidden-keywords", Documented, "Internet Gatekeeper manual: dropped"),
    ("verbs", Inferred, "those of the keywords"),
    ("starttls", Documented, "dropped from the reply to EHLO"),
];
