//! The personalities that can be named.

use std::borrow::Cow;

use super::map::{DEFAULT_ESMTP_MAP, SpecialCharacters};
use super::personality::{
    Greeting, Hide, PartialLines, Personality, Pipelining, Refusal, SplitEnd, Stray,
};
use crate::smtp::Verb::{
    Atrn, Auth, Bdat, Burl, Data, Ehlo, Etrn, Expn, Helo, Help, Mail, Noop, Quit, Rcpt, Rset, Saml,
    Send, Soml, StartTls, Vrfy,
};
use crate::smtp::{Keyword, KeywordSet, VerbSet};

/// The seven commands of RFC 821 section 4.5.1.
const SEVEN: VerbSet = VerbSet::of(&[Helo, Mail, Rcpt, Data, Rset, Noop, Quit]);

/// The fifteen of `inspect esmtp`.
const FIFTEEN: VerbSet = VerbSet::of(&[
    Helo, Mail, Rcpt, Data, Rset, Noop, Quit, Auth, Ehlo, Etrn, Help, Saml, Send, Soml, Vrfy,
]);

/// What images without policy maps leave, as far as captures agree.
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
        special_characters: SpecialCharacters::Blank,
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
        special_characters: SpecialCharacters::Blank,
        partial_lines: PartialLines::Mask,
        ..Self::NEUTRAL
    };

    /// PIX and ASA 7.2 to 9.3 with the default map.
    pub const ASA72: Self = Self {
        name: "asa72",
        about: "PIX and ASA 7.2 to 9.3 (_default_esmtp_map): fifteen commands, keywords masked, no STARTTLS",
        keywords: KeywordSet::all_but(&[Keyword::StartTls]),
        special_characters: SpecialCharacters::Pass,
        map: Cow::Borrowed(DEFAULT_ESMTP_MAP),
        ..Self::ASA70
    };

    /// ASA 9.4 and later, newly installed.
    pub const ASA94: Self = Self {
        name: "asa94",
        about: "ASA 9.4 and later, newly installed: as asa72, and STARTTLS passes (allow-tls)",
        verbs: FIFTEEN.and(StartTls),
        keywords: KeywordSet::ANY,
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
}
