//! How sure what the presets say of each knob is, and why.
//!
//! Sources: Microsoft KB 320027 and 295725; Cisco document 4733 (*Testing the PIX Firewall Mailguard
//! Feature*), document 113423 and the ASA command line guides; public captures; nmap and rapid7 recog for what
//! other tools take for a device; the manuals of the other vendors.

use super::personality::Personality;

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

impl Personality {
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
const MAP: Evidence = ("map", Documented, "ASA guides: _default_esmtp_map");
const OTHERS: Evidence = (
    "map",
    FieldReported,
    "which keywords are others: as captures show it, which do not agree on AUTH= and VRFY",
);
const NO_RELAY: Evidence = ("mail-relay", Documented, "no mail-relay in the default map");
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
    ("keywords", Documented, "no allow-tls: STARTTLS is hidden; the others are class 7 of the map"),
    EHLO_MASK,
    ("special-characters", Documented, "no special-character in the default map"),
    NO_RELAY,
    MAP,
    OTHERS,
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
        Documented,
        "allow-tls: STARTTLS is not hidden; the others are class 7 of the map",
    ),
    EHLO_MASK,
    ("special-characters", Documented, "no special-character in the default map"),
    NO_RELAY,
    MAP,
    OTHERS,
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
