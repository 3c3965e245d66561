//! ESMTP maps (`policy-map type inspect esmtp`), and the expressions that they use.

use std::sync::Arc;

use super::super::command::{Command, Editor, MAPS, Mode, No, Place, Refused};
use super::super::grammar::Args;
use super::super::settings::{
    EsmtpMap, MatchClass, MatchLine, ParameterAction, RegexClass, RegexName,
};
use super::super::value::number;
use super::edit;
use crate::limits::{CLASSES_MAX, NAMES_MAX};
use crate::policy::{
    Action, Match, Matched, MimeEncoding, MimeEncodings, OTHERS, PARAMETERS, RateLimit, Regex,
};
use crate::smtp::{KeywordSet, Verb, VerbSet};

/// The map that is in force where no other one is named; it is not edited.
pub(super) const DEFAULT_MAP: &str = "_default_esmtp_map";

pub(super) const COMMANDS: &[Command] = &[
    edit(Place::Config, "regex NAME REGEX", "names a regular expression", MAPS, regex)
        .no(No::Words("regex NAME [REGEX]")),
    edit(
        Place::Config,
        "class-map type regex match-any NAME",
        "edits a class of expressions",
        MAPS,
        regex_class,
    ),
    edit(Place::RegexClass, "match regex NAME", "one of them", MAPS, regex_member),
    edit(
        Place::Config,
        "policy-map type inspect esmtp NAME",
        "edits an ESMTP map",
        MAPS,
        esmtp_map,
    ),
    edit(Place::EsmtpMap, "description TEXT", "what it is for", MAPS, description)
        .no(No::Words("description [TEXT]")),
    edit(
        Place::EsmtpMap,
        "match [not] {cmd {line length gt OCTETS | rcpt count gt COUNT | verb VERB...} \
         | ehlo-reply-parameter PARAMETER... \
         | sender-address {length gt OCTETS | regex {class CLASS | NAME}} \
         | header {length gt OCTETS | line length gt OCTETS | to-fields count gt COUNT} \
         | body {length gt OCTETS | line length gt OCTETS} \
         | invalid-recipients count gt COUNT \
         | mime {encoding ENCODING... | filename length gt OCTETS | filetype regex {class CLASS | NAME}}}",
        "what a class matches; its action follows",
        MAPS,
        matches,
    ),
    edit(Place::EsmtpMap, "parameters", "edits what holds for all", MAPS, parameters),
    edit(
        Place::EsmtpMatch,
        "{drop-connection | mask | reset} [log]",
        "what is done when it matches",
        MAPS,
        action,
    ),
    edit(Place::EsmtpMatch, "log", "nothing but a message", MAPS, action),
    edit(Place::EsmtpMatch, "rate-limit RATE", "what is too much waits", MAPS, action),
    edit(Place::EsmtpParameters, "mask-banner", "masks the greeting", MAPS, mask_banner),
    edit(
        Place::EsmtpParameters,
        "allow-tls [action log]",
        "lets STARTTLS pass; nothing is inspected then",
        MAPS,
        allow_tls,
    ),
    edit(
        Place::EsmtpParameters,
        "mail-relay DOMAIN action {drop-connection [log] | log}",
        "mail that is neither from the domain nor for it",
        MAPS,
        mail_relay,
    )
    .no(No::Words("mail-relay [DOMAIN] [action {drop-connection [log] | log}]")),
    edit(
        Place::EsmtpParameters,
        "special-character action {drop-connection [log] | log}",
        "a pipe, a back quote or NUL in an address",
        MAPS,
        special_character,
    )
    .no(No::Words("special-character [action {drop-connection [log] | log}]")),
];

fn regex(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let name = args.get("NAME").unwrap_or_default();
    let config = &mut *editor.config;
    if is_no {
        let one = RegexName::One(name.to_owned());
        let members = config.regex_classes.iter().flat_map(|class| &class.members);
        if members.clone().any(|of| of == name) || uses(&config.esmtp_maps, &one) {
            return Err(Refused::at(args, "NAME", format!("regex {name} is in use")));
        }
        config.regexes.retain(|(of, _)| of != name);
        return Ok(());
    }
    let text = args.get("REGEX").unwrap_or_default();
    Regex::new(name, text).map_err(|error| Refused::at(args, "REGEX", error.to_string()))?;
    let all = &mut config.regexes;
    let at = all.iter().position(|(of, _)| of == name);
    if at.is_none() && all.len() >= NAMES_MAX {
        return Err(Refused::at(args, "NAME", "too many expressions"));
    }
    match at.and_then(|at| all.get_mut(at)) {
        Some((_, old)) => *old = text.into(),
        None => all.push((name.into(), text.into())),
    }
    Ok(())
}

fn uses(maps: &[EsmtpMap], name: &RegexName) -> bool {
    maps.iter().flat_map(|map| &map.classes).any(|class| match &class.matches {
        MatchLine::Sender(of) | MatchLine::Filetype(of) => of == name,
        MatchLine::Plain(_) => false,
    })
}

fn regex_class(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let name = args.get("NAME").unwrap_or_default();
    let config = &mut *editor.config;
    if is_no {
        if uses(&config.esmtp_maps, &RegexName::Class(name.into())) {
            return Err(Refused::at(args, "NAME", format!("class-map {name} is in use")));
        }
        config.regex_classes.retain(|class| class.name != name);
        return Ok(());
    }
    if config.class_maps.iter().any(|class| class.name == name) {
        return Err(Refused::at(args, "NAME", format!("{name} is a class of connections")));
    }
    if !config.regex_classes.iter().any(|class| class.name == name) {
        if config.regex_classes.len() >= NAMES_MAX {
            return Err(Refused::at(args, "NAME", "too many classes"));
        }
        config.regex_classes.push(RegexClass { name: name.into(), members: Vec::new() });
    }
    *editor.mode = Mode::RegexClass(name.into());
    Ok(())
}

fn regex_member(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let name = args.get("NAME").unwrap_or_default();
    let Mode::RegexClass(class) = &*editor.mode else { return Ok(()) };
    let is_known = editor.config.regexes.iter().any(|(of, _)| of == name);
    let classes = &mut editor.config.regex_classes;
    let Some(class) = classes.iter_mut().find(|of| of.name == *class) else { return Ok(()) };
    if !is_no && !is_known {
        return Err(Refused::at(args, "NAME", format!("regex {name} does not exist")));
    }
    class.members.retain(|of| of != name);
    if !is_no {
        if class.members.len() >= CLASSES_MAX {
            return Err(Refused::at(args, "NAME", "too many expressions"));
        }
        class.members.push(name.into());
    }
    Ok(())
}

fn esmtp_map(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let name = args.get("NAME").unwrap_or_default();
    let config = &mut *editor.config;
    if is_no {
        let mut inspects = config.policy_maps.iter().flat_map(|map| &map.classes);
        if inspects
            .any(|class| class.inspect.as_ref().is_some_and(|of| of.as_deref() == Some(name)))
        {
            return Err(Refused::at(args, "NAME", format!("policy-map {name} is in use")));
        }
        config.esmtp_maps.retain(|map| map.name != name);
        return Ok(());
    }
    if name == DEFAULT_MAP {
        return Err(Refused::at(
            args,
            "NAME",
            format!("{name} cannot be changed: copy what it says"),
        ));
    }
    if !config.esmtp_maps.iter().any(|map| map.name == name) {
        if config.esmtp_maps.len() >= NAMES_MAX {
            return Err(Refused::at(args, "NAME", "too many maps"));
        }
        config.esmtp_maps.push(EsmtpMap { name: name.into(), ..EsmtpMap::default() });
    }
    *editor.mode = Mode::EsmtpMap(name.into());
    Ok(())
}

fn edited<'a>(editor: &'a mut Editor<'_>) -> Option<&'a mut EsmtpMap> {
    let (Mode::EsmtpMap(name) | Mode::EsmtpMatch(name, _) | Mode::EsmtpParameters(name)) =
        &*editor.mode
    else {
        return None;
    };
    editor.config.esmtp_maps.iter_mut().find(|map| map.name == *name)
}

fn description(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(map) = edited(editor) {
        map.description = args.get("TEXT").filter(|_| !is_no).map(Into::into);
        *editor.mode = Mode::EsmtpMap(map.name.clone());
    }
    Ok(())
}

/// What the words of a `match` mean.
fn match_line(editor: &Editor<'_>, args: &Args) -> Result<MatchLine, Refused> {
    let most =
        args.get("OCTETS").or_else(|| args.get("COUNT")).and_then(number).unwrap_or_default();
    let has = |word| args.has(word);
    if has("regex") {
        let config = &editor.config;
        let (name, is_known) = match (args.get("CLASS"), args.get("NAME")) {
            (Some(class), _) => (
                RegexName::Class(class.into()),
                config.regex_classes.iter().any(|of| of.name == class && !of.members.is_empty()),
            ),
            (None, name) => {
                let name = name.unwrap_or_default();
                (RegexName::One(name.into()), config.regexes.iter().any(|(of, _)| of == name))
            }
        };
        let kind = if has("CLASS") { "CLASS" } else { "NAME" };
        if !is_known {
            return Err(Refused::at(
                args,
                kind,
                "there is no such expression, or nothing in the class",
            ));
        }
        config.regex(&name).map_err(|error| Refused::at(args, kind, error.to_string()))?;
        return Ok(if has("sender-address") {
            MatchLine::Sender(name)
        } else {
            MatchLine::Filetype(name)
        });
    }
    let plain = if has("verb") {
        let verbs: Vec<_> =
            args.all("VERB").filter_map(|verb| Verb::named(verb.as_bytes())).collect();
        Match::CmdVerb(VerbSet::of(&verbs))
    } else if has("ehlo-reply-parameter") {
        Match::EhloReplyParameter(parameters_of(args))
    } else if has("encoding") {
        let encodings: Vec<_> =
            args.all("ENCODING").map(|word| MimeEncoding::named(word.as_bytes())).collect();
        Match::MimeEncoding(MimeEncodings::of(&encodings))
    } else if has("filename") {
        Match::MimeFilenameLength(most)
    } else if has("invalid-recipients") {
        Match::InvalidRecipientsCount(most)
    } else if has("to-fields") {
        Match::HeaderToFieldsCount(most)
    } else if has("rcpt") {
        Match::CmdRcptCount(most)
    } else {
        match (has("cmd"), has("header"), has("body"), has("line")) {
            (true, ..) => Match::CmdLineLength(most),
            (_, true, _, true) => Match::HeaderLineLength(most),
            (_, true, _, false) => Match::HeaderLength(most),
            (_, _, true, true) => Match::BodyLineLength(most),
            (_, _, true, false) => Match::BodyLength(most),
            (false, false, false, _) => Match::SenderAddressLength(most),
        }
    };
    Ok(MatchLine::Plain(plain))
}

fn parameters_of(args: &Args) -> KeywordSet {
    let is_others = |word: &str| word.eq_ignore_ascii_case("others");
    let start = if args.all("PARAMETER").any(is_others) { OTHERS } else { KeywordSet::of(&[]) };
    args.all("PARAMETER").fold(start, |set, word| {
        let found = PARAMETERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map_or(set, |(_, keyword)| set.and(*keyword))
    })
}

fn matches(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let matches = match_line(editor, args)?;
    let is_negated = args.has("not");
    let Some(map) = edited(editor) else { return Ok(()) };
    let found =
        map.classes.iter().position(|of| of.matches == matches && of.is_negated == is_negated);
    let name = map.name.clone();
    if is_no {
        if let Some(at) = found {
            map.classes.remove(at);
        }
        *editor.mode = Mode::EsmtpMap(name);
        return Ok(());
    }
    let at = match found {
        Some(at) => at,
        None if map.classes.len() >= CLASSES_MAX => {
            return Err(Refused {
                column: 0,
                why: format!("a map has at most {CLASSES_MAX} classes"),
            });
        }
        None => {
            let matched = Matched::counted();
            map.classes.push(MatchClass { is_negated, matches, action: None, matched });
            map.classes.len() - 1
        }
    };
    *editor.mode = Mode::EsmtpMatch(name, at);
    Ok(())
}

fn action(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let Mode::EsmtpMatch(_, at) = *editor.mode else { return Ok(()) };
    let Some(class) = edited(editor).and_then(|map| map.classes.get_mut(at)) else { return Ok(()) };
    if is_no {
        class.action = None;
        return Ok(());
    }
    let is_maskable =
        matches!(class.matches, MatchLine::Plain(Match::CmdVerb(_) | Match::EhloReplyParameter(_)));
    let action = if args.has("drop-connection") {
        Action::DropConnection
    } else if args.has("mask") && !is_maskable {
        let why = "mask is for cmd verb and ehlo-reply-parameter only";
        return Err(Refused { column: args.column("mask"), why: why.into() });
    } else if args.has("mask") {
        Action::Mask
    } else if args.has("reset") {
        Action::Reset
    } else if let Some(rate) = args.get("RATE").and_then(number) {
        Action::RateLimit(Arc::new(RateLimit::new(rate)))
    } else {
        Action::Log
    };
    let logs = args.has("log");
    class.action = Some((action, logs));
    Ok(())
}

fn parameters(editor: &mut Editor<'_>, _args: &Args, is_no: bool) -> Result<(), Refused> {
    let Some(map) = edited(editor) else { return Ok(()) };
    let name = map.name.clone();
    if is_no {
        map.masks_banner = false;
        (map.allows_tls, map.mail_relay, map.special_character) = (None, None, None);
        *editor.mode = Mode::EsmtpMap(name);
    } else {
        *editor.mode = Mode::EsmtpParameters(name);
    }
    Ok(())
}

fn mask_banner(editor: &mut Editor<'_>, _args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(map) = edited(editor) {
        map.masks_banner = !is_no;
    }
    Ok(())
}

fn allow_tls(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(map) = edited(editor) {
        map.allows_tls = (!is_no).then(|| args.has("log"));
    }
    Ok(())
}

fn parameter_action(args: &Args) -> ParameterAction {
    ParameterAction { drops: args.has("drop-connection"), logs: args.has("log") }
}

fn mail_relay(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(map) = edited(editor) {
        let domain = args.get("DOMAIN").unwrap_or_default().to_owned();
        map.mail_relay = (!is_no).then(|| (domain, parameter_action(args)));
    }
    Ok(())
}

fn special_character(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(map) = edited(editor) {
        map.special_character = (!is_no).then(|| parameter_action(args));
    }
    Ok(())
}
