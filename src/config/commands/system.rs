//! The device itself: names, passwords, interfaces, time-outs, personality.

use super::super::command::{ALL, ASA, Command, Editor, Has, Mode, No, PIX, Place, Refused};
use super::super::grammar::Args;
use super::super::logging::{LogHost, Transport, severity};
use super::super::secret::Secret;
use super::super::settings::{Family, Interface, timeout};
use super::super::value::{number, security, time, transport};
use super::edit;
use crate::limits;
use crate::policy::{Knob, Personality, Timeouts};

/// PIX 4.2 to 6.3 and 4.0 without the modes of interfaces.
const NAMEIF: Has = PIX;

pub(super) const COMMANDS: &[Command] = &[
    edit(
        Place::Config,
        "personality PERSONALITY",
        "the device, and its version, that is shown",
        ALL,
        personality,
    )
    .no(No::Words("personality")),
    edit(Place::Config, "knob KNOB VALUE", "sets one knob of the personality otherwise", ALL, knob)
        .no(No::Words("knob KNOB")),
    edit(Place::Config, "hostname HOST", "the name in the prompt", ALL, hostname)
        .no(No::Words("hostname [HOST]")),
    edit(
        Place::Config,
        "enable password PASSWORD [level PRIVILEGE] [encrypted | pbkdf2]",
        "the password of enable",
        ALL,
        enable_password,
    )
    .no(No::Words("enable password [PASSWORD] [level PRIVILEGE] [encrypted | pbkdf2]")),
    edit(
        Place::Config,
        "passwd PASSWORD [encrypted | pbkdf2]",
        "the password of telnet",
        ALL,
        login_password,
    )
    .no(No::Words("passwd [PASSWORD] [encrypted | pbkdf2]")),
    edit(
        Place::Config,
        "password PASSWORD [encrypted | pbkdf2]",
        "the password of telnet",
        ASA,
        login_password,
    )
    .no(No::Words("password [PASSWORD] [encrypted | pbkdf2]")),
    edit(
        Place::Config,
        "nameif HARDWARE IFNAME SECURITY",
        "the name of an interface",
        NAMEIF,
        nameif_line,
    )
    .no(No::Never("an interface has a name")),
    edit(Place::Config, "interface HARDWARE", "edits an interface", ASA, interface)
        .no(No::Never("it is there")),
    edit(Place::Interface, "nameif IFNAME", "its name", ASA, nameif)
        .no(No::Never("an interface has a name")),
    edit(Place::Interface, "security-level LEVEL", "100 is inside, 0 outside", ASA, security_level)
        .no(No::Words("security-level [LEVEL]")),
    edit(
        Place::Config,
        "timeout {conn TIME | half-closed TIME | embryonic TIME}...",
        "silence that ends a connection",
        ALL,
        timeouts,
    )
    .no(No::Words("timeout {conn [TIME] | half-closed [TIME] | embryonic [TIME]}...")),
    edit(
        Place::Config,
        "sysopt connection tcpmss MSS",
        "the largest segment that a SYN may announce",
        ALL,
        tcpmss,
    )
    .no(No::Words("sysopt connection tcpmss [MSS]")),
    edit(
        Place::Config,
        "logging {enable | on}",
        "messages are sent where the other lines say",
        ALL,
        logging_enable,
    ),
    edit(
        Place::Config,
        "logging timestamp",
        "messages begin with the time",
        ALL,
        logging_timestamp,
    ),
    edit(
        Place::Config,
        "logging {console | monitor | buffered | trap} SEVERITY",
        "how severe a message must be: on standard error, in sessions, in the buffer, to log hosts",
        ALL,
        logging_level,
    )
    .no(No::Words("logging {console | monitor | buffered | trap} [SEVERITY]")),
    edit(
        Place::Config,
        "logging facility FACILITY",
        "the facility of messages to log hosts",
        ALL,
        logging_facility,
    )
    .no(No::Words("logging facility [FACILITY]")),
    edit(
        Place::Config,
        "logging host IFNAME ADDRESS [TRANSPORT]",
        "a log host: udp/514 if nothing is said, tcp/1470",
        ALL,
        logging_host,
    ),
    edit(
        Place::Config,
        "logging message MESSAGE level SEVERITY",
        "the severity of a message",
        ALL,
        logging_message,
    )
    .no(No::Words("logging message MESSAGE [level SEVERITY]")),
    edit(Place::Config, "logging message MESSAGE", "it is sent", ALL, logging_message),
];

fn personality(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let named = if is_no {
        Some(&Personality::MAILGUARD)
    } else {
        args.get("PERSONALITY").and_then(Personality::named)
    };
    if let Some(personality) = named {
        let before = editor.config.policy();
        editor.config.become_personality(personality);
        if before.inspects() && !editor.config.policy().inspects() && personality.inspect {
            editor.notes.push(match editor.config.family() {
                Family::Mailhost => "INFO: nothing is guarded before there is a mailhost".into(),
                Family::Fixup | Family::Inspect | Family::Maps | Family::Own => {
                    "INFO: nothing is guarded".into()
                }
            });
        }
        *editor.mode = Mode::Config;
    }
    Ok(())
}

fn knob(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let Some(knob) = args.get("KNOB").and_then(Knob::named) else { return Ok(()) };
    let mut copy = Personality::OFF.clone();
    if !is_no {
        let value = args.get("VALUE").unwrap_or_default();
        copy.set(knob.name, value)
            .map_err(|error| Refused::at(args, "VALUE", error.to_string()))?;
    }
    editor.config.knobs.retain(|(name, _)| *name != knob.name);
    if !is_no {
        editor.config.knobs.push((knob.name, knob.value(&copy)));
    }
    Ok(())
}

fn hostname(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    editor.config.hostname = args.get("HOST").filter(|_| !is_no).map(Into::into);
    Ok(())
}

/// What a line says of a password; `what` it is for.
fn password(
    editor: &mut Editor<'_>,
    args: &Args,
    is_no: bool,
    what: &str,
) -> Result<Option<Secret>, Refused> {
    let Some(word) = args.get("PASSWORD").filter(|_| !is_no) else { return Ok(None) };
    let is_pbkdf2 = args.has("pbkdf2");
    if !args.has("encrypted") && !is_pbkdf2 {
        if word.len() > limits::PASSWORD_OCTETS_MAX {
            return Err(Refused::at(args, "PASSWORD", "a password has at most 127 characters"));
        }
        return Ok(Some(Secret::Hash((editor.hash)(word))));
    }
    let Some(secret) = Secret::read(word, is_pbkdf2) else {
        let why = "neither a hash of mailguard's nor one of the device's: type the password itself";
        return Err(Refused::at(args, "PASSWORD", why));
    };
    if secret.is_unknown() {
        editor.notes.push(format!(
            "INFO: a hash of the device's cannot be checked here: set the {what} password anew"
        ));
    }
    Ok(Some(secret))
}

fn enable_password(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(level) = args.get("PRIVILEGE").filter(|level| *level != "15") {
        let note = format!("INFO: there is no privilege level {level} here, and no password of it");
        editor.notes.push(note);
        return Ok(());
    }
    editor.config.enable_password = password(editor, args, is_no, "enable")?;
    Ok(())
}

fn login_password(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    editor.config.login_password = password(editor, args, is_no, "telnet")?;
    Ok(())
}

/// The interface of that name; a new one if there is room.
fn interface_named<'a>(
    editor: &'a mut Editor<'_>,
    args: &Args,
    hardware: &str,
) -> Result<&'a mut Interface, Refused> {
    let all = &mut editor.config.interfaces;
    let at = match all.iter().position(|of| of.hardware.eq_ignore_ascii_case(hardware)) {
        Some(at) => at,
        None if all.len() < limits::INTERFACES_MAX => {
            all.push(Interface { hardware: hardware.into(), name: String::new(), level: 0 });
            all.len() - 1
        }
        None => return Err(Refused::at(args, "HARDWARE", "too many interfaces")),
    };
    all.get_mut(at).ok_or_else(|| Refused::at(args, "HARDWARE", "no such interface"))
}

fn nameif_line(editor: &mut Editor<'_>, args: &Args, _is_no: bool) -> Result<(), Refused> {
    let interface = interface_named(editor, args, args.get("HARDWARE").unwrap_or_default())?;
    interface.name = args.get("IFNAME").unwrap_or_default().into();
    interface.level = args.get("SECURITY").and_then(security).unwrap_or_default();
    Ok(())
}

fn interface(editor: &mut Editor<'_>, args: &Args, _is_no: bool) -> Result<(), Refused> {
    let hardware = args.get("HARDWARE").unwrap_or_default();
    let hardware = interface_named(editor, args, hardware)?.hardware.clone();
    *editor.mode = Mode::Interface(hardware);
    Ok(())
}

fn edited<'a>(editor: &'a mut Editor<'_>) -> Option<&'a mut Interface> {
    let Mode::Interface(hardware) = &*editor.mode else { return None };
    editor.config.interfaces.iter_mut().find(|of| of.hardware == *hardware)
}

fn nameif(editor: &mut Editor<'_>, args: &Args, _is_no: bool) -> Result<(), Refused> {
    let name = args.get("IFNAME").unwrap_or_default();
    if let Some(interface) = edited(editor) {
        let is_new = interface.name.is_empty();
        interface.name = name.into();
        if is_new {
            let level = if name == "inside" { 100 } else { 0 };
            interface.level = level;
            let note = format!("INFO: Security level for \"{name}\" set to {level} by default.");
            editor.notes.push(note);
        }
    }
    Ok(())
}

fn security_level(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(interface) = edited(editor) {
        interface.level = args.get("LEVEL").filter(|_| !is_no).and_then(number).unwrap_or_default();
    }
    Ok(())
}

fn timeouts(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let mut which = "";
    for (word, text) in args.iter() {
        let mut standard = Timeouts::default();
        if word != "TIME" {
            which = word;
        }
        let value = if word == "TIME" && !is_no {
            time(text)
        } else {
            timeout(&mut standard, which).copied()
        };
        // A word alone is the old value of `no`; its time follows.
        if (word == "TIME" || is_no)
            && let Some(value) = value
            && let Some(slot) = timeout(&mut editor.config.timeouts, which)
        {
            *slot = value;
        }
    }
    Ok(())
}

fn tcpmss(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let mss = args.get("MSS").filter(|_| !is_no).and_then(number);
    editor.config.mss_max = mss.and_then(|mss| u16::try_from(mss).ok());
    Ok(())
}

fn logging_enable(editor: &mut Editor<'_>, _args: &Args, is_no: bool) -> Result<(), Refused> {
    editor.config.logging.is_enabled = !is_no;
    Ok(())
}

fn logging_timestamp(editor: &mut Editor<'_>, _args: &Args, is_no: bool) -> Result<(), Refused> {
    editor.config.logging.timestamp = !is_no;
    Ok(())
}

fn logging_level(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let level = args.get("SEVERITY").filter(|_| !is_no).and_then(severity);
    let logging = &mut editor.config.logging;
    for (word, slot) in [
        ("console", &mut logging.console),
        ("monitor", &mut logging.monitor),
        ("buffered", &mut logging.buffered),
        ("trap", &mut logging.trap),
    ] {
        if args.has(word) {
            *slot = level;
        }
    }
    Ok(())
}

fn logging_facility(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let facility = args.get("FACILITY").filter(|_| !is_no).and_then(number);
    editor.config.logging.facility = facility.and_then(|f| u8::try_from(f).ok()).unwrap_or(20);
    Ok(())
}

fn logging_host(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let Some(address) = args.get("ADDRESS").and_then(|text| text.parse().ok()) else {
        return Ok(());
    };
    let (transport, port) =
        args.get("TRANSPORT").and_then(transport).unwrap_or((Transport::Udp, 514));
    let interface = args.get("IFNAME").unwrap_or_default().to_owned();
    let hosts = &mut editor.config.logging.hosts;
    let is_same = |host: &LogHost| {
        host.address == address
            && (!args.has("TRANSPORT") || (host.transport, host.port) == (transport, port))
    };
    if is_no {
        hosts.retain(|host| !is_same(host));
        return Ok(());
    }
    hosts.retain(|host| (host.address, host.transport, host.port) != (address, transport, port));
    if hosts.len() >= limits::LOG_HOSTS_MAX {
        return Err(Refused::at(
            args,
            "ADDRESS",
            format!("at most {} log hosts", limits::LOG_HOSTS_MAX),
        ));
    }
    hosts.push(LogHost { interface, address, transport, port });
    Ok(())
}

fn logging_message(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let Some(id) = args.get("MESSAGE").and_then(number) else { return Ok(()) };
    let level = args.get("SEVERITY").and_then(severity);
    let messages = &mut editor.config.logging.messages;
    messages.retain(|(of, _)| *of != id);
    if messages.len() >= limits::LOG_MESSAGES_MAX {
        return Err(Refused::at(args, "MESSAGE", "too many messages are set otherwise"));
    }
    match (is_no, level) {
        (false, Some(level)) => messages.push((id, Some(level))),
        (true, None) => messages.push((id, None)),
        // As it was.
        (false, None) | (true, Some(_)) => {}
    }
    messages.sort_unstable();
    Ok(())
}
