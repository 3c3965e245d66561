//! Reassembly, offset map and store against plain models.

use super::cursor::Cursor;
use crate::stream::{Arrival, Buffer, Offset, OffsetMap, Reassembly, Round, Span, Spare, Store};

/// Octets of the modelled stream.
const LEN: usize = 2048;

/// The first octet says which of the three it is about.
pub fn streams(octets: &[u8]) {
    let mut cursor = Cursor::new(octets);
    match cursor.octet() % 3 {
        0 => reassembly(cursor),
        1 => map(cursor),
        _ => store(cursor),
    }
}

/// Each offset comes once, and the octet that came first stays.
fn reassembly(mut cursor: Cursor<'_>) {
    let mut reassembly = Reassembly::default();
    let mut model: Vec<Option<u8>> = vec![None; LEN];
    let mut front = 0;
    while !cursor.is_done() {
        if cursor.octet() & 3 == 0 {
            let judged = cursor.below(64).min(reassembly.ready().len());
            reassembly.advance(judged);
            front += judged;
        } else {
            let at = usize::from(cursor.u16()) % LEN;
            let len = (cursor.below(100) + 1).min(LEN - at);
            let octets: Vec<u8> = cursor.slice(len).iter().copied().chain(0..).take(len).collect();
            let offset = Offset::new(at as u64);
            match reassembly.arrive(offset, &octets) {
                Ok(Arrival::Next { skip }) => {
                    let fresh = &octets[skip..];
                    let judged = cursor.below(fresh.len() + 1);
                    reassembly.advance(judged);
                    reassembly.keep_ready(&fresh[judged..]);
                    front += judged;
                    keep(&mut model, at, &octets);
                }
                Ok(Arrival::Old | Arrival::Kept { .. }) => keep(&mut model, at, &octets),
                Err(_) => {}
            }
        }
        assert_eq!(reassembly.front().get(), front as u64, "the front");
        let ready: Vec<u8> = model[front..].iter().map_while(|octet| *octet).collect();
        assert_eq!(reassembly.ready(), ready, "what is ready");
        let end = front + ready.len();
        let mut waits = vec![false; LEN];
        for span in reassembly.ahead() {
            waits[span.start.get() as usize..span.end.get() as usize].fill(true);
        }
        for at in end..LEN {
            assert_eq!(waits[at], model[at].is_some(), "whether {at} waits");
        }
        assert_eq!(reassembly.has_hole(), waits.contains(&true), "whether there is a hole");
    }
}

fn keep(model: &mut [Option<u8>], at: usize, octets: &[u8]) {
    for (slot, octet) in model[at..].iter_mut().zip(octets) {
        slot.get_or_insert(*octet);
    }
}

/// Laws L1 to L8 for any edits.
fn map(mut cursor: Cursor<'_>) {
    let (mut map, mut whole) = (OffsetMap::default(), OffsetMap::default());
    // The edited image of each original boundary that has one.
    let mut boundaries = vec![(0_u64, 0_u64)];
    let (mut original, mut edited, mut acknowledged) = (0_u64, 0_u64, 0_u64);
    while !cursor.is_done() && boundaries.len() < 2000 {
        let step = cursor.octet();
        let (from, to) = (u64::from(step & 7) + 1, u64::from(step >> 3 & 7) + 1);
        match step >> 6 {
            0 => {
                let trade = |start: u64, len: u64| Span::of(Offset::new(start), len as usize);
                for map in [&mut map, &mut whole] {
                    map.record(trade(original, from), trade(edited, to));
                }
                if from == to {
                    boundaries.extend((1..from).map(|at| (original + at, edited + at)));
                }
                (original, edited) = (original + from, edited + to);
                boundaries.push((original, edited));
            }
            1 => {
                acknowledged = edited.min(acknowledged + u64::from(cursor.octet()));
                map.prune(Offset::new(acknowledged));
            }
            _ => {
                for _ in 0..from * to {
                    (original, edited) = (original + 1, edited + 1);
                    boundaries.push((original, edited));
                }
            }
        }
    }
    assert_eq!(map.delta(), whole.delta(), "L8");
    let first = whole.to_original(Offset::new(acknowledged), Round::Down).get();
    for round in [Round::Down, Round::Up] {
        for &(original, edited) in &boundaries {
            assert_eq!(whole.to_edited(Offset::new(original), round).get(), edited, "L1");
            assert_eq!(whole.to_original(Offset::new(edited), round).get(), original, "L1");
        }
        for at in (first..=original + 3).map(Offset::new) {
            assert_eq!(map.to_edited(at, round), whole.to_edited(at, round), "L8");
        }
    }
    for at in acknowledged..=edited {
        let at = Offset::new(at);
        let (down, up) = (map.to_original(at, Round::Down), map.to_original(at, Round::Up));
        assert_eq!(down, whole.to_original(at, Round::Down), "L8");
        assert_eq!(up, whole.to_original(at, Round::Up), "L8");
        assert!(whole.to_edited(down, Round::Up) <= at, "L3");
        assert!(whole.to_edited(down, Round::Down) <= at, "L5");
        assert!(whole.to_edited(up, Round::Down) >= at, "L7");
        let before = whole.to_original(at - 1, Round::Down);
        assert!(before <= down, "L2");
    }
}

/// Whatever was appended is read back until it is released, and nothing else is.
fn store(mut cursor: Cursor<'_>) {
    let (mut store, mut spare) = (Store::default(), Spare::default());
    let mut model = Vec::new();
    let (mut una, mut sent) = (0, 0);
    while !cursor.is_done() {
        let how = cursor.octet();
        let size = cursor.below(200);
        match how & 3 {
            0 => {
                let octets = cursor.slice(size);
                // Copied, or kept where they came, behind a header.
                let packet = Buffer::from(&*[b"header", octets].concat());
                match how & 0xc {
                    0 | 4 => store.append(octets, &mut spare),
                    lent => {
                        store.lend(6..packet.len(), &mut spare);
                        if lent == 8 {
                            store.keep(&packet);
                        } else {
                            store.copy_lent(&packet, &mut spare);
                        }
                    }
                }
                model.extend_from_slice(octets);
            }
            1 => {
                sent = model.len().min(sent.max(una + size));
                store.mark_sent(Offset::new((una + size) as u64));
            }
            2 => {
                store.release(Offset::new((una + size) as u64), &mut spare);
                una = sent.min(una + size);
            }
            _ => {
                let start = una.saturating_sub(10) + cursor.below(200);
                let span = Span::of(Offset::new(start as u64), size);
                let mut to = [0; 200];
                let copied = store.copy(span, &mut to);
                let (first, last) = (start.max(una), (start + size).min(model.len()));
                let kept = model.get(first..last).unwrap_or_default();
                assert_eq!(&to[..copied], kept, "L9");
            }
        }
        let numbers = (store.una().get(), store.sent().get(), store.nxt().get());
        assert_eq!(numbers, (una as u64, sent as u64, model.len() as u64));
    }
}
