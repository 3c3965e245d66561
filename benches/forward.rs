//! Null forwarders: what the devices themselves cost, with no inspection at all.
//!
//! The yardstick for the guard's datapath, so nothing of mailguard is used here. `scripts/bench`
//! starts it in its middle namespace; without arguments, as `cargo bench` and `cargo test` call it,
//! it does nothing.
//!
//! ```text
//! forward tun NAME QUEUES       one TUN device; a thread a queue reads, and writes the same octets
//! forward packet IF1 IF2        two AF_PACKET sockets; a thread a direction receives and sends
//! ```
//!
//! Both let packets be up to 64 KiB with a virtio header (`linux/virtio_net.h`) that says what is
//! left to do, so that neither checksums nor cuts are made here. It prints `forwarding` when ready and runs until
//! it is killed.

#![allow(unsafe_code, reason = "ioctl and socket options that no safe crate has")]
#![allow(clippy::print_stdout, reason = "the word it is waited for")]

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::process::ExitCode;
use std::thread;

/// `struct virtio_net_hdr`.
const VNET_HEADER: usize = 10;
/// An Ethernet header with a VLAN tag.
const LINK_HEADER: usize = 18;
/// The largest IP packet that is not a jumbogram.
const PACKET: usize = 65_535;
/// What waits in a packet socket before the kernel drops. Its default, 208 KiB, is three packets of
/// 64 KiB.
const RECEIVE_BUFFER: libc::c_int = 16 << 20;

// linux/if_tun.h; the libc crate has these ioctls for some targets only.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
const TUN_F_CSUM: libc::c_ulong = 1;
const TUN_F_TSO4: libc::c_ulong = 2;
const TUN_F_TSO6: libc::c_ulong = 4;
const TUN_F_TSO_ECN: libc::c_ulong = 8;

// linux/if_packet.h.
const PACKET_VNET_HDR: libc::c_int = 15;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        // Cargo's own call.
        [] | ["--bench" | "--test", ..] => return ExitCode::SUCCESS,
        ["tun", name, queues] => tun(name, queues),
        ["packet", first, second] => packet(first, second),
        _ => Err(Error::other("say: tun NAME QUEUES, or packet IF1 IF2")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forward: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(returned: libc::c_int) -> Result<libc::c_int> {
    if returned < 0 { Err(Error::last_os_error()) } else { Ok(returned) }
}

/// Says that packets may come, and waits for the threads, which end only when something fails.
fn serve(threads: Vec<thread::JoinHandle<Result<()>>>) -> Result<()> {
    println!("forwarding");
    for thread in threads {
        thread.join().map_err(|_| Error::other("a thread panicked"))??;
    }
    Ok(())
}

// --- TUN ------------------------------------------------------------------------------------------

fn tun(name: &str, queues: &str) -> Result<()> {
    let queues: u8 = queues.parse().map_err(|_| Error::other("the number of queues is none"))?;
    let files = (0..queues).map(|_| open_queue(name, queues > 1)).collect::<Result<Vec<_>>>()?;
    serve(files.into_iter().map(|file| thread::spawn(move || echo(file))).collect())
}

/// Opens one queue; the first makes the device.
fn open_queue(name: &str, many: bool) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: ifreq is plain old data, of which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= libc::IFNAMSIZ {
        return Err(Error::other("the name is too long"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TUN
        | libc::IFF_NO_PI
        | libc::IFF_VNET_HDR
        | if many { libc::IFF_MULTI_QUEUE } else { 0 };
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(flags).map_err(|_| Error::other("flags do not fit"))?;
    let header = libc::c_int::try_from(VNET_HEADER).map_err(Error::other)?;
    let offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    let fd = file.as_raw_fd();
    // SAFETY: the first two take pointers to an ifreq and an int, which live; the third a value.
    unsafe {
        check(libc::ioctl(fd, TUNSETIFF, &raw mut request))?;
        check(libc::ioctl(fd, TUNSETVNETHDRSZ, &raw const header))?;
        check(libc::ioctl(fd, TUNSETOFFLOAD, offload))?;
    }
    Ok(file)
}

/// Writes back whatever is read. What is written comes in by the device, and routing leads it on.
fn echo(mut file: File) -> Result<()> {
    let mut buffer = vec![0; VNET_HEADER + PACKET];
    loop {
        let length = match file.read(&mut buffer) {
            Ok(length) => length,
            // Until the device is up.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => continue,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        // A packet that the kernel refuses is lost, as on any wire.
        let _ = file.write(&buffer[..length]);
    }
}

// --- AF_PACKET ------------------------------------------------------------------------------------

fn packet(first: &str, second: &str) -> Result<()> {
    let (one, other) = (open_socket(first)?, open_socket(second)?);
    let (one_too, other_too) = (one.try_clone()?, other.try_clone()?);
    serve(vec![
        thread::spawn(move || relay(&one, &other)),
        thread::spawn(move || relay(&other_too, &one_too)),
    ])
}

/// A socket that gets every frame which comes in by that interface, and none that leaves.
fn open_socket(name: &str) -> Result<OwnedFd> {
    let name = std::ffi::CString::new(name).map_err(Error::other)?;
    // SAFETY: the string ends in NUL.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(Error::last_os_error());
    }
    let index = libc::c_int::try_from(index).map_err(Error::other)?;
    // Protocol 0: nothing comes before bind.
    // SAFETY: plain numbers; the descriptor is new and nobody else's.
    let socket = unsafe {
        let fd = check(libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0))?;
        OwnedFd::from_raw_fd(fd)
    };
    set_option(&socket, libc::SOL_PACKET, PACKET_VNET_HDR, &1)?;
    set_option(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER)?;
    let promiscuous = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)?;
    // SAFETY: sockaddr_ll is plain old data, of which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    // SAFETY: the address lives and its length is its own.
    check(unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length_of(&address))
    })?;
    Ok(socket)
}

fn set_option<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> Result<()> {
    // SAFETY: the value lives and its length is its own.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            length_of(value),
        )
    })?;
    Ok(())
}

fn length_of<T>(_: &T) -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// Sends by the one whatever comes in by the other.
fn relay(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let mut buffer = vec![0u8; VNET_HEADER + LINK_HEADER + PACKET];
    loop {
        // SAFETY: the buffer is as long as is said.
        let length =
            unsafe { libc::recv(from.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let Ok(length) = usize::try_from(length) else {
            let error = Error::last_os_error();
            match error.raw_os_error() {
                // ENETDOWN is told once, when the interface goes down.
                Some(libc::EINTR | libc::ENETDOWN) => continue,
                _ => return Err(error),
            }
        };
        // A frame that the kernel refuses is lost, as on any wire.
        // SAFETY: so many octets are in the buffer.
        let _ = unsafe { libc::send(to.as_raw_fd(), buffer.as_ptr().cast(), length, 0) };
    }
}
