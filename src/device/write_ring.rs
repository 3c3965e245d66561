//! Several writes in one system call: io_uring(7), held to writing.
//!
//! A filter of system calls does not see what goes through a ring, so the ring itself is restricted before it can be
//! used (`IORING_REGISTER_RESTRICTIONS`, Linux 5.10): it can do what write(2) can, and nothing else.
//!
//! No file is registered with it: the kernel takes a ring apart some time after its process has ended, and would hold
//! the leg until then.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::register::Restriction;
use io_uring::{IoUring, opcode, types};

use super::batch::Batch;
use crate::limits::WAITING_PACKETS_MAX;

/// A way to write a batch of packets at once.
pub(super) struct WriteRing(IoUring);

impl WriteRing {
    pub(super) fn new() -> Result<Self> {
        let ring = IoUring::builder().setup_r_disabled().build(WAITING_PACKETS_MAX as u32)?;
        let submitter = ring.submitter();
        submitter.register_restrictions(&mut [Restriction::sqe_op(opcode::Write::CODE)])?;
        submitter.register_enable_rings()?;
        Ok(Self(ring))
    }

    /// Writes the packets of `batch` to a file that does not block, in their order; each that fails is told to
    /// `refused`.
    ///
    /// # Errors
    ///
    /// The ring cannot be used, and some packets may not have been written: drop it.
    pub(super) fn write(
        &mut self,
        file: BorrowedFd<'_>,
        batch: &Batch,
        mut refused: impl FnMut(Error),
    ) -> Result<()> {
        let mut under_way = 0;
        for packet in batch.packets() {
            let (start, len) = (packet.as_ptr(), packet.len() as u32);
            let write = opcode::Write::new(types::Fd(file.as_raw_fd()), start, len).build();
            // SAFETY: the packet outlives the write. `batch` is borrowed until this returns, and it returns when all
            // writes have ended, or with an error; then the ring is dropped, and with it what was not begun. What was
            // begun has ended: a write to a file that does not block is done while it is submitted.
            unsafe { self.0.submission().push(&write) }.map_err(|_| ErrorKind::StorageFull)?;
            under_way += 1;
        }
        while under_way > 0 {
            match self.0.submit_and_wait(under_way) {
                Ok(_) => {}
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
            for done in self.0.completion() {
                under_way -= 1;
                if done.result() < 0 {
                    refused(Error::from_raw_os_error(-done.result()));
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for WriteRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WriteRing")
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// A ring, if this machine has one to give.
    fn ring() -> Option<WriteRing> {
        WriteRing::new().inspect_err(|why| eprintln!("no io_uring here: {why}")).ok()
    }

    fn batch(packets: &[&str]) -> Batch {
        let mut batch = Batch::default();
        packets.iter().for_each(|packet| batch.push(&[packet.as_bytes()]));
        batch
    }

    #[test]
    fn a_batch_leaves_in_its_order_and_who_is_refused_is_named() {
        let Some(mut ring) = ring() else { return };
        let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
        near.set_nonblocking(true).expect("a non-blocking socket");
        let mut refused = Vec::new();
        for packets in [&["one", "two", "three"][..], &["four"], &[]] {
            let written = ring.write(near.as_fd(), &batch(packets), |why| refused.push(why.kind()));
            assert!(written.is_ok(), "{written:?}");
            for packet in packets {
                let mut room = [0; 8];
                let len = far.recv(&mut room).expect("what was written");
                assert_eq!(&room[..len], packet.as_bytes());
            }
        }
        assert_eq!(refused, []);
        drop(far);
        let written = ring.write(near.as_fd(), &batch(&["x", "y"]), |why| refused.push(why.kind()));
        assert!(written.is_ok(), "{written:?}");
        assert_eq!(refused, [ErrorKind::ConnectionRefused, ErrorKind::NotConnected]);
    }

    #[test]
    fn a_ring_can_write_and_nothing_else() {
        let Some(mut ring) = ring() else { return };
        let others = [
            opcode::Nop::new().build(),
            opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build(),
            opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), c"/".as_ptr()).build(),
        ];
        for other in others {
            // SAFETY: what it points to is static.
            unsafe { ring.0.submission().push(&other) }.expect("room for one");
            ring.0.submit_and_wait(1).expect("a ring that works");
            let done = ring.0.completion().next().expect("an end");
            assert_eq!(done.result(), -libc::EACCES, "{other:?}");
        }
        let more = ring.0.submitter().register_files(&[0]);
        assert_eq!(more.err().and_then(|why| why.raw_os_error()), Some(libc::EACCES));
    }
}
