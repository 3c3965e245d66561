//! A configuration as a value.

use core::time::Duration;

use super::logging::Logging;
use super::secret::Secret;
use super::tcp::NamedTcpMap;
use crate::policy::{Action, DEFAULT_ESMTP_MAP, Knob, Match, Matched, Personality, Timeouts};

/// What the generations of the device have in common in their language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// PIX 4.0 and 4.1: `mailhost`.
    Mailhost,
    /// PIX 4.2 to 6.3: `fixup protocol smtp`.
    Fixup,
    /// PIX and ASA 7.0 and 7.1: `inspect esmtp`.
    Inspect,
    /// PIX and ASA 7.2 and later: `policy-map type inspect esmtp` too.
    Maps,
    /// None of these: all of it.
    Own,
}

impl Family {
    /// The family of a personality.
    pub fn of(personality: &str) -> Self {
        match personality {
            "pix40" | "pix41" => Self::Mailhost,
            "pix42" | "pix44" | "pix5x" | "pix6x" => Self::Fixup,
            "asa70" => Self::Inspect,
            "asa72" | "asa94" => Self::Maps,
            _ => Self::Own,
        }
    }

    /// Whether it is an ASA, or a PIX with its language.
    pub fn has_service_policies(self) -> bool {
        matches!(self, Self::Inspect | Self::Maps)
    }
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `ethernet0`.
    pub hardware: String,
    /// `outside`.
    pub name: String,
    /// 0 to 100.
    pub level: u32,
}

/// `mailhost`: a mail server that is guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailhost {
    /// `(inside,outside)`.
    pub interfaces: Option<String>,
    /// The words behind it.
    pub addresses: (String, String),
    /// Connections, and half-open ones; kept, not used.
    pub limits: Vec<u32>,
}

/// `class-map type regex match-any`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexClass {
    /// Its name.
    pub name: String,
    /// The expressions of which one has to match.
    pub members: Vec<String>,
}

/// What a class map matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// `match default-inspection-traffic`: port 25.
    Default,
    /// `match any`.
    Any,
    /// `match port tcp`.
    Ports(u16, u16),
}

/// `class-map`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    /// Its name.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// What it matches, once that has been said.
    pub traffic: Option<Traffic>,
}

/// What a class of an ESMTP map matches, with expressions by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchLine {
    /// What needs no expression.
    Plain(Match),
    /// `sender-address regex`.
    Sender(RegexName),
    /// `mime filetype regex`.
    Filetype(RegexName),
}

/// An expression, or a class of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegexName {
    /// `regex NAME`.
    One(String),
    /// `regex class NAME`.
    Class(String),
}

/// One `match` of an ESMTP map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchClass {
    /// `match not`.
    pub is_negated: bool,
    /// What it matches.
    pub matches: MatchLine,
    /// What is done, once that has been said, and whether it is told.
    pub action: Option<(Action, bool)>,
    /// How often it has matched: counted as long as the line stands.
    pub matched: Matched,
}

/// What is done by a parameter of an ESMTP map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterAction {
    /// `drop-connection`; else it is told alone.
    pub drops: bool,
    /// It is told.
    pub logs: bool,
}

/// `policy-map type inspect esmtp`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EsmtpMap {
    /// Its name.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// Its classes, in order.
    pub classes: Vec<MatchClass>,
    /// `mask-banner`.
    pub masks_banner: bool,
    /// `allow-tls`, and whether that is told.
    pub allows_tls: Option<bool>,
    /// `mail-relay`.
    pub mail_relay: Option<(String, ParameterAction)>,
    /// `special-character`.
    pub special_character: Option<ParameterAction>,
}

/// A class of a policy map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyClass {
    /// The class map.
    pub class: String,
    /// `inspect esmtp`, and its map.
    pub inspect: Option<Option<String>>,
    /// `set connection advanced-options`.
    pub tcp_map: Option<String>,
}

/// `policy-map`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMap {
    /// Its name.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// Its classes, in order.
    pub classes: Vec<PolicyClass>,
}

/// `service-policy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePolicy {
    /// The policy map.
    pub policy: String,
    /// The interface; else `global`.
    pub interface: Option<String>,
}

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The personality's name.
    pub personality: &'static str,
    /// Knobs of it that are set otherwise.
    pub knobs: Vec<(&'static str, String)>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// The password of `enable`.
    pub enable_password: Option<Secret>,
    /// The password of telnet (`passwd`).
    pub login_password: Option<Secret>,
    /// `interface`.
    pub interfaces: Vec<Interface>,
    /// `mailhost`.
    pub mailhosts: Vec<Mailhost>,
    /// `fixup protocol smtp`.
    pub fixups: Vec<(u16, u16)>,
    /// `regex`.
    pub regexes: Vec<(String, String)>,
    /// `class-map type regex`.
    pub regex_classes: Vec<RegexClass>,
    /// `class-map`.
    pub class_maps: Vec<ClassMap>,
    /// `policy-map type inspect esmtp`.
    pub esmtp_maps: Vec<EsmtpMap>,
    /// How often each class of `_default_esmtp_map` has matched.
    pub default_matched: Vec<Matched>,
    /// `tcp-map`.
    pub tcp_maps: Vec<NamedTcpMap>,
    /// `policy-map`.
    pub policy_maps: Vec<PolicyMap>,
    /// `service-policy`.
    pub service_policies: Vec<ServicePolicy>,
    /// `sysopt connection tcpmss`.
    pub mss_max: Option<u16>,
    /// `timeout`.
    pub timeouts: Timeouts,
    /// `logging`.
    pub logging: Logging,
}

impl Default for Config {
    /// As it leaves the factory, so to say: port 25 is guarded.
    fn default() -> Self {
        Self::factory("mailguard")
    }
}

impl Config {
    /// The configuration of a new device of that personality.
    pub fn factory(personality: &'static str) -> Self {
        let interface = |hardware: &str, name: &str, level| Interface {
            hardware: hardware.into(),
            name: name.into(),
            level,
        };
        let mut config = Self {
            personality,
            knobs: Vec::new(),
            hostname: None,
            enable_password: None,
            login_password: None,
            interfaces: vec![
                interface("ethernet0", "outside", 0),
                interface("ethernet1", "inside", 100),
            ],
            mailhosts: Vec::new(),
            fixups: Vec::new(),
            regexes: Vec::new(),
            regex_classes: Vec::new(),
            class_maps: Vec::new(),
            esmtp_maps: Vec::new(),
            default_matched: DEFAULT_ESMTP_MAP.iter().map(|_| Matched::counted()).collect(),
            tcp_maps: Vec::new(),
            policy_maps: Vec::new(),
            service_policies: Vec::new(),
            mss_max: None,
            timeouts: Timeouts::default(),
            logging: Logging::default(),
        };
        match Family::of(personality) {
            Family::Mailhost => {}
            Family::Fixup | Family::Own => config.fixups = vec![(25, 25)],
            Family::Inspect | Family::Maps => config.add_global_policy(Some(None)),
        }
        config
    }

    /// The configuration that the words of a command line are.
    pub fn of_words(
        personality: &'static Personality,
        knobs: &[(String, String)],
        ports: &[u16],
    ) -> Self {
        let mut config = Self::factory(personality.name);
        for (name, value) in knobs {
            if let Some(knob) = Knob::named(name) {
                config.knobs.retain(|(of, _)| *of != knob.name);
                config.knobs.push((knob.name, value.clone()));
            }
        }
        match config.family() {
            Family::Inspect | Family::Maps => {
                config.inspect_ports_no_more(25, 25);
                ports.iter().for_each(|port| config.inspect_ports(*port, *port));
            }
            Family::Mailhost => config.mailhosts.push(Mailhost {
                interfaces: None,
                addresses: ("0.0.0.0".into(), "0.0.0.0".into()),
                limits: Vec::new(),
            }),
            Family::Fixup | Family::Own => {
                config.fixups = ports.iter().map(|port| (*port, *port)).collect();
                config.fixups.sort_unstable();
                config.fixups.dedup();
            }
        }
        config
    }

    /// What a text begins with that says all there is: no interface, no policy.
    pub(super) fn bare(personality: &'static str) -> Self {
        let mut config = Self::factory(personality);
        config.interfaces.clear();
        config.class_maps.clear();
        config.policy_maps.clear();
        config.service_policies.clear();
        config
    }

    /// The family of the personality.
    pub fn family(&self) -> Family {
        Family::of(self.personality)
    }

    /// The name that the prompt shows.
    pub fn hostname(&self) -> &str {
        let own = match self.family() {
            Family::Mailhost | Family::Fixup => "pixfirewall",
            Family::Inspect | Family::Maps => "ciscoasa",
            Family::Own => "mailguard",
        };
        self.hostname.as_deref().unwrap_or(own)
    }

    /// The policy that an ASA is delivered with.
    pub(super) fn add_global_policy(&mut self, inspect: Option<Option<String>>) {
        // Names that may be there already, and are of no use without a service policy.
        let name = "inspection_default";
        match self.class_maps.iter_mut().find(|class| class.name == name) {
            Some(class) => class.traffic = Some(Traffic::Default),
            None => self.class_maps.push(ClassMap {
                name: name.into(),
                description: None,
                traffic: Some(Traffic::Default),
            }),
        }
        self.policy_maps.retain(|map| map.name != "global_policy");
        self.policy_maps.push(PolicyMap {
            name: "global_policy".into(),
            description: None,
            classes: vec![PolicyClass {
                class: "inspection_default".into(),
                inspect,
                tcp_map: None,
            }],
        });
        self.service_policies
            .push(ServicePolicy { policy: "global_policy".into(), interface: None });
    }

    /// Another personality. What is guarded stays, in the language of the new one.
    pub fn become_personality(&mut self, personality: &'static Personality) {
        let before = self.family();
        let ports = self.guarded_ports();
        self.personality = personality.name;
        let after = self.family();
        if before == after {
            return;
        }
        match after {
            Family::Inspect | Family::Maps => {
                let has_policies = !self.service_policies.is_empty();
                self.fixups.clear();
                self.mailhosts.clear();
                if !has_policies {
                    self.add_global_policy(None);
                    for (first, last) in ports {
                        self.inspect_ports(first, last);
                    }
                }
            }
            Family::Mailhost | Family::Fixup => {
                self.service_policies.clear();
                self.policy_maps.clear();
                self.class_maps.clear();
                self.esmtp_maps.clear();
                self.tcp_maps.clear();
                self.regexes.clear();
                self.regex_classes.clear();
                self.interfaces.retain(|interface| !interface.name.is_empty());
                if after == Family::Fixup {
                    self.mailhosts.clear();
                    self.fixups = ports;
                } else {
                    self.fixups.clear();
                }
            }
            Family::Own => {}
        }
        if after == Family::Inspect {
            self.esmtp_maps.clear();
            self.regexes.clear();
            self.regex_classes.clear();
            for class in self.policy_maps.iter_mut().flat_map(|map| &mut map.classes) {
                class.inspect = class.inspect.take().map(|_| None);
            }
        }
    }
}

/// The time-out of that name.
pub(super) fn timeout<'a>(timeouts: &'a mut Timeouts, word: &str) -> Option<&'a mut Duration> {
    match word {
        "conn" => Some(&mut timeouts.conn),
        "half-closed" => Some(&mut timeouts.half_closed),
        "embryonic" => Some(&mut timeouts.embryonic),
        _ => None,
    }
}
