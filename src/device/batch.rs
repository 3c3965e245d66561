//! Small packets that leave together: nobody whom the first wakes takes the processor before the last has left.

use std::ops::Range;

use crate::limits::WAITING_PACKETS_MAX;

/// Packets that wait to be written, one behind the other, with what stands in front of each.
#[derive(Debug, Default)]
pub(super) struct Batch {
    octets: Vec<u8>,
    spans: Vec<Range<usize>>,
}

impl Batch {
    /// Takes one packet, in `parts`.
    pub(super) fn push(&mut self, parts: &[&[u8]]) {
        let start = self.octets.len();
        for part in parts {
            self.octets.extend_from_slice(part);
        }
        self.spans.push(start..self.octets.len());
    }

    /// Whether as much waits as may.
    pub(super) fn is_full(&self) -> bool {
        self.spans.len() >= WAITING_PACKETS_MAX
    }

    /// The octets of all packets.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Where each packet lies in [`Batch::octets`].
    pub(super) fn spans(&self) -> &[Range<usize>] {
        &self.spans
    }

    /// The packets.
    pub(super) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|span| &self.octets[span.clone()])
    }

    /// All have left. The memory stays for the next.
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.spans.clear();
    }
}
