//! What an engine keeps for the flow that needs it next, so that a packet costs no allocation and a flow
//! that waits holds nothing.

use crate::inspect::{ClientJudge, ServerJudge};
use crate::limits::SPARE_BUFFERS_MAX;
use crate::stream;

/// The judges of a connection, while a line, a reply or mail data is in hand.
#[derive(Debug, Default)]
pub(super) struct Judges {
    pub(super) client: ClientJudge,
    pub(super) server: ServerJudge,
}

impl Judges {
    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.client.memory()
    }

    /// Whether they know nothing that new ones do not.
    fn are_at_rest(&self) -> bool {
        self.client.is_at_rest() && self.server.is_at_rest()
    }
}

/// What flows have done with.
#[derive(Debug, Default)]
pub struct Spare {
    /// Buffers for octets.
    pub octets: stream::Spare,
    #[expect(clippy::vec_box, reason = "it is the boxes that are spared")]
    judges: Vec<Box<Judges>>,
}

impl Spare {
    /// There is no flow any more.
    pub fn rest(&mut self) {
        self.octets.rest();
    }

    /// The judges of a flow that has none.
    pub(super) fn judges(&mut self) -> Box<Judges> {
        self.judges.pop().unwrap_or_default()
    }

    /// Takes judges back, or returns them if their flow has to keep them.
    pub(super) fn put_judges(&mut self, mut judges: Box<Judges>) -> Option<Box<Judges>> {
        if !judges.are_at_rest() {
            return Some(judges);
        }
        if self.judges.len() < SPARE_BUFFERS_MAX {
            *judges = Judges::default();
            self.judges.push(judges);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Indifferent;
    use crate::limits::EDITS_MAX;
    use crate::policy::Personality;
    use crate::smtp::Session;
    use crate::stream::{Offset, OffsetMap, Store};

    /// The judges after the client has said it, behind a greeting.
    fn after(text: &str, spare: &mut Spare) -> Box<Judges> {
        let mut session = Session::default();
        session.answered(220).unwrap();
        let mut judges = spare.judges();
        let (mut map, mut store) = (OffsetMap::default(), Store::default());
        let mut octets = stream::Spare::default();
        let start = Offset::ZERO;
        let text = text.as_bytes();
        let mut writer =
            super::super::half::Writer::new(&mut map, &mut store, &mut octets, start, text);
        let personality = Personality::named("asa94").unwrap();
        let client = &mut judges.client;
        client
            .judge(text, false, &mut session, personality, &mut writer, &mut Indifferent)
            .unwrap();
        writer.finish(None);
        assert!(map.remembered() < EDITS_MAX);
        judges
    }

    /// Whether the judges go then.
    fn go(text: &str) -> bool {
        let mut spare = Spare::default();
        let judges = after(text, &mut spare);
        spare.put_judges(judges).is_none()
    }

    #[test]
    fn judges_count_with_what_they_hold() {
        let mut spare = Spare::default();
        assert_eq!(after("NOOP", &mut spare).memory(), size_of::<Judges>());
        let judges = after("MAIL FROM:<somebody", &mut spare);
        assert!(judges.client.memory() > 0);
        assert_eq!(judges.memory(), size_of::<Judges>() + judges.client.memory());
    }

    #[test]
    fn judges_stay_while_they_know_something() {
        assert!(go("") && go("NOOP\r\n") && go("HELO a\r\nRSET\r\n"));
        for text in ["N", "NOOP", "NOOP \r", "NOOP\r", "HELP a", "RCPT TO:<a@b>\r\n", "X"] {
            assert!(!go(text), "{text:?}");
        }
    }

    #[test]
    fn judges_are_kept_up_to_a_limit_and_lent_again() {
        let mut spare = Spare::default();
        for _ in 0..2 * SPARE_BUFFERS_MAX {
            assert!(spare.put_judges(Box::default()).is_none());
        }
        assert_eq!(spare.judges.len(), SPARE_BUFFERS_MAX);
        spare.judges();
        assert_eq!(spare.judges.len(), SPARE_BUFFERS_MAX - 1);
        let room = spare.octets.room();
        spare.octets.put(room);
        assert_eq!(spare.octets.rooms(), 1);
        spare.rest();
        assert_eq!(spare.octets.rooms(), 0);
    }
}
