//! `tcp-map`. Most of what the device lets one choose is settled here: the words for what is always done are taken, the
//! others are refused, so that no line is believed that does nothing.

use super::super::command::{ASA, Command, Editor, Mode, No, Place, Refused};
use super::super::grammar::Args;
use super::super::tcp::NamedTcpMap;
use super::edit;
use crate::limits::NAMES_MAX;
use crate::policy::TcpMap;

const ALWAYS: No = No::Never("it is always so");

pub(super) const COMMANDS: &[Command] = &[
    edit(Place::Config, "tcp-map NAME", "edits what connections may agree on", ASA, tcp_map),
    edit(
        Place::TcpMap,
        "tcp-options {selective-ack | timestamp | window-scale} {allow | clear}",
        "whether the SYN of a client goes on to offer it",
        ASA,
        tcp_options,
    )
    .no(No::Words("tcp-options {selective-ack | timestamp | window-scale} [allow | clear]")),
    edit(
        Place::TcpMap,
        "check-retransmission",
        "what is repeated must be the same: always",
        ASA,
        settled,
    )
    .no(ALWAYS),
    edit(Place::TcpMap, "checksum-verification", "checksums must be right: always", ASA, settled)
        .no(ALWAYS),
    edit(Place::TcpMap, "exceed-mss {allow | drop}", "segments above the MSS: allow", ASA, settled)
        .no(ALWAYS),
    edit(
        Place::TcpMap,
        "invalid-ack {allow | drop}",
        "what acknowledges what was not sent: drop",
        ASA,
        settled,
    )
    .no(ALWAYS),
    edit(
        Place::TcpMap,
        "reserved-bits {allow | clear | drop}",
        "reserved bits: clear",
        ASA,
        settled,
    )
    .no(ALWAYS),
    edit(
        Place::TcpMap,
        "seq-past-window {allow | drop}",
        "octets outside of the window: drop",
        ASA,
        settled,
    )
    .no(ALWAYS),
    edit(Place::TcpMap, "ttl-evasion-protection", "a TTL does not go down: always", ASA, settled)
        .no(ALWAYS),
    edit(Place::TcpMap, "urgent-flag {allow | clear}", "the urgent pointer: clear", ASA, settled)
        .no(ALWAYS),
];

fn tcp_map(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let name = args.get("NAME").unwrap_or_default();
    let config = &mut *editor.config;
    if is_no {
        let mut classes = config.policy_maps.iter().flat_map(|map| &map.classes);
        if classes.any(|class| class.tcp_map.as_deref() == Some(name)) {
            return Err(Refused::at(args, "NAME", format!("tcp-map {name} is in use")));
        }
        config.tcp_maps.retain(|map| map.name != name);
        return Ok(());
    }
    if !config.tcp_maps.iter().any(|map| map.name == name) {
        if config.tcp_maps.len() >= NAMES_MAX {
            return Err(Refused::at(args, "NAME", "too many TCP maps"));
        }
        config.tcp_maps.push(NamedTcpMap { name: name.into(), map: TcpMap::default() });
    }
    *editor.mode = Mode::TcpMap(name.into());
    Ok(())
}

fn tcp_options(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let Mode::TcpMap(name) = &*editor.mode else { return Ok(()) };
    let Some(of) = editor.config.tcp_maps.iter_mut().find(|map| map.name == *name) else {
        return Ok(());
    };
    let clears = args.has("clear") && !is_no;
    for (word, slot) in [
        ("selective-ack", &mut of.map.clears_sack),
        ("timestamp", &mut of.map.clears_timestamps),
        ("window-scale", &mut of.map.clears_window_scale),
    ] {
        if args.has(word) {
            *slot = clears;
        }
    }
    Ok(())
}

/// What is always done may be said; the rest may not.
fn settled(_editor: &mut Editor<'_>, args: &Args, _is_no: bool) -> Result<(), Refused> {
    let never: &[(&str, &[&str])] = &[
        ("exceed-mss", &["drop"]),
        ("invalid-ack", &["allow"]),
        ("reserved-bits", &["allow", "drop"]),
        ("seq-past-window", &["allow"]),
        ("urgent-flag", &["allow"]),
    ];
    for (command, words) in never {
        if let Some(word) = words.iter().find(|word| args.has(command) && args.has(word)) {
            let why = format!("mailguard has no {command} {word}");
            return Err(Refused { column: args.column(word), why });
        }
    }
    Ok(())
}
