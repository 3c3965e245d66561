//! The verb of a command line as it streams by, whatever becomes of the line.

use super::command::{is_blank, is_end};
use crate::smtp::{VERB_LEN_MAX, Verb};

/// The verb of a line, whatever becomes of the line.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Word {
    octets: [u8; VERB_LEN_MAX],
    len: usize,
    is_over: bool,
}

impl Word {
    /// One octet of the line. Whether the verb ends before it.
    pub(super) fn ends_before(&mut self, octet: u8) -> bool {
        if self.is_over {
            return false;
        }
        self.is_over = is_blank(octet) || is_end(octet);
        if !self.is_over {
            if let Some(slot) = self.octets.get_mut(self.len) {
                *slot = octet;
            }
            self.len = self.len.saturating_add(1);
        }
        self.is_over
    }

    /// The verb, if it is known by name.
    pub(super) fn verb(&self) -> Option<Verb> {
        self.octets.get(..self.len).and_then(Verb::named)
    }
}
