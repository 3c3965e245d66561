//! Which of several engines a packet belongs to.

use super::table::seeded_hash;
use crate::wire::fragment::Fragment;
use crate::wire::icmp::Message;
use crate::wire::packet::Headers;
use crate::wire::steer::place;

/// Which of `workers` owns `packet`: that of its flow, the same for both directions and for ICMP
/// errors about it; that of its datagram for a fragment, which does not show its flow.
pub fn owner(packet: &[u8], workers: usize, seed: u64) -> usize {
    if workers <= 1 {
        return 0;
    }
    let place = if let Ok(Some(fragment)) = Fragment::read(packet) {
        seeded_hash(&fragment.id, seed)
    } else if let Ok(headers) = Headers::parse(packet) {
        place(headers.source, headers.destination, seed).into()
    } else if let Ok(Message { quote: Some(quote), .. }) = Message::read(packet) {
        place(quote.source, quote.destination, seed).into()
    } else {
        return 0;
    };
    (place % workers as u64) as usize
}
