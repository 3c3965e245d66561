//! The ioctl(2) calls that neither the standard library nor the crate `tun` makes.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_char, c_int, c_short, c_uint, ifreq};

use crate::wire::offload::VNET_HEADER_LEN;

/// What a queue takes and gives: partial checksums, and super-segments of both families.
const TUN_OFFLOADS: c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;

/// `ETHTOOL_GLINK` of linux/ethtool.h: is there a carrier?
const ETHTOOL_GLINK: u32 = 0x0a;

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

mod raw {
    use libc::{
        SIOCETHTOOL, SIOCGIFADDR, SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFMTU, SIOCSIFFLAGS,
        SIOCSIFTXQLEN, c_int, ifreq,
    };

    nix::ioctl_write_ptr!(tun_set_iff, b'T', 202, c_int);
    nix::ioctl_write_int!(tun_set_persist, b'T', 203);
    nix::ioctl_write_int!(tun_set_offload, b'T', 208);
    nix::ioctl_write_ptr!(tun_set_vnet_header_size, b'T', 216, c_int);
    nix::ioctl_write_ptr_bad!(set_queue_length, SIOCSIFTXQLEN, ifreq);
    nix::ioctl_readwrite_bad!(ethtool, SIOCETHTOOL, ifreq);
    nix::ioctl_readwrite_bad!(get_address, SIOCGIFADDR, ifreq);
    nix::ioctl_readwrite_bad!(get_flags, SIOCGIFFLAGS, ifreq);
    nix::ioctl_write_ptr_bad!(set_flags, SIOCSIFFLAGS, ifreq);
    nix::ioctl_readwrite_bad!(get_link_address, SIOCGIFHWADDR, ifreq);
    nix::ioctl_readwrite_bad!(get_mtu, SIOCGIFMTU, ifreq);
}

/// A request about the interface `name`, all else zero. A name that is too long is cut.
fn request(name: &str) -> ifreq {
    // SAFETY: ifreq is plain old data, for which all zeroes is a valid value.
    let mut request: ifreq = unsafe { core::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as c_char;
    }
    request
}

/// Ties the open descriptor of `/dev/net/tun` to the interface `name`, which `flags` may create.
pub(super) fn set_interface(tun: BorrowedFd<'_>, name: &str, flags: c_int) -> Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = flags as c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which is live; the macro's type only names it.
    unsafe { raw::tun_set_iff(tun.as_raw_fd(), (&raw mut request).cast::<c_int>()) }?;
    Ok(())
}

/// Says that the virtio header has [`VNET_HEADER_LEN`] octets.
pub(super) fn set_vnet_header_size(tun: BorrowedFd<'_>) -> Result<()> {
    let size = VNET_HEADER_LEN as c_int;
    // SAFETY: TUNSETVNETHDRSZ reads one int, which is live.
    unsafe { raw::tun_set_vnet_header_size(tun.as_raw_fd(), &raw const size) }?;
    Ok(())
}

/// Switches the offloads of the whole device on or off.
pub(super) fn set_offload(tun: BorrowedFd<'_>, on: bool) -> Result<()> {
    let offloads = if on { TUN_OFFLOADS } else { 0 };
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    unsafe { raw::tun_set_offload(tun.as_raw_fd(), offloads.into()) }?;
    Ok(())
}

/// Whether the device outlives the last descriptor.
pub(super) fn set_persist(tun: BorrowedFd<'_>, on: bool) -> Result<()> {
    // SAFETY: TUNSETPERSIST takes its argument by value.
    unsafe { raw::tun_set_persist(tun.as_raw_fd(), on.into()) }?;
    Ok(())
}

/// Sets how many packets each queue of `name` holds; `socket` is any socket of the namespace.
pub(super) fn set_queue_length(socket: BorrowedFd<'_>, name: &str, packets: c_int) -> Result<()> {
    let mut request = request(name);
    // The kernel's name for this member is ifr_qlen; it is the same int.
    request.ifr_ifru.ifru_metric = packets;
    // SAFETY: SIOCSIFTXQLEN reads one ifreq, which is live.
    unsafe { raw::set_queue_length(socket.as_raw_fd(), &raw const request) }?;
    Ok(())
}

/// Whether `name` is up and has a carrier: for a TUN device, whether somebody holds a queue of it.
pub(super) fn has_carrier(socket: BorrowedFd<'_>, name: &str) -> Result<bool> {
    let mut value = EthtoolValue { command: ETHTOOL_GLINK, data: 0 };
    let mut request = request(name);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads one ifreq and, through ifr_data, reads and writes an ethtool_value;
    // both are live, and the pointer was made from a mutable place.
    unsafe { raw::ethtool(socket.as_raw_fd(), &raw mut request) }.map_err(Error::from)?;
    Ok(value.data != 0)
}

/// What kind of link-layer address `name` has (`ARPHRD_ETHER`, ...).
pub(super) fn link_kind(socket: BorrowedFd<'_>, name: &str) -> Result<u16> {
    let mut request = request(name);
    // SAFETY: SIOCGIFHWADDR reads and writes one ifreq, which is live, and fills in the member that is read.
    let kind = unsafe {
        raw::get_link_address(socket.as_raw_fd(), &raw mut request)?;
        request.ifr_ifru.ifru_hwaddr.sa_family
    };
    Ok(kind)
}

/// The MTU of `name`, in octets.
pub(super) fn mtu(socket: BorrowedFd<'_>, name: &str) -> Result<c_int> {
    let mut request = request(name);
    // SAFETY: SIOCGIFMTU reads and writes one ifreq, which is live, and fills in the member that is read.
    let mtu = unsafe {
        raw::get_mtu(socket.as_raw_fd(), &raw mut request)?;
        request.ifr_ifru.ifru_mtu
    };
    Ok(mtu)
}

/// Whether `name` has an IPv4 address.
pub(super) fn has_address(socket: BorrowedFd<'_>, name: &str) -> Result<bool> {
    let mut request = request(name);
    // SAFETY: SIOCGIFADDR reads and writes one ifreq, which is live.
    match unsafe { raw::get_address(socket.as_raw_fd(), &raw mut request) } {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EADDRNOTAVAIL) => Ok(false),
        Err(why) => Err(why.into()),
    }
}

/// Brings `name` up.
pub(super) fn bring_up(socket: BorrowedFd<'_>, name: &str) -> Result<()> {
    let mut request = request(name);
    // SAFETY: SIOCGIFFLAGS reads and writes one ifreq, which is live, and fills in the member that is read;
    // SIOCSIFFLAGS reads it.
    unsafe {
        raw::get_flags(socket.as_raw_fd(), &raw mut request)?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as c_short;
        raw::set_flags(socket.as_raw_fd(), &raw const request)?;
    }
    Ok(())
}
