//! Fragments of a few datagrams in any order, against a bitmap of each.

use core::time::Duration;

use super::craft::{ip_header, mend};
use super::cursor::Cursor;
use crate::counters::{Counters, Event};
use crate::direction::Leg;
use crate::limits::FRAGMENT_TIMEOUT;
use crate::time::Instant;
use crate::wire::fragment::Fragment;
use crate::wire::fragment_buffer::FragmentBuffer;

/// Octets of a datagram at most.
const LEN: usize = 1024;

const CE: u8 = 3;

/// One datagram as far as it has come.
#[derive(Debug, Clone)]
struct Model {
    octets: Vec<Option<u8>>,
    end: Option<usize>,
    ecn: Vec<u8>,
    is_spoilt: bool,
    until: Option<Instant>,
}

impl Default for Model {
    fn default() -> Self {
        Self { octets: vec![None; LEN], end: None, ecn: Vec::new(), is_spoilt: false, until: None }
    }
}

impl Model {
    /// Takes a piece; the whole fragmentable part when it was the last that was missing.
    fn take(&mut self, start: usize, piece: &[u8], more: bool, ecn: u8) -> Option<Vec<u8>> {
        if self.is_spoilt {
            return None;
        }
        let end = start + piece.len();
        let reached = self.octets.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let contradicts = self.end.is_some_and(|last| end > last || (!more && end != last));
        let overlaps = self.octets[start..end].iter().any(Option::is_some);
        if contradicts || overlaps || (!more && end < reached) {
            self.is_spoilt = true;
            return None;
        }
        for (slot, octet) in self.octets[start..].iter_mut().zip(piece) {
            *slot = Some(*octet);
        }
        self.end = if more { self.end } else { Some(end) };
        self.ecn.push(ecn);
        let whole: Option<Vec<u8>> = self.octets[..self.end?].iter().copied().collect();
        let whole = whole?;
        let is_ecn_wrong = self.ecn.contains(&CE) && self.ecn.contains(&0);
        *self = Self::default();
        (!is_ecn_wrong).then_some(whole)
    }
}

/// Each fragment: which datagram, where, how long, whether more follow, and its octets.
pub fn fragments(octets: &[u8]) {
    let mut cursor = Cursor::new(octets);
    let ipv6 = cursor.octet() & 1 != 0;
    let (mut buffer, mut counters) = (FragmentBuffer::default(), Counters::default());
    let mut models = [Model::default(), Model::default(), Model::default(), Model::default()];
    let mut now = Instant::ZERO;
    let (mut given, mut rebuilt) = (0, 0);
    while !cursor.is_done() {
        let how = cursor.octet();
        if how & 0xc0 == 0xc0 {
            now = now + Duration::from_millis(u64::from(cursor.octet()) * 32);
            if how & 0x20 != 0 {
                buffer.expire(now, &mut counters);
                assert!(buffer.next_deadline().is_none_or(|at| at > now), "what expired is gone");
            }
        }
        let (which, more, ecn) = (usize::from(how & 3), how & 4 != 0, how >> 3 & 3);
        let start = cursor.below(LEN / 8 / 2) * 8;
        let len = if more { cursor.below(32) * 8 } else { cursor.below(256) };
        let piece: Vec<u8> = cursor.slice(len).iter().copied().chain(0..).take(len).collect();
        let packet = fragment(ipv6, which as u8, ecn, start, more, &piece);
        let Ok(Some(fragment)) = Fragment::read(&packet) else {
            continue;
        };
        assert_eq!((fragment.start, fragment.more, fragment.piece), (start, more, &piece[..]));
        given += 1;
        let got = buffer.take(now, (Leg::Outside, 0), &fragment, &mut counters);
        for model in &mut models {
            if model.until.is_some_and(|until| until <= now) {
                *model = Model::default();
            }
        }
        let model = &mut models[which];
        let want = if start == 0 && !more {
            Some(piece)
        } else {
            model.until.get_or_insert(now + FRAGMENT_TIMEOUT);
            model.take(start, &piece, more, ecn)
        };
        rebuilt += u64::from(want.is_some() && (start > 0 || more));
        let header_len = if ipv6 { 40 } else { 20 };
        assert_eq!(got.as_deref().map(|packet| &packet[header_len..]), want.as_deref());
        if let Some(packet) = got {
            assert!(matches!(Fragment::read(&packet), Ok(None)), "it is a fragment no more");
            assert!(etherparse::IpSlice::from_slice(&packet).is_ok(), "it can be read");
        }
    }
    assert_eq!(counters.events(Event::DatagramRebuilt), rebuilt);
    assert!(counters.drops_total() <= given, "each fragment is dropped once at most");
    buffer.expire(now + FRAGMENT_TIMEOUT, &mut counters);
    assert_eq!(buffer.next_deadline(), None, "nothing waits for ever");
}

/// A fragment of UDP, which no header of the TCP kind makes longer.
fn fragment(ipv6: bool, id: u8, ecn: u8, start: usize, more: bool, piece: &[u8]) -> Vec<u8> {
    let more = u16::from(more);
    let mut packet = if ipv6 {
        let (source, destination) =
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 10], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 25]);
        let mut packet = ip_header(source.into(), destination.into(), 44, 0);
        packet[1] = ecn << 4;
        packet.extend([17, 0]);
        packet.extend((start as u16 | more).to_be_bytes());
        packet.extend([0, 0, 0, id]);
        packet
    } else {
        let mut packet = ip_header([192, 0, 2, 10].into(), [192, 0, 2, 25].into(), 17, 0);
        packet[1] = ecn;
        packet[4..6].copy_from_slice(&[0, id]);
        packet[6..8].copy_from_slice(&((start as u16 / 8) | (more << 13)).to_be_bytes());
        packet
    };
    packet.extend_from_slice(piece);
    mend(&mut packet);
    packet
}
