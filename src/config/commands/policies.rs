//! What is guarded: mailhost, fixup, class maps, policy maps, service policies.

use super::super::command::{ASA, Command, Editor, FIXUP, MAILHOST, Mode, No, Place, Refused};
use super::super::grammar::Args;
use super::super::settings::{ClassMap, Mailhost, PolicyClass, PolicyMap, ServicePolicy, Traffic};
use super::super::value::{number, port, ports};
use super::edit;
use crate::limits::{CLASSES_MAX, NAMES_MAX};

pub(super) const COMMANDS: &[Command] = &[
    edit(
        Place::Config,
        "mailhost [INTERFACES] ADDRESS ADDRESS [COUNT] [COUNT]",
        "guards the mail server: its outer address, and its inner one",
        MAILHOST,
        mailhost,
    ),
    edit(
        Place::Config,
        "fixup protocol smtp [PORTS]",
        "guards the ports, 25 if none is said",
        FIXUP,
        fixup,
    ),
    edit(Place::Config, "clear fixup", "guards port 25 alone", FIXUP, clear_fixup)
        .no(No::Never("no fixup protocol smtp does it")),
    edit(Place::Config, "class-map NAME", "edits a class of connections", ASA, class_map),
    edit(Place::ClassMap, "description TEXT", "what it is for", ASA, class_description)
        .no(No::Words("description [TEXT]")),
    edit(
        Place::ClassMap,
        "match {any | default-inspection-traffic | port tcp {eq PORT | range PORT PORT}}",
        "the connections of the class",
        ASA,
        class_match,
    ),
    edit(
        Place::Config,
        "policy-map NAME",
        "edits what is done with classes of connections",
        ASA,
        policy_map,
    ),
    edit(Place::PolicyMap, "description TEXT", "what it is for", ASA, policy_description)
        .no(No::Words("description [TEXT]")),
    edit(Place::PolicyMap, "class CLASS", "edits what is done with a class", ASA, policy_class),
    edit(
        Place::PolicyClass,
        "inspect esmtp [MAP]",
        "inspects its connections, by an ESMTP map",
        ASA,
        inspect,
    ),
    edit(
        Place::PolicyClass,
        "set connection advanced-options MAP",
        "what its connections may not agree on: a TCP map",
        ASA,
        advanced_options,
    ),
    edit(
        Place::Config,
        "service-policy MAP {global | interface IFNAME}",
        "puts a policy map into force",
        ASA,
        service_policy,
    ),
];

fn mailhost(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let mut addresses = args.all("ADDRESS").map(str::to_owned);
    let addresses = (addresses.next().unwrap_or_default(), addresses.next().unwrap_or_default());
    let all = &mut editor.config.mailhosts;
    all.retain(|host| host.addresses != addresses);
    if is_no {
        return Ok(());
    }
    if all.len() >= NAMES_MAX {
        return Err(Refused::at(args, "ADDRESS", "too many mail hosts"));
    }
    all.push(Mailhost {
        interfaces: args.get("INTERFACES").map(Into::into),
        addresses,
        limits: args.all("COUNT").filter_map(number).collect(),
    });
    Ok(())
}

fn fixup(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let written = args.get("PORTS").unwrap_or("25");
    let (first, last) = ports(written).unwrap_or((25, 25));
    let config = &mut *editor.config;
    if config.family().has_service_policies() {
        let no = if is_no { "no " } else { "" };
        editor
            .notes
            .push(format!("INFO: converting '{no}fixup protocol smtp {written} ' to MPF commands"));
        if is_no {
            config.inspect_ports_no_more(first, last);
        } else {
            config.inspect_ports(first, last);
        }
        return Ok(());
    }
    if is_no && !args.has("PORTS") {
        // Without a port everything is as it was delivered.
        config.fixups = vec![(25, 25)];
        return Ok(());
    }
    config.fixups.retain(|ports| *ports != (first, last));
    if is_no {
        return Ok(());
    }
    if config.fixups.len() >= NAMES_MAX {
        return Err(Refused::at(args, "PORTS", "too many ports"));
    }
    config.fixups.push((first, last));
    config.fixups.sort_unstable();
    Ok(())
}

fn clear_fixup(editor: &mut Editor<'_>, _args: &Args, _is_no: bool) -> Result<(), Refused> {
    let config = &mut *editor.config;
    if config.family().has_service_policies() {
        config.inspect_ports(25, 25);
    } else {
        config.fixups = vec![(25, 25)];
    }
    Ok(())
}

fn class_map(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let name = args.get("NAME").unwrap_or_default();
    let config = &mut *editor.config;
    if is_no {
        if config.policy_maps.iter().flat_map(|map| &map.classes).any(|of| of.class == name) {
            return Err(Refused::at(args, "NAME", format!("class-map {name} is in use")));
        }
        config.class_maps.retain(|class| class.name != name);
        return Ok(());
    }
    if config.regex_classes.iter().any(|class| class.name == name) {
        return Err(Refused::at(args, "NAME", format!("{name} is a class of expressions")));
    }
    if !config.class_maps.iter().any(|class| class.name == name) {
        if config.class_maps.len() >= NAMES_MAX {
            return Err(Refused::at(args, "NAME", "too many class maps"));
        }
        config.class_maps.push(ClassMap { name: name.into(), description: None, traffic: None });
    }
    *editor.mode = Mode::ClassMap(name.into());
    Ok(())
}

fn edited_class<'a>(editor: &'a mut Editor<'_>) -> Option<&'a mut ClassMap> {
    let Mode::ClassMap(name) = &*editor.mode else { return None };
    editor.config.class_maps.iter_mut().find(|class| class.name == *name)
}

fn class_description(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(class) = edited_class(editor) {
        class.description = args.get("TEXT").filter(|_| !is_no).map(Into::into);
    }
    Ok(())
}

fn class_match(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let mut ports = args.all("PORT").filter_map(port);
    let first = ports.next().unwrap_or_default();
    let last = ports.next().unwrap_or(first);
    if first > last {
        return Err(Refused::at(args, "PORT", "the first port is the lower one"));
    }
    let traffic = if args.has("any") {
        Traffic::Any
    } else if args.has("default-inspection-traffic") {
        Traffic::Default
    } else {
        Traffic::Ports(first, last)
    };
    let Some(class) = edited_class(editor) else { return Ok(()) };
    if is_no {
        class.traffic.take_if(|of| *of == traffic);
    } else if class.traffic.as_ref().is_some_and(|of| *of != traffic) {
        return Err(Refused {
            column: 0,
            why: "a class map has one match: take the other one away first".into(),
        });
    } else {
        class.traffic = Some(traffic);
    }
    Ok(())
}

fn policy_map(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let name = args.get("NAME").unwrap_or_default();
    let config = &mut *editor.config;
    if is_no {
        if config.service_policies.iter().any(|service| service.policy == name) {
            return Err(Refused::at(args, "NAME", format!("policy-map {name} is in use")));
        }
        config.policy_maps.retain(|map| map.name != name);
        return Ok(());
    }
    if !config.policy_maps.iter().any(|map| map.name == name) {
        if config.policy_maps.len() >= NAMES_MAX {
            return Err(Refused::at(args, "NAME", "too many policy maps"));
        }
        config.policy_maps.push(PolicyMap {
            name: name.into(),
            description: None,
            classes: Vec::new(),
        });
    }
    *editor.mode = Mode::PolicyMap(name.into());
    Ok(())
}

fn edited_policy<'a>(editor: &'a mut Editor<'_>) -> Option<&'a mut PolicyMap> {
    let (Mode::PolicyMap(name) | Mode::PolicyClass(name, _)) = &*editor.mode else { return None };
    editor.config.policy_maps.iter_mut().find(|map| map.name == *name)
}

fn policy_description(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    if let Some(map) = edited_policy(editor) {
        map.description = args.get("TEXT").filter(|_| !is_no).map(Into::into);
        *editor.mode = Mode::PolicyMap(map.name.clone());
    }
    Ok(())
}

fn policy_class(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let class = args.get("CLASS").unwrap_or_default();
    let is_known = editor.config.class_maps.iter().any(|of| of.name == class);
    let Some(map) = edited_policy(editor) else { return Ok(()) };
    if is_no {
        map.classes.retain(|of| of.class != class);
        *editor.mode = Mode::PolicyMap(map.name.clone());
        return Ok(());
    }
    if !is_known {
        return Err(Refused::at(args, "CLASS", format!("class-map {class} does not exist")));
    }
    if !map.classes.iter().any(|of| of.class == class) {
        if map.classes.len() >= CLASSES_MAX {
            return Err(Refused::at(args, "CLASS", "too many classes"));
        }
        map.classes.push(PolicyClass { class: class.into(), inspect: None, tcp_map: None });
    }
    *editor.mode = Mode::PolicyClass(map.name.clone(), class.into());
    Ok(())
}

fn inspect(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let map = args.get("MAP").map(str::to_owned);
    let is_known = map.as_ref().is_none_or(|name| {
        name == super::maps::DEFAULT_MAP
            || editor.config.esmtp_maps.iter().any(|of| of.name == *name)
    });
    let Mode::PolicyClass(_, class) = editor.mode.clone() else { return Ok(()) };
    let Some(policy) = edited_policy(editor) else { return Ok(()) };
    let Some(class) = policy.classes.iter_mut().find(|of| of.class == class) else { return Ok(()) };
    if is_no {
        class.inspect = None;
    } else if is_known {
        class.inspect = Some(map.filter(|name| name != super::maps::DEFAULT_MAP));
    } else {
        let name = map.unwrap_or_default();
        let why = format!("policy-map type inspect esmtp {name} does not exist");
        return Err(Refused::at(args, "MAP", why));
    }
    Ok(())
}

fn advanced_options(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let map = args.get("MAP").unwrap_or_default().to_owned();
    if !is_no && !editor.config.tcp_maps.iter().any(|of| of.name == map) {
        return Err(Refused::at(args, "MAP", format!("tcp-map {map} does not exist")));
    }
    let Mode::PolicyClass(_, class) = editor.mode.clone() else { return Ok(()) };
    let Some(policy) = edited_policy(editor) else { return Ok(()) };
    if let Some(class) = policy.classes.iter_mut().find(|of| of.class == class) {
        class.tcp_map = (!is_no).then_some(map);
    }
    Ok(())
}

fn service_policy(editor: &mut Editor<'_>, args: &Args, is_no: bool) -> Result<(), Refused> {
    let policy = args.get("MAP").unwrap_or_default().to_owned();
    let interface = args.get("IFNAME").map(str::to_owned);
    let config = &mut *editor.config;
    if is_no {
        config.service_policies.retain(|of| (&of.policy, &of.interface) != (&policy, &interface));
        return Ok(());
    }
    if !config.policy_maps.iter().any(|map| map.name == policy) {
        let why = format!("policy-map {policy} does not exist");
        return Err(Refused::at(args, "MAP", why));
    }
    if let Some(name) = &interface
        && !config.interfaces.iter().any(|of| of.name == *name)
    {
        return Err(Refused::at(args, "IFNAME", format!("interface {name} does not exist")));
    }
    if let Some(other) = config.service_policies.iter().find(|of| of.interface == interface) {
        if other.policy == policy {
            return Ok(());
        }
        let why = format!("{} is in force there: take it away first", other.policy);
        return Err(Refused::at(args, "MAP", why));
    }
    config.service_policies.push(ServicePolicy { policy, interface });
    Ok(())
}
