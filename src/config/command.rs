//! What a command is, and what it works on.

use super::grammar::Args;
use super::settings::{Config, Family};

/// Where a command may be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `>`
    User,
    /// `#`, and everywhere behind it.
    Privileged,
    /// `(config)#`, and everywhere behind it.
    Config,
    /// `(config-if)#`
    Interface,
    /// `(config-cmap)#`
    ClassMap,
    /// `(config-cmap)#` of a class of expressions.
    RegexClass,
    /// `(config-pmap)#` of an ESMTP map, and behind its matches and parameters.
    EsmtpMap,
    /// `(config-pmap-c)#` of an ESMTP map.
    EsmtpMatch,
    /// `(config-pmap-p)#`
    EsmtpParameters,
    /// `(config-pmap)#`
    PolicyMap,
    /// `(config-pmap-c)#`
    PolicyClass,
    /// `(config-tcp-map)#`
    TcpMap,
}

/// All places.
pub(super) const PLACES: [Place; 12] = [
    Place::User,
    Place::Privileged,
    Place::Config,
    Place::Interface,
    Place::ClassMap,
    Place::RegexClass,
    Place::EsmtpMap,
    Place::EsmtpMatch,
    Place::EsmtpParameters,
    Place::PolicyMap,
    Place::PolicyClass,
    Place::TcpMap,
];

/// Where a session is: the place, and what is being edited there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Not yet enabled.
    User,
    /// Enabled.
    Privileged,
    /// `configure terminal`.
    Config,
    /// `interface HARDWARE`.
    Interface(String),
    /// `class-map NAME`.
    ClassMap(String),
    /// `class-map type regex match-any NAME`.
    RegexClass(String),
    /// `policy-map type inspect esmtp NAME`.
    EsmtpMap(String),
    /// Its class of that number, from 0.
    EsmtpMatch(String, usize),
    /// Its parameters.
    EsmtpParameters(String),
    /// `policy-map NAME`.
    PolicyMap(String),
    /// Its class of that name.
    PolicyClass(String, String),
    /// `tcp-map NAME`.
    TcpMap(String),
}

impl Mode {
    /// Places whose commands can be typed, the innermost first.
    pub fn places(&self) -> &'static [Place] {
        use Place::{Config, Privileged, User};
        match self {
            Self::User => &[User],
            Self::Privileged => &[Privileged, User],
            Self::Config => &[Config, Privileged, User],
            Self::Interface(_) => &[Place::Interface, Config, Privileged, User],
            Self::ClassMap(_) => &[Place::ClassMap, Config, Privileged, User],
            Self::RegexClass(_) => &[Place::RegexClass, Config, Privileged, User],
            Self::EsmtpMap(_) => &[Place::EsmtpMap, Config, Privileged, User],
            Self::EsmtpMatch(..) => &[Place::EsmtpMatch, Place::EsmtpMap, Config, Privileged, User],
            Self::EsmtpParameters(_) => {
                &[Place::EsmtpParameters, Place::EsmtpMap, Config, Privileged, User]
            }
            Self::PolicyMap(_) => &[Place::PolicyMap, Config, Privileged, User],
            Self::TcpMap(_) => &[Place::TcpMap, Config, Privileged, User],
            Self::PolicyClass(..) => {
                &[Place::PolicyClass, Place::PolicyMap, Config, Privileged, User]
            }
        }
    }

    /// What stands behind the name of the host in the prompt.
    pub fn prompt(&self) -> &'static str {
        match self {
            Self::User => "> ",
            Self::Privileged => "# ",
            Self::Config => "(config)# ",
            Self::Interface(_) => "(config-if)# ",
            Self::ClassMap(_) | Self::RegexClass(_) => "(config-cmap)# ",
            Self::EsmtpMap(_) | Self::PolicyMap(_) => "(config-pmap)# ",
            Self::EsmtpMatch(..) | Self::PolicyClass(..) => "(config-pmap-c)# ",
            Self::EsmtpParameters(_) => "(config-pmap-p)# ",
            Self::TcpMap(_) => "(config-tcp-map)# ",
        }
    }

    /// The mode that `exit` leads to.
    pub fn outer(&self) -> Option<Self> {
        match self {
            Self::User | Self::Privileged => None,
            Self::Config => Some(Self::Privileged),
            Self::Interface(_)
            | Self::ClassMap(_)
            | Self::RegexClass(_)
            | Self::EsmtpMap(_)
            | Self::PolicyMap(_)
            | Self::TcpMap(_) => Some(Self::Config),
            Self::EsmtpMatch(map, _) | Self::EsmtpParameters(map) => {
                Some(Self::EsmtpMap(map.clone()))
            }
            Self::PolicyClass(map, _) => Some(Self::PolicyMap(map.clone())),
        }
    }
}

/// What a command has to say of `no`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum No {
    /// `no` and the same words.
    Same,
    /// `no` and these words.
    Words(&'static str),
    /// There is none, for that reason.
    Never(&'static str),
}

/// Which families have a command.
#[derive(Debug, Clone, Copy)]
pub struct Has(pub &'static [Family]);

/// Every one.
pub(super) const ALL: Has =
    Has(&[Family::Mailhost, Family::Fixup, Family::Inspect, Family::Maps, Family::Own]);
/// PIX up to 6.3.
pub(super) const PIX: Has = Has(&[Family::Mailhost, Family::Fixup, Family::Own]);
/// PIX 4.0 and 4.1.
pub(super) const MAILHOST: Has = Has(&[Family::Mailhost, Family::Own]);
/// All but PIX 4.0 and 4.1.
pub(super) const FIXUP: Has = Has(&[Family::Fixup, Family::Inspect, Family::Maps, Family::Own]);
/// PIX and ASA 7.0 and later.
pub(super) const ASA: Has = Has(&[Family::Inspect, Family::Maps, Family::Own]);
/// PIX and ASA 7.2 and later.
pub(super) const MAPS: Has = Has(&[Family::Maps, Family::Own]);

impl Has {
    /// Whether the family is one of them.
    pub fn has(self, family: Family) -> bool {
        self.0.contains(&family)
    }
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The column of the word that is to blame.
    pub column: usize,
    /// Why, in a line.
    pub why: String,
}

impl Refused {
    /// The word of that kind is to blame.
    pub fn at(args: &Args, kind: &str, why: impl Into<String>) -> Self {
        Self { column: args.column(kind), why: why.into() }
    }
}

/// A configuration that is being edited.
#[derive(Debug)]
pub struct Editor<'a> {
    /// It.
    pub config: &'a mut Config,
    /// Where in it the session is.
    pub mode: &'a mut Mode,
    /// What is to be said though nothing is wrong.
    pub notes: Vec<String>,
    /// Passwords are hashed with this; the core has no randomness.
    pub hash: fn(&str) -> String,
}

/// What edits a configuration; true for `no`.
pub(super) type Edit = fn(&mut Editor<'_>, &Args, bool) -> Result<(), Refused>;

/// What is to be done with the running guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// `enable`
    Enable,
    /// `disable`
    Disable,
    /// `configure terminal`
    Configure,
    /// `exit`
    Exit,
    /// `end`
    End,
    /// `logout`
    Logout,
    /// `help`
    Help,
    /// `write memory`, `copy running-config startup-config`
    WriteMemory,
    /// `write terminal`, `show running-config`
    ShowRunning,
    /// `write erase`
    WriteErase,
    /// `copy startup-config running-config`
    CopyStartup,
    /// `reload`
    Reload,
    /// `show startup-config`
    ShowStartup,
    /// `show version`
    ShowVersion,
    /// `show conn`
    ShowConn,
    /// `show fixup`
    ShowFixup,
    /// `show service-policy`
    ShowServicePolicy,
    /// `show counters`
    ShowCounters,
    /// `show asp drop`
    ShowAspDrop,
    /// `show processes memory`
    ShowMemory,
    /// `show logging`
    ShowLogging,
    /// `show personality`
    ShowPersonality,
    /// `show clock`
    ShowClock,
    /// `show history`
    ShowHistory,
    /// `show tech-support`
    ShowTechSupport,
    /// `show mailhost`
    ShowMailhost,
    /// `clear conn`
    ClearConn,
    /// `clear counters`
    ClearCounters,
    /// `clear logging buffer`
    ClearLogging,
    /// `debug fixup smtp`, `debug esmtp`
    Debug,
    /// `undebug all`
    Undebug,
    /// `terminal monitor`
    Monitor,
    /// `terminal pager`
    Pager,
    /// `packet-tracer`
    PacketTracer,
}

/// What a command does.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// It edits the configuration.
    Edit(Edit),
    /// It does something.
    Deed(Deed),
}

/// One command.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Where it may be typed.
    pub place: Place,
    /// How it is written ([`super::grammar`]).
    pub syntax: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What `no` does.
    pub no: No,
    /// Who has it.
    pub has: Has,
    /// What it does.
    pub run: Run,
}
