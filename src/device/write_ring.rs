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

/// A way to write a batch of packets at once; none any more once it has failed.
pub(super) struct WriteRing(Option<Box<IoUring>>);

impl WriteRing {
    /// One for any file.
    ///
    /// # Errors
    ///
    /// The kernel has none to give, or not to this process.
    pub(super) fn new() -> Result<Self> {
        let ring = IoUring::builder().setup_r_disabled().build(WAITING_PACKETS_MAX as u32)?;
        let submitter = ring.submitter();
        submitter.register_restrictions(&mut [Restriction::sqe_op(opcode::Write::CODE)])?;
        submitter.register_enable_rings()?;
        Ok(Self(Some(Box::new(ring))))
    }

    /// Writes the packets of `batch` to a file that does not block, in their order; each that fails is told to
    /// `refused`.
    ///
    /// # Errors
    ///
    /// The ring is no good any more, and some packets may not have been written.
    pub(super) fn write(
        &mut self,
        file: BorrowedFd<'_>,
        batch: &Batch,
        refused: impl FnMut(Error),
    ) -> Result<()> {
        // Only a ring that owes nothing is kept: see below.
        let mut ring = self.0.take().ok_or(ErrorKind::NotConnected)?;
        write(&mut ring, file, batch, refused)?;
        self.0 = Some(ring);
        Ok(())
    }
}

/// After an error, or a panic of `refused`, the ring must be dropped.
fn write(
    ring: &mut IoUring,
    file: BorrowedFd<'_>,
    batch: &Batch,
    mut refused: impl FnMut(Error),
) -> Result<()> {
    let mut under_way = 0;
    for packet in batch.packets() {
        let (start, len) = (packet.as_ptr(), packet.len() as u32);
        let write = opcode::Write::new(types::Fd(file.as_raw_fd()), start, len).build();
        // SAFETY: the packet outlives the write. `batch` is borrowed until this returns, and it returns when all
        // writes have ended, or the ring is dropped, and with it what was not begun. What was begun has ended: a
        // write to a file that does not block is done while it is submitted.
        unsafe { ring.submission().push(&write) }.map_err(|_| ErrorKind::StorageFull)?;
        under_way += 1;
    }
    while under_way > 0 {
        match ring.submit_and_wait(under_way) {
            Ok(_) => {}
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
        for done in ring.completion() {
            under_way -= 1;
            if done.result() < 0 {
                refused(Error::from_raw_os_error(-done.result()));
            }
        }
    }
    Ok(())
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
    fn a_ring_that_has_failed_writes_no_more() {
        let Some(mut ring) = ring() else { return };
        let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
        for socket in [&near, &far] {
            socket.set_nonblocking(true).expect("a non-blocking socket");
        }
        let more_than_it_takes = batch(&["x"; WAITING_PACKETS_MAX + 1]);
        for packets in [&more_than_it_takes, &batch(&["y", "z"])] {
            let written = ring.write(near.as_fd(), packets, |_| panic!("nothing was begun"));
            assert!(written.is_err());
        }
        assert!(far.recv(&mut [0]).is_err(), "nothing has left");
    }

    #[test]
    fn a_ring_can_write_and_nothing_else() {
        let Some(mut ring) = ring().and_then(|ring| ring.0) else { return };
        let others = [
            opcode::Nop::new().build(),
            opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build(),
            opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), c"/".as_ptr()).build(),
        ];
        for other in others {
            // SAFETY: what it points to is static.
            unsafe { ring.submission().push(&other) }.expect("room for one");
            ring.submit_and_wait(1).expect("a ring that works");
            let done = ring.completion().next().expect("an end");
            assert_eq!(done.result(), -libc::EACCES, "{other:?}");
        }
        let more = ring.submitter().register_files(&[0]);
        assert_eq!(more.err().and_then(|why| why.raw_os_error()), Some(libc::EACCES));
    }
}
