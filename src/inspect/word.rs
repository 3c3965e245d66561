//! The verb of a command line as it streams by, whatever becomes of the line.

use super::command::{is_blank, is_end};
use crate::smtp::{VERB_LEN_MAX, Verb};

/// The verb of a line, whatever becomes of the line.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Word {
    octets: [u8; VERB_LEN_MAX],
    len: u8,
    is_over: bool,
}

impl Word {
    /// One whose octets have all come, and no more of the line.
    pub(super) fn of(name: &[u8]) -> Self {
        let mut word = Self::default();
        for octet in name {
            word.ends_before(*octet);
        }
        word
    }

    /// One octet of the line. Whether the verb ends before it.
    pub(super) fn ends_before(&mut self, octet: u8) -> bool {
        if self.is_over {
            return false;
        }
        self.is_over = is_blank(octet) || is_end(octet);
        if !self.is_over {
            if let Some(slot) = self.octets.get_mut(usize::from(self.len)) {
                *slot = octet;
            }
            self.len = self.len.saturating_add(1);
        }
        self.is_over
    }

    /// Whether anything of the line has come.
    pub(super) fn has_begun(&self) -> bool {
        self.len > 0 || self.is_over
    }

    /// Whether the verb is behind.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The verb, if it is known by name.
    pub(super) fn verb(&self) -> Option<Verb> {
        self.octets.get(..usize::from(self.len)).and_then(Verb::named)
    }
}
