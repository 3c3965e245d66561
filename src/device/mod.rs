//! The edge to the kernel: the TUN legs, their queues, and the wait for work.
//!
//! Facts about the device are from the kernel's `Documentation/networking/tuntap.rst`,
//! `include/uapi/linux/if_tun.h` and `drivers/net/tun.c`.

#[allow(unsafe_code, reason = "the ioctl(2) calls of a TUN device have no safe form")]
mod ioctl;
#[allow(unsafe_code, reason = "malloc_trim(3) has no safe form")]
mod memory;
mod queue;
mod tun;
mod wait;

pub use memory::give_memory_back;
pub use queue::{Gone, Incoming, Queue, Taken};
pub use tun::{Features, OpenError, OpenLeg, Persistence, open_leg};
pub use wait::{Bell, Readiness, wait};
