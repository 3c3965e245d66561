//! The edge to the kernel: the legs, TUN devices or bridged interfaces, their queues, and the wait for work.
//!
//! Facts about the device are from the kernel's `Documentation/networking/tuntap.rst`,
//! `include/uapi/linux/if_tun.h` and `drivers/net/tun.c`.

mod batch;
mod bridge;
mod frames;
#[allow(unsafe_code, reason = "the ioctl(2) calls of a TUN device have no safe form")]
mod ioctl;
#[allow(unsafe_code, reason = "malloc_trim(3) has no safe form")]
mod memory;
mod queue;
#[allow(unsafe_code, reason = "the calls of a packet(7) socket and its ring have no safe form")]
mod ring;
mod steer;
mod tun;
mod tun_queue;
mod wait;
#[allow(
    unsafe_code,
    reason = "what is submitted to io_uring(7) must outlive the call, which no type says"
)]
mod write_ring;

pub use bridge::{BridgeError, bridge_mtu, open_bridge};
pub use frames::FrameQueue;
pub use memory::give_memory_back;
pub use queue::{Gone, Incoming, Queue, Taken};
pub use tun::{Features, OpenError, OpenLeg, Persistence, open_leg};
pub use tun_queue::TunQueue;
pub use wait::{Bell, Readiness, glance, wait};
