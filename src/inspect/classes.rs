//! The classes of a policy map at work: what has matched, and what comes of it.

use core::ops::Range;

use super::{Fault, Notice, Observer};
use crate::policy::{Action, Class, Match, Regex, Search};

/// Why a judge does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// A rate limit does not admit it yet.
    Wait,
    /// Never.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Holds something that grows over `values` against the classes for which `most` says how much of it is allowed. The
/// error says after how many of the values it stops.
pub(super) fn weigh(
    map: &[Class],
    values: Range<u64>,
    most: impl Fn(&Match) -> Option<u32>,
    observer: &mut impl Observer,
) -> Result<(), (usize, Stop)> {
    let mut last = None;
    loop {
        // In the order in which they match; nearly always there is none.
        let matching = map.iter().enumerate().filter_map(|(at, class)| {
            let most = most(&class.matches).filter(|_| !class.is_negated).map(u64::from)?;
            values.contains(&most).then(|| ((most - values.start) as usize, at))
        });
        let next = matching.filter(|found| last.is_none_or(|last| *found > last)).min();
        let Some((after, at)) = next else { return Ok(()) };
        if let Some(class) = map.get(at) {
            admit(class, at, observer).map_err(|stop| (after, stop))?;
            take(class, at, observer).map_err(|fault| (after, fault.into()))?;
        }
        last = next;
    }
}

/// After how many of the values, one at least, a class matches next.
pub(super) fn next_match(
    map: &[Class],
    values: Range<u64>,
    most: impl Fn(&Match) -> Option<u32>,
) -> Option<usize> {
    let matching = map.iter().filter_map(|class| {
        let most = most(&class.matches).filter(|_| !class.is_negated).map(u64::from)?;
        (values.contains(&most) && most > values.start).then(|| (most - values.start) as usize)
    });
    matching.min()
}

/// Holds something that has ended with that value against the classes that match what is small (`not ... gt`).
pub(super) fn settle(
    map: &[Class],
    value: u64,
    most: impl Fn(&Match) -> Option<u32>,
    observer: &mut impl Observer,
) -> Result<(), Stop> {
    let is_small = |class: &Class| {
        class.is_negated && most(&class.matches).is_some_and(|most| value <= u64::from(most))
    };
    take_all(map, is_small, observer)
}

/// Does what the classes say for which `holds` has an answer that is theirs.
pub(super) fn act(
    map: &[Class],
    holds: impl Fn(&Class) -> Option<bool>,
    observer: &mut impl Observer,
) -> Result<(), Stop> {
    let matches = |class: &Class| holds(class).is_some_and(|holds| holds != class.is_negated);
    take_all(map, matches, observer)
}

/// The actions of all classes that match at once.
fn take_all(
    map: &[Class],
    matches: impl Fn(&Class) -> bool,
    observer: &mut impl Observer,
) -> Result<(), Stop> {
    // What waits is judged again: until nothing waits any more, nothing counts.
    for (at, class) in map.iter().enumerate() {
        if matches!(class.action, Action::RateLimit(_)) && matches(class) {
            let before = map.get(..at).unwrap_or_default();
            if before.iter().any(|class| class.action.ends() && matches(class)) {
                break;
            }
            admit(class, at, observer)?;
        }
    }
    for (at, class) in map.iter().enumerate() {
        if matches(class) {
            take(class, at, observer)?;
        }
    }
    Ok(())
}

/// Whether a class that has matched lets it go on now.
fn admit(class: &Class, at: usize, observer: &mut impl Observer) -> Result<(), Stop> {
    let Action::RateLimit(limit) = &class.action else { return Ok(()) };
    if observer.admits(limit) {
        return Ok(());
    }
    observer.notice(Notice::RateLimited(at as u8 + 1));
    Err(Stop::Wait)
}

/// The action of a class that has matched; it counts whatever that is.
fn take(class: &Class, at: usize, observer: &mut impl Observer) -> Result<(), Fault> {
    observer.matched(class);
    let number = at as u8 + 1;
    if class.action.ends() {
        let drops = class.action == Action::DropConnection;
        return Err(Fault::ClassMatched { number, drops });
    }
    if class.logs {
        observer.notice(Notice::ClassMatched(number));
    }
    Ok(())
}

/// One search for each class of the map that has an expression of a kind.
#[derive(Debug, Default, Clone)]
pub(super) struct Searches(Vec<Search>);

impl Searches {
    /// They begin.
    pub(super) fn begin(map: &[Class], kind: fn(&Match) -> Option<&Regex>) -> Self {
        Self(regexes(map, kind).map(|(_, regex)| regex.search()).collect())
    }

    /// One octet more.
    pub(super) fn step(&mut self, map: &[Class], kind: fn(&Match) -> Option<&Regex>, octet: u8) {
        for (search, (_, regex)) in self.0.iter_mut().zip(regexes(map, kind)) {
            *search = regex.step(*search, octet);
        }
    }

    /// Whether the expression of a class has been found, now that all has been seen.
    pub(super) fn found(
        &self,
        map: &[Class],
        kind: fn(&Match) -> Option<&Regex>,
        class: &Class,
    ) -> Option<bool> {
        let mut all = self.0.iter().zip(regexes(map, kind));
        let (search, (_, regex)) = all.find(|(_, (of, _))| core::ptr::eq(*of, class))?;
        Some(regex.matches(*search))
    }

    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Search>()
    }
}

fn regexes(
    map: &[Class],
    kind: fn(&Match) -> Option<&Regex>,
) -> impl Iterator<Item = (&Class, &Regex)> {
    map.iter().filter_map(move |class| Some((class, kind(&class.matches)?)))
}
