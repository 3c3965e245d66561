//! Opening a bridge: two interfaces that stay as they are, and a packet(7) socket of either for each worker.
//!
//! What comes in on one interface and is mail goes through the guard, all else goes straight out by the other one.
//! The host itself is no party: an interface with an address, or one that another bridge holds, is no good here.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use libc::c_int;

use super::ring::{self, Ring};
use super::{FrameQueue, Queue, ioctl, steer};
use crate::limits::{FRAME_OCTETS_WAIT_MAX, RING_FRAME_OCTETS};

/// Why an interface cannot be bridged. Each says what to do about it.
#[derive(Debug)]
pub enum BridgeError {
    /// There is none of that name.
    NoInterface(String),
    /// It has no Ethernet frames.
    NotEthernet(String),
    /// Another bridge holds it.
    HasMaster(String),
    /// The process may not open a packet socket.
    NoPrivilege(String),
    /// Something else failed: the interface, the step, and what the kernel said.
    Failed(String, &'static str, io::Error),
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface(name) => {
                write!(f, "{name}: there is no such interface here: ip link lists those that are")
            }
            Self::NotEthernet(name) => {
                write!(f, "{name} has no Ethernet frames: a bridge needs two interfaces that have")
            }
            Self::HasMaster(name) => write!(
                f,
                "{name} belongs to another bridge, and frames would pass beside the guard: ip link \
                 set {name} nomaster"
            ),
            Self::NoPrivilege(name) => write!(
                f,
                "{name}: needs CAP_NET_RAW and CAP_NET_ADMIN: run as root, or setcap \
                 cap_net_raw,cap_net_admin+ep on the program"
            ),
            Self::Failed(name, step, why) => write!(f, "{name}: cannot {step}: {why}"),
        }
    }
}

impl std::error::Error for BridgeError {}

fn failed(name: &str, step: &'static str, why: io::Error) -> BridgeError {
    match why.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => BridgeError::NoPrivilege(name.into()),
        Some(libc::ENODEV) => BridgeError::NoInterface(name.into()),
        _ => BridgeError::Failed(name.into(), step, why),
    }
}

/// Opens `queues` queues of the interface `name`, and brings it up. The kernel brings a connection to the queue that
/// [`place`](crate::wire::steer::place) names with `seed`.
///
/// # Errors
///
/// [`BridgeError`], whose text is one line that names the mend.
pub fn open_bridge(name: &str, queues: usize, seed: u64) -> Result<Vec<Queue>, BridgeError> {
    let probe = ring::packet_socket().map_err(|why| failed(name, "open a packet socket", why))?;
    look_at(name, probe.as_fd())?;
    let index = nix::net::if_::if_nametoindex(name)
        .map_err(|why| failed(name, "find the interface", io::Error::from(why)))?;
    let mut group = None;
    let mut all = Vec::with_capacity(queues);
    for _ in 0..queues {
        let (socket, ring) = open_queue(name, index as c_int)?;
        if queues > 1 {
            let joined = ring::share(socket.as_fd(), group)
                .map_err(|why| failed(name, "share the interface among workers", why))?;
            group = Some(joined);
        }
        all.push((socket, ring));
    }
    if let Some((socket, _)) = all.first().filter(|_| queues > 1) {
        let program = steer::program(seed, queues as u32);
        ring::choose_by(socket.as_fd(), &program)
            .map_err(|why| failed(name, "tell the kernel whose connection is whose", why))?;
    }
    ioctl::bring_up(probe.as_fd(), name).map_err(|why| failed(name, "bring the link up", why))?;
    Ok(all.into_iter().map(|(socket, ring)| Queue::Frames(FrameQueue::new(socket, ring))).collect())
}

/// Whether the interface is one that can be bridged.
fn look_at(name: &str, socket: BorrowedFd<'_>) -> Result<(), BridgeError> {
    let kind =
        ioctl::link_kind(socket, name).map_err(|why| failed(name, "look at the interface", why))?;
    if kind != libc::ARPHRD_ETHER {
        return Err(BridgeError::NotEthernet(name.into()));
    }
    if Path::new("/sys/class/net").join(name).join("master").exists() {
        return Err(BridgeError::HasMaster(name.into()));
    }
    match ioctl::has_address(socket, name) {
        Ok(true) => log::warn!(
            "{name} has an address: this host answers there by itself, beside the bridge: ip addr \
             flush dev {name}"
        ),
        Ok(false) => {}
        Err(why) if why.kind() == ErrorKind::AddrNotAvailable => {}
        Err(why) => return Err(failed(name, "look for its addresses", why)),
    }
    if let Ok(mtu) = ioctl::mtu(socket, name)
        && mtu > RING_FRAME_OCTETS as c_int - 128
    {
        log::info!("{name}: frames of {mtu} octets take one system call more each");
    }
    Ok(())
}

/// Octets of the largest packet that `name` takes.
///
/// # Errors
///
/// [`BridgeError`].
pub fn bridge_mtu(name: &str) -> Result<u32, BridgeError> {
    let socket = ring::packet_socket().map_err(|why| failed(name, "open a packet socket", why))?;
    let mtu = ioctl::mtu(socket.as_fd(), name);
    mtu.map(|mtu| mtu.max(0) as u32).map_err(|why| failed(name, "ask for the MTU", why))
}

fn open_queue(name: &str, index: c_int) -> Result<(OwnedFd, Ring), BridgeError> {
    let step = |step: &'static str| move |why| failed(name, step, why);
    let socket = ring::packet_socket().map_err(step("open a packet socket"))?;
    let fd = socket.as_fd();
    ring::set_option(fd, libc::PACKET_VNET_HDR, 1).map_err(step("have super-segments"))?;
    ring::set_option(fd, libc::PACKET_COPY_THRESH, 1).map_err(step("have long frames"))?;
    ring::set_option(fd, PACKET_IGNORE_OUTGOING, 1).map_err(step("leave what goes out alone"))?;
    for option in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
        ring::set_buffer(fd, option, FRAME_OCTETS_WAIT_MAX)
            .map_err(step("have room for frames"))?;
    }
    let ring = Ring::new(fd).map_err(step("share a ring with the kernel"))?;
    ring::listen_to_all(fd, index).map_err(step("listen to all frames"))?;
    ring::bind(fd, index).map_err(step("listen to the interface"))?;
    Ok((socket, ring))
}

/// Of linux/if_packet.h, since Linux 4.20.
const PACKET_IGNORE_OUTGOING: c_int = 23;
