//! What leaves for one octet of a command.

/// What leaves for one octet: a line end, the rest of NOOP and one octet more at most.
#[derive(Default)]
pub(super) struct Traded {
    pub(super) octets: [u8; 8],
    pub(super) len: usize,
}

impl Traded {
    pub(super) fn put(&mut self, octets: &[u8]) {
        if let Some(room) = self.octets.get_mut(self.len..self.len + octets.len()) {
            room.copy_from_slice(octets);
            self.len += octets.len();
        }
    }
}
