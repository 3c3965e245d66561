//! One queue of a TUN device: one system call for each packet that comes, and for each batch of small packets that
//! leave.

use std::fs::File;
use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::batch::Batch;
use super::write_ring::WriteRing;
use super::{Gone, Incoming, Taken};
use crate::counters::DropReason;
use crate::engine::Departure;
use crate::limits::SMALL_PACKET_OCTETS;
use crate::wire::link::Link;
use crate::wire::offload::{Offload, VNET_HEADER_LEN};

/// One queue of a TUN device, non-blocking.
#[derive(Debug)]
pub struct TunQueue {
    file: File,
    vnet_header: bool,
    ring: Option<WriteRing>,
    /// Small packets that wait for [`TunQueue::flush`], if there is a ring.
    batch: Batch,
}

impl TunQueue {
    /// A queue over a non-blocking descriptor that keeps packets apart; `vnet_header` says whether
    /// a virtio header stands in front of each.
    pub fn new(fd: OwnedFd, vnet_header: bool) -> Self {
        Self { file: File::from(fd), vnet_header, ring: None, batch: Batch::default() }
    }

    /// From now on small packets leave in batches.
    ///
    /// # Errors
    ///
    /// This kernel, or who runs this, has no io_uring(7) to give: each packet goes on being written by itself.
    pub fn write_in_batches(&mut self) -> Result<(), Error> {
        self.ring = Some(WriteRing::new()?);
        Ok(())
    }

    /// Reads one packet into `room`, which should have [`PACKET_OCTETS_MAX`](crate::limits::PACKET_OCTETS_MAX)
    /// octets: the kernel cuts what does not fit.
    ///
    /// # Errors
    ///
    /// [`Gone`]; everything else is no error.
    pub fn receive(&self, room: &mut [u8]) -> Result<Incoming, Gone> {
        let mut header = [0; VNET_HEADER_LEN];
        loop {
            let read = if self.vnet_header {
                let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(room)];
                (&self.file).read_vectored(&mut parts)
            } else {
                (&self.file).read(room)
            };
            let skip = if self.vnet_header { VNET_HEADER_LEN } else { 0 };
            return match read {
                Ok(len) if len > skip => {
                    let (len, offload) = (len - skip, Offload::parse(header));
                    Ok(Incoming::Packet { len, link: Link::NONE, offload })
                }
                Ok(_) => Ok(Incoming::Useless),
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => match why.raw_os_error() {
                    Some(libc::EBADFD) => Err(Gone),
                    // EIO: some kernels say so while the link is down.
                    Some(libc::EAGAIN | libc::EIO) => Ok(Incoming::Empty),
                    _ => Ok(Incoming::Useless),
                },
            };
        }
    }

    /// Writes one packet: a small one waits for the next [`TunQueue::flush`] where packets leave in batches. What waited
    /// and could not be written is told to `refused`.
    ///
    /// # Errors
    ///
    /// [`Gone`]; a packet that the kernel refuses is no error.
    pub fn send(
        &mut self,
        departure: &Departure<'_>,
        refused: impl FnMut(DropReason),
    ) -> Result<Taken, Gone> {
        let is_small = departure.packet.len() <= SMALL_PACKET_OCTETS;
        if !is_small || self.batch.is_full() {
            self.flush(refused)?;
        }
        let header = if self.vnet_header { &departure.vnet_header[..] } else { &[] };
        if is_small && self.ring.is_some() {
            self.batch.push(&[header, departure.packet]);
            return Ok(Taken::Yes);
        }
        self.write(&[IoSlice::new(header), IoSlice::new(departure.packet)])
    }

    /// Writes what waits. What the kernel refuses is told to `refused`.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub fn flush(&mut self, mut refused: impl FnMut(DropReason)) -> Result<(), Gone> {
        let batch = mem::take(&mut self.batch);
        let written = self.write_all(&batch, &mut refused);
        self.batch = batch;
        self.batch.clear();
        written
    }

    fn write_all(
        &mut self,
        batch: &Batch,
        refused: &mut impl FnMut(DropReason),
    ) -> Result<(), Gone> {
        if let Some(ring) = self.ring.as_mut().filter(|_| batch.spans().len() > 1) {
            let mut is_gone = false;
            let written = ring.write(self.file.as_fd(), batch, |why| match refusal(&why) {
                Ok(reason) => refused(reason),
                Err(Gone) => is_gone = true,
            });
            if is_gone {
                return Err(Gone);
            }
            let Err(why) = written else {
                return Ok(());
            };
            // Some may leave twice: TCP bears that.
            log::warn!("io_uring has failed ({why}): each packet is written by itself now");
            self.ring = None;
        }
        for packet in batch.packets() {
            if let Taken::No(reason) = self.write(&[IoSlice::new(packet)])? {
                refused(reason);
            }
        }
        Ok(())
    }

    fn write(&self, parts: &[IoSlice<'_>]) -> Result<Taken, Gone> {
        loop {
            return match (&self.file).write_vectored(parts) {
                Ok(_) => Ok(Taken::Yes),
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => refusal(&why).map(Taken::No),
            };
        }
    }
}

/// What it means that a write failed (`tun_get_user` in drivers/net/tun.c).
fn refusal(why: &Error) -> Result<DropReason, Gone> {
    match why.raw_os_error() {
        Some(libc::EBADFD) => Err(Gone),
        Some(libc::EIO) => Ok(DropReason::LegDown),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Ok(DropReason::LegFull),
        // EINVAL and the like: the packet or its header makes no sense to the kernel.
        _ => Ok(DropReason::Malformed),
    }
}

impl AsFd for TunQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::direction::Leg;
    use crate::limits::WAITING_PACKETS_MAX;

    fn queue(vnet_header: bool) -> (TunQueue, UnixDatagram) {
        let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
        near.set_nonblocking(true).expect("a non-blocking socket");
        (TunQueue::new(OwnedFd::from(near), vnet_header), far)
    }

    #[test]
    fn the_virtio_header_stands_in_front_only_where_it_was_agreed() {
        let offload =
            Offload { partial_checksum: true, gso_size: Some(1448), ..Offload::default() };
        let departure = Departure {
            leg: Leg::Inside,
            offload,
            vnet_header: offload.emit(false, 20, 52),
            link: Link::NONE,
            packet: b"packet",
        };
        let settings = [
            (true, false, 16, offload),
            (false, false, 6, Offload::default()),
            (true, true, 16, offload),
            (false, true, 6, Offload::default()),
        ];
        for (vnet_header, in_batches, len, seen) in settings {
            let (mut queue, far) = queue(vnet_header);
            if in_batches {
                // Where there is no io_uring, the same must come of it.
                let _ = queue.write_in_batches();
            }
            let mut room = [0; 64];
            assert_eq!(queue.receive(&mut room), Ok(Incoming::Empty));
            assert_eq!(queue.send(&departure, refuse), Ok(Taken::Yes));
            assert_eq!(queue.flush(refuse), Ok(()));
            assert_eq!(far.recv(&mut room).expect("what was sent"), len);
            far.send(&room[..len]).expect("room in a socket");
            assert_eq!(
                queue.receive(&mut room),
                Ok(Incoming::Packet { len: 6, link: Link::NONE, offload: seen })
            );
            assert_eq!(&room[..6], b"packet");
        }
    }

    fn refuse(reason: DropReason) {
        panic!("refused: {reason:?}");
    }

    fn departure(packet: &[u8]) -> Departure<'_> {
        let (leg, offload, link) = (Leg::Inside, Offload::default(), Link::NONE);
        Departure { leg, offload, vnet_header: [0; VNET_HEADER_LEN], link, packet }
    }

    #[test]
    fn small_packets_wait_for_each_other_and_none_is_overtaken() {
        let (mut queue, far) = queue(false);
        far.set_nonblocking(true).expect("a non-blocking socket");
        let in_batches = queue.write_in_batches().is_ok();
        let mut room = [0; 4096];
        let big = [7; SMALL_PACKET_OCTETS + 1];
        for packet in [&b"first"[..], b"second"] {
            assert_eq!(queue.send(&departure(packet), refuse), Ok(Taken::Yes));
            assert_eq!(far.recv(&mut room).is_err(), in_batches, "none leaves before the flush");
        }
        assert_eq!(queue.send(&departure(&big), refuse), Ok(Taken::Yes));
        if in_batches {
            for packet in [&b"first"[..], b"second"] {
                assert_eq!(far.recv(&mut room).ok(), Some(packet.len()));
                assert!(room.starts_with(packet));
            }
        }
        assert_eq!(far.recv(&mut room).ok(), Some(big.len()));
        // More than may wait: the first leave by themselves. (The socket holds fewer than that.)
        let mut came = 0;
        for _ in 0..2 * WAITING_PACKETS_MAX {
            assert_eq!(queue.send(&departure(b"x"), |_| ()), Ok(Taken::Yes));
            came += usize::from(far.recv(&mut room).is_ok());
        }
        assert!(came > 0);
    }

    #[test]
    fn what_a_batch_cannot_send_is_told_one_by_one() {
        let (mut queue, far) = queue(false);
        let in_batches = queue.write_in_batches().is_ok();
        drop(far);
        for count in [1, 3] {
            let mut refused = Vec::new();
            for _ in 0..count {
                match queue.send(&departure(b"x"), |reason| refused.push(reason)) {
                    Ok(Taken::Yes) => assert!(in_batches),
                    Ok(Taken::No(reason)) => refused.push(reason),
                    Err(Gone) => panic!("gone"),
                }
            }
            assert_eq!(queue.flush(|reason| refused.push(reason)), Ok(()));
            assert_eq!(refused, vec![DropReason::Malformed; count]);
        }
    }

    #[test]
    fn a_header_without_a_packet_is_useless() {
        let (queue, far) = queue(true);
        far.send(&[0; VNET_HEADER_LEN]).expect("room in a socket");
        assert_eq!(queue.receive(&mut [0; 64]), Ok(Incoming::Useless));
    }

    #[test]
    fn a_refusal_has_a_reason() {
        for (code, reason) in [
            (libc::EIO, DropReason::LegDown),
            (libc::EAGAIN, DropReason::LegFull),
            (libc::ENOBUFS, DropReason::LegFull),
            (libc::EINVAL, DropReason::Malformed),
        ] {
            assert_eq!(refusal(&Error::from_raw_os_error(code)), Ok(reason));
        }
        assert_eq!(refusal(&Error::from_raw_os_error(libc::EBADFD)), Err(Gone));
    }
}
