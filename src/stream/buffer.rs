//! Memory that one packet comes in, and that a store may go on to hold.

use core::ops::Deref;
use std::sync::Arc;

use crate::limits::PACKET_OCTETS_MAX;

/// Octets that all who hold them read, and that only who holds them alone can write. A big segment
/// of mail data is not copied: what came in is what is sent, and what is repeated.
#[derive(Debug, Default, Clone)]
pub struct Buffer(Arc<[u8]>);

impl Buffer {
    /// Memory for so many octets.
    pub fn new(len: usize) -> Self {
        Self(core::iter::repeat_n(0, len).collect())
    }

    /// Room for any packet.
    pub fn room() -> Self {
        Self::new(PACKET_OCTETS_MAX)
    }

    /// The octets to write to, unless somebody else holds them.
    pub fn get_mut(&mut self) -> Option<&mut [u8]> {
        Arc::get_mut(&mut self.0)
    }

    /// Whether nobody else holds it.
    pub fn is_free(&mut self) -> bool {
        self.get_mut().is_some()
    }
}

impl From<&[u8]> for Buffer {
    fn from(octets: &[u8]) -> Self {
        Self(octets.into())
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
