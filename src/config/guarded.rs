//! What is guarded, whichever lines say so.

use super::settings::{ClassMap, Config, Family, PolicyClass, PolicyMap, ServicePolicy, Traffic};
use crate::policy::TcpMap;

/// An inspection that a line asks for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// From the first to the last.
    pub(super) ports: (u16, u16),
    /// It is `inspect esmtp`, and its map.
    pub(super) esmtp: Option<Option<&'a str>>,
    pub(super) tcp: TcpMap,
}

impl Wanted<'_> {
    fn plain(ports: (u16, u16)) -> Self {
        Self { ports, esmtp: None, tcp: TcpMap::default() }
    }
}

impl Config {
    /// Ports that are guarded, whatever says so.
    pub(super) fn guarded_ports(&self) -> Vec<(u16, u16)> {
        let mut ports: Vec<_> = self.inspections().into_iter().map(|wanted| wanted.ports).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// `fixup protocol smtp` on an ASA: port 25 in the class of the default traffic, another port in a
    /// class of its own.
    pub(super) fn inspect_ports(&mut self, first: u16, last: u16) {
        let is_default = (first, last) == (25, 25);
        let name = match (is_default, first == last) {
            (true, _) => "inspection_default".to_owned(),
            (false, true) => format!("smtp_port_{first}"),
            (false, false) => format!("smtp_port_{first}_{last}"),
        };
        let traffic = if is_default { Traffic::Default } else { Traffic::Ports(first, last) };
        if !self.class_maps.iter().any(|class| class.name == name) {
            self.class_maps.push(ClassMap {
                name: name.clone(),
                description: None,
                traffic: Some(traffic),
            });
        }
        let global = self.service_policies.iter().find(|policy| policy.interface.is_none());
        let policy = global.map_or_else(|| "global_policy".to_owned(), |of| of.policy.clone());
        if global.is_none() {
            self.service_policies.push(ServicePolicy { policy: policy.clone(), interface: None });
        }
        if !self.policy_maps.iter().any(|map| map.name == policy) {
            self.policy_maps.push(PolicyMap {
                name: policy.clone(),
                description: None,
                classes: Vec::new(),
            });
        }
        let Some(map) = self.policy_maps.iter_mut().find(|map| map.name == policy) else { return };
        match map.classes.iter_mut().find(|class| class.class == name) {
            Some(class) => class.inspect = class.inspect.take().or(Some(None)),
            None => {
                map.classes.push(PolicyClass { class: name, inspect: Some(None), tcp_map: None })
            }
        }
    }

    /// `no fixup protocol smtp` on an ASA.
    pub(super) fn inspect_ports_no_more(&mut self, first: u16, last: u16) {
        let traffic =
            if (first, last) == (25, 25) { Traffic::Default } else { Traffic::Ports(first, last) };
        let names: Vec<_> = self
            .class_maps
            .iter()
            .filter(|class| class.traffic.as_ref() == Some(&traffic))
            .map(|class| class.name.clone())
            .collect();
        for map in &mut self.policy_maps {
            for class in map.classes.iter_mut().filter(|class| names.contains(&class.class)) {
                class.inspect = None;
            }
        }
    }

    /// What service policies, fixups and mailhosts say: ports, and the ESMTP map if there is one.
    pub(super) fn inspections(&self) -> Vec<Wanted<'_>> {
        let mut all = Vec::new();
        let family = self.family();
        if family.has_service_policies() || family == Family::Own {
            for service in &self.service_policies {
                let map = self.policy_maps.iter().find(|map| map.name == service.policy);
                for class in map.into_iter().flat_map(|map| &map.classes) {
                    let Some(inspect) = &class.inspect else { continue };
                    let of = self.class_maps.iter().find(|of| of.name == class.class);
                    let ports = match of.and_then(|class| class.traffic.as_ref()) {
                        Some(Traffic::Default) => (25, 25),
                        Some(Traffic::Any) => (1, u16::MAX),
                        Some(Traffic::Ports(first, last)) => (*first, *last),
                        None => continue,
                    };
                    let tcp_map =
                        self.tcp_maps.iter().find(|map| Some(&map.name) == class.tcp_map.as_ref());
                    all.push(Wanted {
                        ports,
                        esmtp: Some(inspect.as_deref()),
                        tcp: tcp_map.map_or_else(TcpMap::default, |map| map.map),
                    });
                }
            }
        }
        if matches!(family, Family::Fixup | Family::Own) {
            all.extend(self.fixups.iter().map(|ports| Wanted::plain(*ports)));
        }
        if matches!(family, Family::Mailhost | Family::Own) && !self.mailhosts.is_empty() {
            all.push(Wanted::plain((25, 25)));
        }
        all
    }
}
