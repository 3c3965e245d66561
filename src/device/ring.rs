//! The calls of a packet(7) socket that have no safe form, and the ring that it shares with the kernel.
//!
//! Facts are from packet(7) and the kernel's `Documentation/networking/packet_mmap.rst` and
//! `net/packet/af_packet.c`.

use std::io::{Error, Result};
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, c_void, sock_filter, sock_fprog, sockaddr_ll, socklen_t, tpacket2_hdr};

use crate::limits::{RING_FRAME_OCTETS, RING_FRAMES, WAITING_PACKETS_MAX};
use crate::wire::offload::VNET_HEADER_LEN;

/// `PACKET_COPY_THRESH`, `PACKET_VNET_HDR` and so on are in libc; these two of linux/if_packet.h are not.
const PACKET_FANOUT_CBPF: c_int = 6;
const PACKET_FANOUT_FLAG_UNIQUEID: c_int = 0x2000;

fn checked(result: c_int) -> Result<c_int> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// A socket that receives nothing before it is bound.
pub(super) fn packet_socket() -> Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes integers and gives a descriptor that nobody else owns.
    unsafe {
        let fd = checked(libc::socket(libc::AF_PACKET, kind, 0))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn set<T>(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> Result<()> {
    let (from, len) = (ptr::from_ref(value).cast::<c_void>(), size_of::<T>() as socklen_t);
    // SAFETY: setsockopt(2) reads `len` octets of `value`, which is live and as long.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, from, len) }).map(drop)
}

/// Sets an option of packet(7) that is an int.
pub(super) fn set_option(socket: BorrowedFd<'_>, option: c_int, value: c_int) -> Result<()> {
    set(socket, libc::SOL_PACKET, option, &value)
}

/// Octets that wait in the socket, whatever the system's limit.
pub(super) fn set_buffer(socket: BorrowedFd<'_>, option: c_int, octets: c_int) -> Result<()> {
    set(socket, libc::SOL_SOCKET, option, &octets)
}

/// The interface takes all frames, whoever they are for, as long as the socket is open.
pub(super) fn listen_to_all(socket: BorrowedFd<'_>, index: c_int) -> Result<()> {
    // SAFETY: packet_mreq is plain old data, for which all zeroes is a valid value.
    let mut wanted: libc::packet_mreq = unsafe { mem::zeroed() };
    wanted.mr_ifindex = index;
    wanted.mr_type = libc::PACKET_MR_PROMISC as u16;
    set(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &wanted)
}

/// From now on the socket receives what comes in on the interface, and sends there.
pub(super) fn bind(socket: BorrowedFd<'_>, index: c_int) -> Result<()> {
    // SAFETY: sockaddr_ll is plain old data, for which all zeroes is a valid value.
    let mut address: sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    let len = size_of::<sockaddr_ll>() as socklen_t;
    // SAFETY: bind(2) reads `len` octets of the address, which is live and as long.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// The socket joins those that share the frames of its interface: `group` is what the first one got, which
/// gives nothing and gets a number.
pub(super) fn share(socket: BorrowedFd<'_>, group: Option<u16>) -> Result<u16> {
    let kind = PACKET_FANOUT_CBPF | if group.is_none() { PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
    set_option(socket, libc::PACKET_FANOUT, kind << 16 | c_int::from(group.unwrap_or(0)))?;
    let (mut told, mut len): (c_int, _) = (0, size_of::<c_int>() as socklen_t);
    // SAFETY: getsockopt(2) writes at most `len` octets to `told`, and the length to `len`; both are live.
    checked(unsafe {
        let (to, len) = ((&raw mut told).cast::<c_void>(), &raw mut len);
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT, to, len)
    })?;
    Ok(told as u16)
}

/// The program that chooses among the sockets of a group.
pub(super) fn choose_by(socket: BorrowedFd<'_>, program: &[sock_filter]) -> Result<()> {
    // The kernel only reads it.
    let filter = program.as_ptr().cast_mut();
    let program = sock_fprog { len: program.len() as u16, filter };
    set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program)
}

/// Frames that the kernel had no room for since it was asked last.
pub(super) fn lost(socket: BorrowedFd<'_>) -> Result<u32> {
    let mut told = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut len = size_of::<libc::tpacket_stats>() as socklen_t;
    // SAFETY: getsockopt(2) writes at most `len` octets to `told`, and the length to `len`; both are live.
    checked(unsafe {
        let (to, len) = ((&raw mut told).cast::<c_void>(), &raw mut len);
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, to, len)
    })?;
    Ok(told.tp_drops)
}

/// Sends frames in one system call, `frames` being where each lies in `octets`: in one go nobody who is woken by the
/// first takes the processor before the last. Says how many were sent; fewer when the next one failed.
pub(super) fn send_all(
    socket: BorrowedFd<'_>,
    octets: &[u8],
    frames: &[Range<usize>],
) -> Result<usize> {
    let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; WAITING_PACKETS_MAX];
    // SAFETY: mmsghdr is plain old data, for which all zeroes is a valid value.
    let mut messages: [libc::mmsghdr; WAITING_PACKETS_MAX] = unsafe { mem::zeroed() };
    let mut count = 0;
    for ((part, message), frame) in parts.iter_mut().zip(&mut messages).zip(frames) {
        let frame = octets.get(frame.clone()).unwrap_or_default();
        // The kernel only reads it.
        part.iov_base = frame.as_ptr().cast_mut().cast();
        part.iov_len = frame.len();
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` headers name one live part each, whose octets are live and as long.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
    checked(sent).map(|sent| sent as usize)
}

/// A frame in the ring.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// The virtio header.
    pub(super) vnet_header: [u8; VNET_HEADER_LEN],
    /// The tag that the kernel has taken out: TPID and TCI.
    pub(super) tag: Option<(u16, u16)>,
    /// The frame, or its beginning.
    pub(super) octets: &'a [u8],
    /// Whether these are all octets of it.
    pub(super) is_whole: bool,
    /// Whether it waits in the socket as well, with all its octets.
    pub(super) is_in_socket: bool,
}

/// The ring into which the kernel writes frames (`TPACKET_V2`).
#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<u8>,
    next: usize,
}

// SAFETY: the memory is the ring's alone, and the kernel's, wherever the thread is.
unsafe impl Send for Ring {}

const RING_OCTETS: usize = RING_FRAMES * RING_FRAME_OCTETS;

impl Ring {
    /// Gives a socket that is not bound a ring.
    pub(super) fn new(socket: BorrowedFd<'_>) -> Result<Self> {
        let version = libc::tpacket_versions::TPACKET_V2 as c_int;
        set_option(socket, libc::PACKET_VERSION, version)?;
        let block = RING_OCTETS / 64;
        let request = libc::tpacket_req {
            tp_block_size: block as u32,
            tp_block_nr: 64,
            tp_frame_size: RING_FRAME_OCTETS as u32,
            tp_frame_nr: RING_FRAMES as u32,
        };
        set(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: mmap(2) with no address wished for touches no memory that is in use.
        let memory = unsafe {
            let fd = socket.as_raw_fd();
            libc::mmap(ptr::null_mut(), RING_OCTETS, access, libc::MAP_SHARED, fd, 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(Error::last_os_error)?;
        Ok(Self { memory, next: 0 })
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < RING_FRAME_OCTETS);
        // SAFETY: `next` is below RING_FRAMES and `offset` below RING_FRAME_OCTETS: inside of the mapping.
        unsafe { self.memory.as_ptr().add(self.next * RING_FRAME_OCTETS + offset) }
    }

    fn status(&self) -> &AtomicU32 {
        let at = mem::offset_of!(tpacket2_hdr, tp_status);
        // SAFETY: the mapping lives as long as the ring, the place is aligned, and both sides use it as an atomic.
        unsafe { AtomicU32::from_ptr(self.at(at).cast()) }
    }

    /// Whether there is a frame.
    pub(super) fn has_frame(&self) -> bool {
        self.status().load(Ordering::Relaxed) & libc::TP_STATUS_USER != 0
    }

    /// The next frame, if there is one. [`Ring::release`] it.
    pub(super) fn peek(&self) -> Option<Frame<'_>> {
        let status = self.status().load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the kernel has written a header here before it set the status, and leaves it alone until the release.
        let header = unsafe { ptr::read(self.at(0).cast::<tpacket2_hdr>()) };
        let start = usize::from(header.tp_mac).clamp(VNET_HEADER_LEN, RING_FRAME_OCTETS - 1);
        let len = (header.tp_snaplen as usize).min(RING_FRAME_OCTETS - start);
        let mut vnet_header = [0; VNET_HEADER_LEN];
        // SAFETY: both spans lie inside of the frame, by the two lines above; nobody writes there until the release.
        let octets = unsafe {
            let from = self.at(start - VNET_HEADER_LEN);
            ptr::copy_nonoverlapping(from, vnet_header.as_mut_ptr(), VNET_HEADER_LEN);
            std::slice::from_raw_parts(self.at(start), len)
        };
        let has_tag = status & libc::TP_STATUS_VLAN_VALID != 0;
        let has_kind = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let kind = if has_kind { header.tp_vlan_tpid } else { 0x8100 };
        Some(Frame {
            vnet_header,
            tag: has_tag.then_some((kind, header.tp_vlan_tci)),
            octets,
            is_whole: header.tp_len as usize == len,
            is_in_socket: status & libc::TP_STATUS_COPY != 0,
        })
    }

    /// The frame that was peeked at is done with.
    pub(super) fn release(&mut self) {
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % RING_FRAMES;
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is the ring's, and no frame is borrowed from it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), RING_OCTETS) };
    }
}
