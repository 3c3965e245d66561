//! One queue of a bridged interface: a packet(7) socket with a ring.
//!
//! Small frames are read where the kernel has put them, without a system call. What is longer than a place in the
//! ring, a super-segment or a jumbo frame, waits whole in the socket beside it (`PACKET_COPY_THRESH`).

use std::cell::Cell;
use std::fs::File;
use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::batch::Batch;
use super::ring::{Ring, lost, send_all};
use super::{Gone, Incoming, Taken};
use crate::counters::DropReason;
use crate::engine::Departure;
use crate::limits::SMALL_PACKET_OCTETS;
use crate::wire::link::{ETHERNET_LEN, LINK_LEN_MAX, Link, TAG_LEN};
use crate::wire::offload::{Offload, VNET_HEADER_LEN};
use crate::wire::packet::is_for_the_guard;

/// Where the EtherType, or the first tag, stands.
const TYPE_AT: usize = 12;

/// One queue of a bridged interface, non-blocking.
#[derive(Debug)]
pub struct FrameQueue {
    // Before the socket, which its memory belongs to.
    ring: Ring,
    socket: File,
    /// Small frames that wait for [`FrameQueue::flush`], virtio header and all.
    batch: Batch,
    is_down: Cell<bool>,
}

impl FrameQueue {
    /// A queue over a bound socket and its ring.
    pub(super) fn new(socket: OwnedFd, ring: Ring) -> Self {
        let socket = File::from(socket);
        Self { ring, socket, batch: Batch::default(), is_down: Cell::new(false) }
    }

    /// Reads one frame: the packet in it into `room`, or what is behind the link-layer header of a frame that is
    /// not the guard's business.
    pub(super) fn receive(&mut self, room: &mut [u8]) -> Incoming {
        let Some(frame) = self.ring.peek() else {
            return Incoming::Empty;
        };
        let (mut vnet_header, tag) = (frame.vnet_header, frame.tag);
        let mut head = [0; ETHERNET_LEN];
        let read = if frame.is_whole {
            // A frame has a header, or the kernel would not have taken it for one.
            frame.octets.split_at_checked(ETHERNET_LEN).and_then(|(ethernet, rest)| {
                head.copy_from_slice(ethernet);
                room.get_mut(..rest.len())?.copy_from_slice(rest);
                Some(rest.len())
            })
        } else if frame.is_in_socket {
            let mut parts = [
                IoSliceMut::new(&mut vnet_header),
                IoSliceMut::new(&mut head),
                IoSliceMut::new(room),
            ];
            let read = (&self.socket).read_vectored(&mut parts);
            read.ok().and_then(|len| len.checked_sub(VNET_HEADER_LEN + ETHERNET_LEN))
        } else {
            self.ring.release();
            return Incoming::Lost;
        };
        self.ring.release();
        let Some(len) = read.filter(|len| *len > 0) else {
            return Incoming::Useless;
        };
        sort(head, tag, vnet_header, room, len)
    }

    /// Whether there is a frame.
    pub(super) fn shows_packet(&self) -> bool {
        self.ring.has_frame()
    }

    /// Writes one frame: a small one waits for the next [`FrameQueue::flush`]. What waited and could not be sent is told
    /// to `refused`.
    pub(super) fn send(
        &mut self,
        departure: &Departure<'_>,
        refused: impl FnMut(DropReason),
    ) -> Result<Taken, Gone> {
        let link = departure.link.octets();
        let mut vnet_header = departure.vnet_header;
        shift(&mut vnet_header, link.len() as i32);
        let is_small = departure.packet.len() <= SMALL_PACKET_OCTETS;
        if !is_small || self.batch.is_full() {
            self.flush(refused)?;
        }
        if is_small {
            self.batch.push(&[&vnet_header, link, departure.packet]);
            return Ok(Taken::Yes);
        }
        let parts =
            [IoSlice::new(&vnet_header), IoSlice::new(link), IoSlice::new(departure.packet)];
        loop {
            return match (&self.socket).write_vectored(&parts) {
                Ok(_) => Ok(Taken::Yes),
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => refusal(&why).map(Taken::No),
            };
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self, mut refused: impl FnMut(DropReason)) -> Result<(), Gone> {
        let mut done = 0;
        while let Some(rest) = self.batch.spans().get(done..).filter(|rest| !rest.is_empty()) {
            match send_all(self.socket.as_fd(), self.batch.octets(), rest) {
                Ok(sent) => done += sent.max(1),
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => {
                    refused(refusal(&why)?);
                    done += 1;
                }
            }
        }
        self.batch.clear();
        Ok(())
    }

    /// What poll(2) calls an error: the interface went down, or is gone.
    pub(super) fn trouble(&self) -> Result<(), Gone> {
        // Reading takes the error away.
        let _ = (&self.socket).read(&mut [0]);
        self.look()
    }

    /// Whether the interface is there, and up.
    pub(super) fn look(&self) -> Result<(), Gone> {
        // Told when a frame of no octets is sent.
        let told = (&self.socket).write(&[]).err().and_then(|why| why.raw_os_error());
        self.is_down.set(told == Some(libc::ENETDOWN));
        if matches!(told, Some(libc::ENXIO | libc::ENODEV)) { Err(Gone) } else { Ok(()) }
    }

    /// Whether the interface was down when it was looked at last. One that is deleted goes down first, and of what
    /// comes after that the kernel says nothing (`packet_notifier` in net/packet/af_packet.c).
    pub(super) fn is_down(&self) -> bool {
        self.is_down.get()
    }

    /// Frames that the kernel had no room for since it was asked last.
    pub(super) fn lost(&self) -> u64 {
        lost(self.socket.as_fd()).unwrap_or(0).into()
    }
}

/// What it means that a frame cannot be sent (`packet_snd` in net/packet/af_packet.c).
fn refusal(why: &Error) -> Result<DropReason, Gone> {
    match why.raw_os_error() {
        Some(libc::ENXIO | libc::ENODEV) => Err(Gone),
        Some(libc::ENETDOWN) => Ok(DropReason::LegDown),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Ok(DropReason::LegFull),
        Some(libc::EMSGSIZE) => Ok(DropReason::LongerThanMtu),
        _ => Ok(DropReason::Malformed),
    }
}

/// Moves what a virtio header says of places in the packet.
fn shift(header: &mut [u8; VNET_HEADER_LEN], by: i32) {
    let is_gso = header[1] != 0;
    let needs_sum = header[0] & 1 != 0;
    for (at, counts) in [(2, is_gso), (6, needs_sum)] {
        let place = u16::from_ne_bytes([header[at], header[at + 1]]);
        if counts {
            let place = (i32::from(place) + by).max(0) as u16;
            header[at..at + 2].copy_from_slice(&place.to_ne_bytes());
        }
    }
}

/// Puts the link-layer header together, with the tag that the kernel took out, and leaves in `room` what is behind
/// it.
fn sort(
    head: [u8; ETHERNET_LEN],
    tag: Option<(u16, u16)>,
    mut vnet_header: [u8; VNET_HEADER_LEN],
    room: &mut [u8],
    len: usize,
) -> Incoming {
    let mut whole = [0; LINK_LEN_MAX + 2 * TAG_LEN];
    let mut at = TYPE_AT;
    whole[..at].copy_from_slice(&head[..at]);
    if let Some((kind, control)) = tag {
        whole[at..at + 2].copy_from_slice(&kind.to_be_bytes());
        whole[at + 2..at + TAG_LEN].copy_from_slice(&control.to_be_bytes());
        at += TAG_LEN;
    }
    whole[at..at + 2].copy_from_slice(&head[TYPE_AT..]);
    at += 2;
    // Where the octets of `room` begin in what goes out.
    let start = at;
    let more = len.min(whole.len() - at);
    whole[at..at + more].copy_from_slice(&room[..more]);
    let ip = Link::parse(&whole[..at + more]);
    let link = ip.unwrap_or_else(|| Link::copy(&whole[..start]));
    let inner = link.octets().len().saturating_sub(start);
    if inner > 0 {
        room.copy_within(inner..len, 0);
    }
    let len = len - inner;
    shift(&mut vnet_header, -((ETHERNET_LEN + inner) as i32));
    if ip.is_some() && is_for_the_guard(&room[..len]) {
        Incoming::Packet { len, link, offload: Offload::parse(vnet_header) }
    } else {
        Incoming::Foreign { len, link, vnet_header }
    }
}

impl AsFd for FrameQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    fn head(kind: u16) -> [u8; ETHERNET_LEN] {
        let mut head = [0; ETHERNET_LEN];
        head[..12].copy_from_slice(&ADDRESSES);
        head[12..].copy_from_slice(&kind.to_be_bytes());
        head
    }

    fn segment() -> Vec<u8> {
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .tcp(40_000, 25, 1000, 65_535)
            .write(&mut packet, b"NOOP\r\n")
            .expect("a packet in memory");
        packet
    }

    fn partial(start: u16) -> [u8; VNET_HEADER_LEN] {
        Offload { partial_checksum: true, ..Offload::default() }.emit(false, start, start + 20)
    }

    #[test]
    fn a_tag_that_the_kernel_took_out_is_put_back() {
        let packet = segment();
        let mut room = [0; 256];
        for (tag, inner, len) in [
            (None, &[][..], 14),
            (Some((0x8100, 5)), &[], 18),
            (Some((0x88a8, 7)), &[0, 5, 8, 0], 22),
        ] {
            let octets = [inner, &packet].concat();
            room[..octets.len()].copy_from_slice(&octets);
            let kind = if inner.is_empty() { 0x0800 } else { 0x8100 };
            let start = (14 + inner.len() + 20) as u16;
            let sorted = sort(head(kind), tag, partial(start), &mut room, octets.len());
            let Incoming::Packet { len: left, link, offload } = sorted else {
                panic!("{sorted:?} for {tag:?}");
            };
            assert_eq!(room[..left], packet);
            assert_eq!(link.octets().len(), len);
            assert_eq!(link.octets()[len - 2..], [8, 0]);
            assert!(offload.partial_checksum);
        }
    }

    #[test]
    fn all_else_is_foreign_and_goes_on_as_it_came() {
        let mut room = [7; 64];
        let sorted = sort(head(0x0806), Some((0x8100, 5)), [0; VNET_HEADER_LEN], &mut room, 28);
        let Incoming::Foreign { len: 28, link, vnet_header } = sorted else {
            panic!("{sorted:?}");
        };
        assert_eq!(link.octets(), [&ADDRESSES[..], &[0x81, 0, 0, 5, 8, 6]].concat());
        assert_eq!(vnet_header, [0; VNET_HEADER_LEN]);
        assert_eq!(room[..28], [7; 28]);
    }

    #[test]
    fn a_refusal_has_a_reason() {
        for (code, reason) in [
            (libc::ENETDOWN, DropReason::LegDown),
            (libc::EAGAIN, DropReason::LegFull),
            (libc::ENOBUFS, DropReason::LegFull),
            (libc::EMSGSIZE, DropReason::LongerThanMtu),
            (libc::EINVAL, DropReason::Malformed),
        ] {
            assert_eq!(refusal(&Error::from_raw_os_error(code)), Ok(reason));
        }
        assert_eq!(refusal(&Error::from_raw_os_error(libc::ENXIO)), Err(Gone));
    }

    #[test]
    fn places_in_the_virtio_header_move_only_where_they_count() {
        let mut header = partial(20);
        shift(&mut header, 18);
        assert_eq!(header, partial(38));
        let mut none = [0; VNET_HEADER_LEN];
        shift(&mut none, 18);
        assert_eq!(none, [0; VNET_HEADER_LEN]);
    }
}
