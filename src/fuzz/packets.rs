//! Any packets, with any virtio headers, on either leg.

use core::time::Duration;

use super::craft::mend;
use super::cursor::Cursor;
use super::guard::Guard;
use crate::direction::Leg;
use crate::wire::offload::{Offload, VNET_HEADER_LEN};

/// The other leg.
const INSIDE: u8 = 1;
/// Sums and lengths are made right.
const MENDED: u8 = 2;
/// A virtio header precedes the packet.
const VNET: u8 = 4;
/// Time passes before.
const LATER: u8 = 8;

/// Each packet: what is to be done with it, its length, itself.
pub fn packets(octets: &[u8]) {
    let mut cursor = Cursor::new(octets);
    let mut guard = Guard::new(&mut cursor);
    while !cursor.is_done() {
        let how = cursor.octet();
        if how & LATER != 0 {
            guard.wait(Duration::from_millis(1 << (cursor.octet() % 24)));
        }
        let mut offload = Offload::default();
        if how & VNET != 0 {
            let mut header = [0; VNET_HEADER_LEN];
            header.fill_with(|| cursor.octet());
            offload = Offload::parse(header);
        }
        let len = usize::from(cursor.u16());
        let mut packet = cursor.slice(len).to_vec();
        if how & MENDED != 0 {
            mend(&mut packet);
        }
        let leg = if how & INSIDE == 0 { Leg::Outside } else { Leg::Inside };
        guard.give(leg, &packet, offload);
    }
}
