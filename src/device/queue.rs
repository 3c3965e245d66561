//! One queue of a leg: packets in, packets out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::{FrameQueue, TunQueue};
use crate::counters::DropReason;
use crate::direction::Leg;
use crate::engine::Departure;
use crate::wire::link::Link;
use crate::wire::offload::{Offload, VNET_HEADER_LEN};

/// The device behind a queue is gone: somebody deleted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// A packet at the start of the buffer.
    Packet {
        /// Its octets.
        len: usize,
        /// The link-layer header that was in front of it.
        link: Link,
        /// What is left to do for it.
        offload: Offload,
    },
    /// A frame that is not the guard's business: it goes on as it came.
    Foreign {
        /// Octets behind the link-layer header, at the start of the buffer.
        len: usize,
        /// The link-layer header.
        link: Link,
        /// The virtio header, as a [`Departure`] has it.
        vnet_header: [u8; VNET_HEADER_LEN],
    },
    /// Something that is no packet; there may be more behind it.
    Useless,
    /// The kernel had no room for all of a frame; there may be more behind it.
    Lost,
    /// The queue is empty.
    Empty,
}

/// What became of a packet that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The kernel has it.
    Yes,
    /// The kernel would not have it.
    No(DropReason),
}

/// One queue of a leg, non-blocking.
#[derive(Debug)]
pub enum Queue {
    /// Of a TUN device.
    Tun(TunQueue),
    /// Of a bridged interface.
    Frames(FrameQueue),
}

impl Queue {
    /// From now on small packets leave in batches, as they always do over a bridge.
    ///
    /// # Errors
    ///
    /// There is nothing to do it with: each goes on being written by itself.
    pub fn write_in_batches(&mut self) -> io::Result<()> {
        match self {
            Self::Tun(queue) => queue.write_in_batches(),
            Self::Frames(_) => Ok(()),
        }
    }

    /// Reads one packet into `room`, which should have [`PACKET_OCTETS_MAX`](crate::limits::PACKET_OCTETS_MAX)
    /// octets: what does not fit is cut.
    ///
    /// # Errors
    ///
    /// [`Gone`]; everything else is no error.
    pub fn receive(&mut self, room: &mut [u8]) -> Result<Incoming, Gone> {
        match self {
            Self::Tun(queue) => queue.receive(room),
            Self::Frames(queue) => Ok(queue.receive(room)),
        }
    }

    /// Writes one packet, at once or with the next [`Queue::flush`]. What waited and could not be sent is told to
    /// `refused`.
    ///
    /// # Errors
    ///
    /// [`Gone`]; a packet that the kernel refuses is no error.
    pub fn send(
        &mut self,
        departure: &Departure<'_>,
        refused: impl FnMut(DropReason),
    ) -> Result<Taken, Gone> {
        match self {
            Self::Tun(queue) => queue.send(departure, refused),
            Self::Frames(queue) => queue.send(departure, refused),
        }
    }

    /// Writes what waits. What cannot be sent is told to `refused`.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub fn flush(&mut self, refused: impl FnMut(DropReason)) -> Result<(), Gone> {
        match self {
            Self::Tun(queue) => queue.flush(refused),
            Self::Frames(queue) => queue.flush(refused),
        }
    }

    /// Whether there is a packet, where that can be seen without a system call.
    pub fn shows_packet(&self) -> bool {
        match self {
            Self::Tun(_) => false,
            Self::Frames(queue) => queue.shows_packet(),
        }
    }

    /// Whether a packet can be seen to be there without a system call.
    pub const fn is_seen_through(&self) -> bool {
        matches!(self, Self::Frames(_))
    }

    /// What it means that poll(2) speaks of an error.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub fn trouble(&self) -> Result<(), Gone> {
        match self {
            Self::Tun(_) => Err(Gone),
            Self::Frames(queue) => queue.trouble(),
        }
    }

    /// Whether poll(2) is no help: the device is down, and nobody says when it is gone. [`Queue::look`] now and then.
    pub fn is_down(&self) -> bool {
        match self {
            Self::Tun(_) => false,
            Self::Frames(queue) => queue.is_down(),
        }
    }

    /// Whether a device that was down is still there.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub fn look(&self) -> Result<(), Gone> {
        match self {
            Self::Tun(_) => Ok(()),
            Self::Frames(queue) => queue.look(),
        }
    }

    /// What there is to say when the device of `leg` is [`Gone`], in one line that names the mend.
    pub fn tell_gone(&self, leg: Leg) -> String {
        let name = leg.name();
        match self {
            Self::Tun(_) => {
                format!("the {name} leg was deleted: start mailguard again and put its routes back")
            }
            // Deleted, or moved to another namespace.
            Self::Frames(_) => {
                format!("the {name} interface is gone: bring it back and start mailguard again")
            }
        }
    }

    /// Packets that the kernel had no room for since it was asked last, where it says so.
    pub fn lost(&self) -> u64 {
        match self {
            Self::Tun(_) => 0,
            Self::Frames(queue) => queue.lost(),
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tun(queue) => queue.as_fd(),
            Self::Frames(queue) => queue.as_fd(),
        }
    }
}
