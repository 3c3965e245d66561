//! One queue of a TUN device: one system call a packet.

use std::fs::File;
use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Gone, Incoming, Taken};
use crate::counters::DropReason;
use crate::engine::Departure;
use crate::wire::link::Link;
use crate::wire::offload::{Offload, VNET_HEADER_LEN};

/// One queue of a TUN device, non-blocking.
#[derive(Debug)]
pub struct TunQueue {
    file: File,
    vnet_header: bool,
}

impl TunQueue {
    /// A queue over a non-blocking descriptor that keeps packets apart; `vnet_header` says whether
    /// a virtio header stands in front of each.
    pub fn new(fd: OwnedFd, vnet_header: bool) -> Self {
        Self { file: File::from(fd), vnet_header }
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

    /// Writes one packet.
    ///
    /// # Errors
    ///
    /// [`Gone`]; a packet that the kernel refuses is no error.
    pub fn send(&self, departure: &Departure<'_>) -> Result<Taken, Gone> {
        loop {
            let written = if self.vnet_header {
                let parts = [IoSlice::new(&departure.vnet_header), IoSlice::new(departure.packet)];
                (&self.file).write_vectored(&parts)
            } else {
                (&self.file).write(departure.packet)
            };
            return match written {
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
        for (vnet_header, len, seen) in [(true, 16, offload), (false, 6, Offload::default())] {
            let (queue, far) = queue(vnet_header);
            let mut room = [0; 64];
            assert_eq!(queue.receive(&mut room), Ok(Incoming::Empty));
            assert_eq!(queue.send(&departure), Ok(Taken::Yes));
            assert_eq!(far.recv(&mut room).expect("what was sent"), len);
            far.send(&room[..len]).expect("room in a socket");
            assert_eq!(
                queue.receive(&mut room),
                Ok(Incoming::Packet { len: 6, link: Link::NONE, offload: seen })
            );
            assert_eq!(&room[..6], b"packet");
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
