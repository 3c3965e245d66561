//! Where the console listens: a Unix socket for its owner alone, and maybe a TCP port.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::unistd::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

/// The port of telnet.
const TELNET: u16 = 23;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Another guard that starts in the same directory is done in a moment; whoever holds it for longer is none.
const TURN_TRIES: u32 = 50;
const TURN_PAUSE: Duration = Duration::from_millis(20);

/// Where guard and client meet if nobody says otherwise.
#[must_use]
pub fn default_socket() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_absolute());
    let run = own.filter(|_| !geteuid().is_root()).map_or_else(|| "/run".into(), PathBuf::from);
    run.join("mailguard/console")
}

/// Where telnet listens: `ADDR:PORT`, `ADDR` or `PORT`. Without an address it is this machine alone.
///
/// # Errors
///
/// It is none of the three.
pub fn telnet_address(text: &str) -> Result<SocketAddr, String> {
    let port = || text.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = || bare.parse::<IpAddr>().map(|address| (address, TELNET).into());
    let both = text.parse::<SocketAddr>();
    both.or_else(|_| address())
        .or_else(|_| port())
        .map_err(|_| "telnet listens on ADDR:PORT, ADDR or PORT: 127.0.0.1:23".into())
}

fn unix_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A connection to who listens at `path`, which never blocks.
pub(super) fn connect(path: &Path) -> io::Result<Socket> {
    let socket = unix_socket()?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Removes what a guard that has ended left at `path`.
fn remove_stale(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let is_socket = match fs::symlink_metadata(path) {
        Ok(there) => there.file_type().is_socket(),
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(format!("cannot look at {shown}: {why}")),
    };
    if !is_socket {
        return Err(format!("{shown} is there and is no socket: give the console another path"));
    }
    match connect(path) {
        Err(why) if why.kind() == ErrorKind::ConnectionRefused => {}
        // One whose queue is full lives, too.
        Ok(_) => return Err(format!("{shown} is another guard's console: give this one its own")),
        Err(why) if why.kind() == ErrorKind::WouldBlock => {
            return Err(format!("{shown} is another guard's console: give this one its own"));
        }
        Err(why) => return Err(format!("cannot tell whose {shown} is: {why}")),
    }
    fs::remove_file(path).map_err(|why| format!("cannot remove the stale {shown}: {why}"))
}

/// Whether this guard is the one that may look after sockets in a directory. If not, some time has passed.
fn has_turn(directory: &File) -> bool {
    let has = directory.try_lock().is_ok();
    if !has {
        thread::sleep(TURN_PAUSE);
    }
    has
}

/// Listens at `path`, for its owner alone. A socket that nobody listens at any more is replaced.
pub(super) fn listen_at(path: &Path) -> Result<mio::net::UnixListener, String> {
    let shown = path.display();
    let failed = |why: io::Error| format!("cannot listen at {shown}: {why}");
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    match fs::DirBuilder::new().mode(0o700).create(parent) {
        Err(why) if why.kind() != ErrorKind::AlreadyExists => {
            return Err(format!("cannot make {}: {why}", parent.display()));
        }
        _ => {}
    }
    // Of two guards that find the same stale socket, one would remove the other's new one.
    let turn = File::open(parent).map_err(failed)?;
    if !(0..TURN_TRIES).any(|_| has_turn(&turn)) {
        return Err(format!("somebody holds {}: try again", parent.display()));
    }
    remove_stale(path)?;
    let socket = unix_socket().map_err(failed)?;
    // Linux gives the file the mode that the socket has, less the umask: it is never open to others.
    let socket = File::from(OwnedFd::from(socket));
    socket.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    let socket = Socket::from(OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    Ok(mio::net::UnixListener::from_std(OwnedFd::from(socket).into()))
}

/// Listens for telnet.
pub(super) fn listen_on(address: SocketAddr) -> Result<mio::net::TcpListener, String> {
    mio::net::TcpListener::bind(address)
        .map_err(|why| format!("cannot listen for telnet on {address}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("mailguard-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        directory
    }

    #[test]
    fn the_socket_is_its_owners_alone() {
        let directory = directory("owner");
        let path = directory.join("console");
        let _listener = listen_at(&path).expect("a listener");
        let mode = |path: &Path| fs::metadata(path).expect("a file").mode() & 0o777;
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        connect(&path).expect("a connection");
        fs::remove_dir_all(directory).expect("a directory");
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = directory("stale");
        let path = directory.join("console");
        let first = listen_at(&path).expect("a listener");
        let refused = listen_at(&path).expect_err("it is in use");
        assert!(refused.contains("another guard's console"), "{refused}");
        drop(first);
        assert!(connect(&path).is_err() && path.exists(), "it is stale");
        let _second = listen_at(&path).expect("the stale one is replaced");
        connect(&path).expect("a connection");
        fs::remove_dir_all(directory).expect("a directory");
    }

    #[test]
    fn one_whose_queue_is_full_is_live() {
        let directory = directory("full");
        fs::create_dir(&directory).expect("a directory");
        let path = directory.join("console");
        let _listener = UnixListener::bind(&path).expect("a listener");
        let mut queue = Vec::new();
        while let Ok(one) = connect(&path) {
            queue.push(one);
        }
        assert!(listen_at(&path).is_err_and(|why| why.contains("another guard's console")));
        fs::remove_dir_all(directory).expect("a directory");
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = directory("file");
        fs::create_dir(&directory).expect("a directory");
        let path = directory.join("console");
        fs::write(&path, "precious").expect("a file");
        let refused = listen_at(&path).expect_err("it is a file");
        assert!(refused.contains("no socket"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "precious");
        let nowhere = listen_at(&directory.join("a/b/console")).expect_err("no directory");
        assert!(nowhere.contains("cannot make"), "{nowhere}");
        let long = listen_at(&directory.join("a".repeat(120))).expect_err("108 octets at most");
        assert!(long.contains("cannot listen at"), "{long}");
        fs::remove_dir_all(directory).expect("a directory");
    }

    #[test]
    fn telnet_stays_at_home_unless_it_is_told_otherwise() {
        for (text, address) in [
            ("2323", "127.0.0.1:2323"),
            ("192.0.2.1", "192.0.2.1:23"),
            ("192.0.2.1:2323", "192.0.2.1:2323"),
            ("::1", "[::1]:23"),
            ("[::1]", "[::1]:23"),
            ("[2001:db8::1]:2323", "[2001:db8::1]:2323"),
            ("0.0.0.0", "0.0.0.0:23"),
        ] {
            assert_eq!(telnet_address(text).map(|it| it.to_string()), Ok(address.into()), "{text}");
        }
        for text in ["", "localhost", "65536", "192.0.2", "1.2.3.4:x", ":23"] {
            assert!(telnet_address(text).is_err(), "{text}");
        }
    }
}
