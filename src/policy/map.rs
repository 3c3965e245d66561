//! The type inspect esmtp policy map of the ASA, as far as it counts and measures: `match` and action of each class.
//!
//! Source: the ASA Firewall CLI guide, *Default ESMTP policy-map*; what exactly is counted in a length is our choice: the
//! octets of a line without its end.

/// What a class matches: more of it than the number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// `cmd line length gt`: octets of a command line.
    CmdLineLength(u32),
    /// `cmd RCPT count gt`: RCPT commands for one message.
    CmdRcptCount(u32),
    /// `sender-address length gt`: octets of the address of MAIL.
    SenderAddressLength(u32),
    /// `header length gt`: octets of all header lines, their ends included.
    HeaderLength(u32),
    /// `header line length gt`: octets of one.
    HeaderLineLength(u32),
    /// `header to-fields count gt`: To fields.
    HeaderToFieldsCount(u32),
    /// `body length gt`: octets behind the header.
    BodyLength(u32),
    /// `body line length gt`: octets of a line behind the header.
    BodyLineLength(u32),
}

/// What is done when a class matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `drop-connection`: the connection is forgotten, nobody is told.
    DropConnection,
    /// `reset`: both ends are reset.
    Reset,
    /// `log`: it is counted.
    Log,
}

/// One class: the first is number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// What it matches.
    pub matches: Match,
    /// What is done then.
    pub action: Action,
}

const fn class(matches: Match, action: Action) -> Class {
    Class { matches, action }
}

/// `_default_esmtp_map` of ASA 7.2 and later, without its class 6 (`MIME filename length gt 255`); class 7, `ehlo-reply-parameter
/// others`, is the knob `keywords`.
pub const DEFAULT_ESMTP_MAP: &[Class] = &[
    class(Match::CmdLineLength(512), Action::DropConnection),
    class(Match::CmdRcptCount(100), Action::DropConnection),
    class(Match::BodyLineLength(998), Action::Log),
    class(Match::HeaderLineLength(998), Action::DropConnection),
    class(Match::SenderAddressLength(320), Action::DropConnection),
];

impl Match {
    /// The line of the map without the word `match`, as message 108004 prints it.
    pub fn text(self) -> String {
        match self {
            Self::CmdLineLength(most) => format!("cmd line length gt {most}"),
            Self::CmdRcptCount(most) => format!("cmd RCPT count gt {most}"),
            Self::SenderAddressLength(most) => format!("sender-address length gt {most}"),
            Self::HeaderLength(most) => format!("header length gt {most}"),
            Self::HeaderLineLength(most) => format!("header line length gt {most}"),
            Self::HeaderToFieldsCount(most) => format!("header to-fields count gt {most}"),
            Self::BodyLength(most) => format!("body length gt {most}"),
            Self::BodyLineLength(most) => format!("body line length gt {most}"),
        }
    }
}
