//! Commands that do something with the running guard.

use super::super::command::{ASA, Command, Deed, FIXUP, Has, MAILHOST, No, Place};
use super::super::settings::Family;
use super::deed;

const fn user(syntax: &'static str, about: &'static str, what: Deed) -> Command {
    deed(Place::User, syntax, about, what)
}

const fn privileged(syntax: &'static str, about: &'static str, what: Deed) -> Command {
    deed(Place::Privileged, syntax, about, what)
}

/// PIX 4.2 to 6.3.
const FIXUP_ONLY: Has = Has(&[Family::Fixup, Family::Own]);

pub(super) const COMMANDS: &[Command] = &[
    user("enable", "may change things, after the password", Deed::Enable),
    user("exit", "leaves the mode, and at last the session", Deed::Exit),
    user("quit", "the same", Deed::Exit),
    user("logout", "ends the session", Deed::Logout),
    user("help", "says how to find commands", Deed::Help),
    user(
        "show version",
        "the program, the personality, how long it has been running",
        Deed::ShowVersion,
    ),
    user("show clock", "the time of day", Deed::ShowClock),
    user("show history", "lines that were typed in this session", Deed::ShowHistory),
    user(
        "terminal pager LINES",
        "pauses after so many lines of output; 0 is no pause",
        Deed::Pager,
    ),
    privileged("disable", "may change nothing any more", Deed::Disable),
    privileged("configure terminal", "edits the running configuration", Deed::Configure),
    privileged("end", "back to the prompt of enable", Deed::End),
    privileged(
        "write memory",
        "keeps the running configuration as that of the next start",
        Deed::WriteMemory,
    ),
    privileged("write terminal", "shows the running configuration", Deed::ShowRunning),
    privileged("write erase", "forgets the configuration of the next start", Deed::WriteErase),
    privileged("copy running-config startup-config", "the same as write memory", Deed::WriteMemory),
    privileged(
        "copy startup-config running-config",
        "adds the kept configuration to the running one",
        Deed::CopyStartup,
    ),
    privileged(
        "reload [noconfirm]",
        "goes back to the kept configuration; the process stays, and so do connections",
        Deed::Reload,
    ),
    privileged("show running-config", "the configuration in force", Deed::ShowRunning),
    privileged("show startup-config", "the configuration of the next start", Deed::ShowStartup),
    privileged("show configure", "the same", Deed::ShowStartup),
    privileged(
        "show conn [detail] [count]",
        "connections: ends, idle time, octets, flags",
        Deed::ShowConn,
    ),
    privileged("show fixup", "the ports that are guarded", Deed::ShowFixup).of(FIXUP),
    privileged("show mailhost", "the servers that are guarded", Deed::ShowMailhost).of(MAILHOST),
    privileged(
        "show service-policy [inspect esmtp]",
        "what is inspected, and how often something was done",
        Deed::ShowServicePolicy,
    )
    .of(ASA),
    privileged("show counters", "every counter", Deed::ShowCounters),
    privileged("show asp drop", "packets that were dropped, by reason", Deed::ShowAspDrop),
    privileged("show processes memory", "what connections hold", Deed::ShowMemory),
    privileged("show logging", "how messages are logged, and the buffer", Deed::ShowLogging),
    privileged(
        "show personality",
        "every knob of the personality with its source",
        Deed::ShowPersonality,
    ),
    privileged("show tech-support", "all of the above, for who asks for it", Deed::ShowTechSupport),
    privileged(
        "clear conn [all | address ADDRESS | port PORT]",
        "resets connections, at both ends",
        Deed::ClearConn,
    ),
    privileged("clear counters", "counts from zero", Deed::ClearCounters),
    privileged("clear logging buffer", "empties the buffer of show logging", Deed::ClearLogging),
    privileged("debug fixup smtp", "shows what is done with each session, here", Deed::Debug)
        .of(FIXUP_ONLY)
        .no(No::Same),
    privileged("debug esmtp", "the same", Deed::Debug).of(ASA).no(No::Same),
    privileged("undebug all", "shows it no more", Deed::Undebug),
    privileged("terminal monitor", "shows messages here as they come", Deed::Monitor).no(No::Same),
    privileged(
        "packet-tracer input IFNAME tcp ADDRESS PORT ADDRESS PORT [detailed]",
        "what would become of a SYN",
        Deed::PacketTracer,
    ),
];
