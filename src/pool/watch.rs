//! Says which limits were reached, and how often, at most once a second each.

use crate::counters::{Counters, DropReason, Event};
use crate::limits::LIMIT_LOG_PAUSE;
use crate::time::Instant;

/// A limit that was reached: its name, how often since it was said last, and what it means.
pub(super) type Reached = (&'static str, u64, &'static str);

/// What was said of the limits, and when.
#[derive(Debug, Default)]
pub(super) struct LimitWatch {
    said: Counters,
    /// How often any limit was reached then.
    seen: u64,
    pause_ends: Instant,
}

impl LimitWatch {
    /// Whether any limit was reached since they were told last, by how often any was in all: cheap enough for every round.
    pub(super) fn has_news(&self, reached: u64) -> bool {
        reached != self.seen
    }

    /// Limits that were reached since they were told last. Nothing within the pause: what is reached
    /// meanwhile is told behind it.
    pub(super) fn look(&mut self, now: Instant, counters: &Counters) -> Vec<Reached> {
        if now < self.pause_ends {
            return Vec::new();
        }
        let told: Vec<_> = self.untold(counters).collect();
        if !told.is_empty() {
            self.said = counters.clone();
            self.seen = counters.limits_reached();
            self.pause_ends = now + LIMIT_LOG_PAUSE;
        }
        told
    }

    /// When there will be something to tell, if nothing more happens.
    pub(super) fn next_look(&self, counters: &Counters) -> Option<Instant> {
        self.untold(counters).next().map(|_| self.pause_ends)
    }

    fn untold(&self, counters: &Counters) -> impl Iterator<Item = Reached> {
        let drops = DropReason::ALL.iter().filter(|reason| reason.is_limit()).map(|&reason| {
            let more = counters.drops(reason).saturating_sub(self.said.drops(reason));
            (reason.label(), more, reason.meaning())
        });
        let events = Event::ALL.iter().filter(|event| event.is_limit()).map(|&event| {
            let more = counters.events(event).saturating_sub(self.said.events(event));
            (event.label(), more, event.meaning())
        });
        drops.chain(events).filter(|(_, more, _)| *more > 0).collect::<Vec<_>>().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_told_once_a_second_with_how_often() {
        let (mut watch, mut counters) = (LimitWatch::default(), Counters::default());
        let at = Instant::from_millis;
        let names = |told: Vec<Reached>| -> Vec<_> {
            told.into_iter().map(|(name, count, _)| (name, count)).collect()
        };
        counters.dropped(DropReason::BadChecksum);
        assert!(watch.look(at(0), &counters).is_empty(), "no limit");
        assert_eq!(watch.next_look(&counters), None);
        assert!(!watch.has_news(counters.limits_reached()));
        counters.dropped(DropReason::MemoryFull);
        assert!(watch.has_news(counters.limits_reached()));
        assert_eq!(names(watch.look(at(5), &counters)), [("memory-full", 1)]);
        assert!(!watch.has_news(counters.limits_reached()));
        for _ in 0..3 {
            counters.dropped(DropReason::MemoryFull);
            counters.happened(Event::FlowPanic);
            assert!(watch.look(at(900), &counters).is_empty(), "it was told a moment ago");
        }
        // What came within the pause is not lost: somebody must look when it has passed.
        assert_eq!(watch.next_look(&counters), Some(at(1005)));
        let told = names(watch.look(at(1005), &counters));
        assert_eq!(told, [("memory-full", 3), ("flow-panics", 3)]);
        assert_eq!(watch.next_look(&counters), None);
        assert!(watch.look(at(9000), &counters).is_empty(), "nothing new");
    }
}
