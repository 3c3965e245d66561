//! Opening a leg: a TUN device, its queues, its offloads and its link.
//!
//! The crate `tun` opens one queue at most and sets no offload, so the queues are opened here; it
//! then configures the link behind them (MTU, persistence, up).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;

use libc::c_int;
use tun::AbstractDevice;

use super::{Queue, TunQueue, ioctl};
use crate::limits::QUEUE_PACKETS_MAX;

const CLONE_DEVICE: &str = "/dev/net/tun";

/// The largest that a TUN device takes. The real limits are those of the wires: a leg must neither
/// fragment nor refuse.
const LEG_MTU: u16 = 65_535;

/// Whether packets may come and go unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Features {
    /// A virtio header, partial checksums and super-segments of up to 64 KiB.
    Offload,
    /// Finished packets of the wire's size, no header.
    Plain,
}

/// Whether the device outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It stays, with the routes through it, and swallows packets.
    Stays,
    /// It vanishes, and its routes with it.
    Vanishes,
}

/// An open leg.
#[derive(Debug)]
pub struct OpenLeg {
    name: String,
    /// Its queues, as many as were asked for.
    pub queues: Vec<Queue>,
    /// What it was opened with: [`Features::Plain`] also where the kernel knows no offload.
    pub features: Features,
}

/// Why a leg cannot be opened. Each says what to do about it.
#[derive(Debug)]
pub enum OpenError {
    /// There is no `/dev/net/tun`.
    NoTunDevice,
    /// `/dev/net/tun` may not be opened.
    NoAccess,
    /// The process may not make or change an interface.
    NoPrivilege(String),
    /// Somebody else holds the interface.
    InUse(String),
    /// It is a TUN device that was made for one queue only.
    SingleQueue(String),
    /// It is an interface of another kind.
    NotTun(String),
    /// Something else failed: the interface, the step, and what the kernel said.
    Failed(String, &'static str, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTunDevice => write!(
                f,
                "there is no {CLONE_DEVICE}: load the driver with modprobe tun, or make the node with \
                 mkdir -p /dev/net && mknod {CLONE_DEVICE} c 10 200"
            ),
            Self::NoAccess => write!(
                f,
                "{CLONE_DEVICE} may not be opened: run as root, or give this user access with chmod or chown"
            ),
            Self::NoPrivilege(name) => write!(
                f,
                "{name}: needs CAP_NET_ADMIN: run as root, or setcap cap_net_admin+ep on the program"
            ),
            Self::InUse(name) => write!(
                f,
                "{name} is in use by another program: stop that one, or choose another name"
            ),
            Self::SingleQueue(name) => write!(
                f,
                "{name} is a TUN device with a single queue: delete it with ip link del {name}, and it \
                 is made anew with several"
            ),
            Self::NotTun(name) => {
                write!(f, "{name} exists and is not a TUN device: choose another name")
            }
            Self::Failed(name, step, why) => write!(f, "{name}: cannot {step}: {why}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens `queues` queues of the leg `name`, which is made if it does not exist, and brings it up.
///
/// With [`Features::Offload`] on a kernel that has no offload the leg is opened plain, and a
/// warning is logged.
///
/// # Errors
///
/// [`OpenError`], whose text is one line that names the mend.
pub fn open_leg(name: &str, queues: usize, features: Features) -> Result<OpenLeg, OpenError> {
    let mut features = features;
    let mut files = open_queues(name, queues, features)?;
    if features == Features::Offload
        && let Err(why) = files.iter().try_for_each(switch_offload_on)
    {
        log::warn!(
            "{name}: this kernel's TUN has no offload ({why}): every packet comes alone, expect a \
             tenth of the throughput"
        );
        features = Features::Plain;
        drop(files);
        files = open_queues(name, queues, features)?;
    }
    if features == Features::Plain {
        // A device that was there before keeps the offloads of its last holder. A kernel that
        // refuses to switch them off never had them.
        for file in &files {
            let _ = ioctl::set_offload(file.as_fd(), false);
        }
    }
    if let Some(first) = files.first() {
        bring_up(name, first)?;
    }
    let vnet_header = features == Features::Offload;
    let queues = files.into_iter().map(|file| TunQueue::new(OwnedFd::from(file), vnet_header));
    let queues = queues.map(Queue::Tun).collect();
    Ok(OpenLeg { name: name.into(), queues, features })
}

fn switch_offload_on(file: &File) -> io::Result<()> {
    ioctl::set_vnet_header_size(file.as_fd())?;
    ioctl::set_offload(file.as_fd(), true)
}

fn open_queues(name: &str, queues: usize, features: Features) -> Result<Vec<File>, OpenError> {
    let mut flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE;
    if features == Features::Offload {
        flags |= libc::IFF_VNET_HDR;
    }
    let mut files = Vec::with_capacity(queues);
    for _ in 0..queues {
        let file = if files.is_empty() {
            open_first(name, flags)?
        } else {
            let file = open_clone_device(name)?;
            ioctl::set_interface(file.as_fd(), name, flags)
                .map_err(|why| failed(name, "open another queue", why))?;
            file
        };
        files.push(file);
    }
    Ok(files)
}

/// Makes the device, or takes over one that nobody holds.
fn open_first(name: &str, flags: c_int) -> Result<File, OpenError> {
    let file = open_clone_device(name)?;
    match ioctl::set_interface(file.as_fd(), name, flags | libc::IFF_TUN_EXCL) {
        Ok(()) => return Ok(file),
        Err(why) if why.raw_os_error() == Some(libc::EBUSY) => {}
        Err(why) => return Err(failed(name, "make the TUN device", why)),
    }
    // It exists. The kernel lets any number of programs share a device of several queues, and
    // packets would go to either: a carrier tells that somebody holds one.
    let socket = any_socket(name)?;
    let held = ioctl::has_carrier(socket.as_fd(), name).unwrap_or(false);
    match ioctl::set_interface(file.as_fd(), name, flags) {
        Ok(()) if held => Err(OpenError::InUse(name.into())),
        Ok(()) => Ok(file),
        Err(why) if why.raw_os_error() == Some(libc::EINVAL) => Err(other_kind(name, flags)?),
        Err(why) => Err(failed(name, "take over the TUN device", why)),
    }
}

/// Why an existing interface cannot be attached to with several queues.
fn other_kind(name: &str, flags: c_int) -> Result<OpenError, OpenError> {
    let probe = open_clone_device(name)?;
    let single = ioctl::set_interface(probe.as_fd(), name, flags & !libc::IFF_MULTI_QUEUE);
    Ok(match single {
        Ok(()) => OpenError::SingleQueue(name.into()),
        Err(why) if why.raw_os_error() == Some(libc::EINVAL) => OpenError::NotTun(name.into()),
        Err(why) => failed(name, "take over the TUN device", why),
    })
}

fn open_clone_device(name: &str) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(CLONE_DEVICE)
        .map_err(|why| match (why.kind(), why.raw_os_error()) {
            (ErrorKind::NotFound, _) | (_, Some(libc::ENODEV | libc::ENXIO)) => {
                OpenError::NoTunDevice
            }
            (ErrorKind::PermissionDenied, _) => OpenError::NoAccess,
            _ => OpenError::Failed(name.into(), "open /dev/net/tun", why),
        })
}

fn failed(name: &str, step: &'static str, why: io::Error) -> OpenError {
    match why.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => OpenError::NoPrivilege(name.into()),
        Some(libc::EBUSY) => OpenError::InUse(name.into()),
        _ => OpenError::Failed(name.into(), step, why),
    }
}

/// Interface requests go through a socket of the namespace, of any kind.
fn any_socket(name: &str) -> Result<UnixDatagram, OpenError> {
    UnixDatagram::unbound().map_err(|why| failed(name, "open a socket", why))
}

/// The crate's view of the link behind a queue, which stays ours.
fn link(name: &str, queue: &impl AsRawFd) -> Result<tun::Device, OpenError> {
    let mut configuration = tun::Configuration::default();
    configuration.tun_name(name).raw_fd(queue.as_raw_fd()).close_fd_on_drop(false);
    tun::create(&configuration).map_err(|why| failed(name, "configure the link", why.into()))
}

fn bring_up(name: &str, queue: &File) -> Result<(), OpenError> {
    let mut link = link(name, queue)?;
    link.set_mtu(LEG_MTU).map_err(|why| failed(name, "set the MTU", why.into()))?;
    ioctl::set_queue_length(any_socket(name)?.as_fd(), name, QUEUE_PACKETS_MAX as c_int)
        .map_err(|why| failed(name, "set the queue length", why))?;
    link.enabled(true).map_err(|why| failed(name, "bring the link up", why.into()))
}

impl OpenLeg {
    /// Decides whether the device outlives the process. Not before all legs are open, or a failure
    /// would leave one of them behind.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn persist(&self, persistence: Persistence) -> Result<(), OpenError> {
        let Some(queue) = self.queues.first() else {
            return Ok(());
        };
        match persistence {
            Persistence::Stays => link(&self.name, &queue.as_fd())?
                .persist()
                .map_err(|why| failed(&self.name, "make the leg persistent", why.into())),
            // The crate has no call for the opposite.
            Persistence::Vanishes => ioctl::set_persist(queue.as_fd(), false)
                .map_err(|why| failed(&self.name, "make the leg vanish with the process", why)),
        }
    }
}
