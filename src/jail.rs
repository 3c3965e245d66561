//! Giving up every privilege: capabilities, new files and sockets, system calls.
//!
//! Whoever found a hole in the guard would own a process that holds two TUN devices, or two bridged
//! interfaces, and can do nothing but read and write them. Each measure is taken where the kernel has it, and what it has
//! not is said. A filter of system calls is a thread's own: each thread locks itself up, and the logger and who answers
//! Prometheus keep the few more calls that they need.
//!
//! Sources: capabilities(7), `PR_SET_NO_NEW_PRIVS` in prctl(2), landlock(7), seccomp(2).

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use caps::CapSet;
use crossbeam_channel::{Receiver, Sender, unbounded};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

type Failure = Box<dyn Error>;

/// What a thread is for, and so what it may go on doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// It moves packets, or waits.
    Guard,
    /// It moves frames between bridged interfaces: several at a time, and it asks what the kernel had no room for.
    Bridge,
    /// It sends messages: it connects to syslog hosts, anew when they have gone.
    Logger,
    /// It answers Prometheus: it accepts connections.
    Metrics,
    /// It serves operators: it accepts connections, and says when nothing more comes.
    Console,
}

/// What a thread does first.
pub type Settle = Box<dyn FnOnce() + Send>;

/// Has threads lock themselves up, and knows when all have.
#[derive(Debug)]
pub struct Warden {
    is_on: bool,
    keys: usize,
    tell: Sender<()>,
    told: Receiver<()>,
}

/// How long a thread may take to lock itself up: that is a few system calls.
const PATIENCE: Duration = Duration::from_secs(10);

impl Warden {
    /// One for a process that is to be jailed, or not.
    pub fn new(is_on: bool) -> Self {
        let (tell, told) = unbounded();
        Self { is_on, keys: 0, tell, told }
    }

    /// What a new thread has to do first.
    pub fn settle(&mut self, cell: Cell) -> Settle {
        if !self.is_on {
            return Box::new(|| ());
        }
        self.keys += 1;
        let tell = self.tell.clone();
        Box::new(move || {
            if !matches!(cell, Cell::Guard | Cell::Bridge) {
                let _ = Jail::enter(cell);
            }
            // What the kernel has not is said once, of the main thread.
            if let Err(why) = filter(cell).and_then(|filter| Ok(apply_filter(&filter)?)) {
                log::debug!("jail: no seccomp for a thread: {why}");
            }
            let _ = tell.send(());
        })
    }

    /// Waits until all of them have.
    ///
    /// # Errors
    ///
    /// One has not: do not go on.
    pub fn wait(&self) -> Result<(), String> {
        let settled = (0..self.keys).all(|_| self.told.recv_timeout(PATIENCE).is_ok());
        settled.then_some(()).ok_or_else(|| "a thread did not give up its privileges".into())
    }
}

/// The measures that are in force.
#[derive(Debug, Default)]
pub struct Jail(Vec<&'static str>);

impl Jail {
    /// Takes from the calling thread, and from those that it starts later, the capabilities, the way to
    /// others through exec, and the file system. Call it once the legs are open, before the first
    /// thread that is not to have more.
    #[must_use]
    pub fn enter(cell: Cell) -> Self {
        let mut jail = Self::default();
        jail.note("capabilities", drop_capabilities().map(|()| "capabilities"));
        let no_new_privileges = nix::sys::prctl::set_no_new_privs().map_err(Into::into);
        jail.note("no-new-privileges", no_new_privileges.map(|()| "no-new-privileges"));
        jail.note("landlock", shut_files_off(cell));
        jail
    }

    /// Leaves the calling thread the system calls that it makes from now on; every other one fails
    /// with EPERM, starting a thread too.
    pub fn close(&mut self, cell: Cell) {
        let closed = filter(cell).and_then(|filter| Ok(apply_filter(&filter)?));
        self.note("seccomp", closed.map(|()| "seccomp"));
    }

    fn note(&mut self, measure: &str, taken: Result<&'static str, Failure>) {
        match taken {
            Ok(measure) => self.0.push(measure),
            Err(why) => log::warn!("jail: no {measure} here: {why}"),
        }
    }
}

impl fmt::Display for Jail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("not jailed");
        }
        write!(f, "jailed by {}", self.0.join(", "))
    }
}

fn drop_capabilities() -> Result<(), Failure> {
    // Needs CAP_SETPCAP, which a guard that was given CAP_NET_ADMIN alone has not; what may not
    // gain privileges has no use for the bounding set.
    for set in [CapSet::Ambient, CapSet::Bounding] {
        if let Err(why) = caps::clear(None, set) {
            log::debug!("jail: the {set:?} set of capabilities stays: {why}");
        }
    }
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set)?;
    }
    Ok(())
}

/// No file, no TCP port, no abstract socket and no signal to others, as far as the kernel knows how.
fn shut_files_off(cell: Cell) -> Result<&'static str, Failure> {
    let ports = match cell {
        Cell::Guard | Cell::Bridge | Cell::Metrics | Cell::Console => AccessNet::from_all(ABI::V5),
        Cell::Logger => AccessNet::BindTcp.into(),
    };
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(ports)?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok("landlock"),
        // An older kernel: files since 5.13, TCP ports since 6.7, abstract sockets since 6.12.
        RulesetStatus::PartiallyEnforced => Ok("a part of landlock"),
        RulesetStatus::NotEnforced => Err("the kernel has it not, or not switched on".into()),
    }
}

/// System calls that are allowed whatever their arguments: packets, waiting, memory, time, the end.
const ALLOWED: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    // A thread that has just started may be still about these.
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What sends messages besides.
const ALLOWED_TO_SEND: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_getsockopt,
    libc::SYS_getpeername,
];

/// What answers Prometheus besides.
const ALLOWED_TO_ANSWER: &[c_long] = &[
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_pread64,
];

fn filter(cell: Cell) -> Result<BpfProgram, Failure> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};
    let only = |condition| Ok::<_, Failure>(vec![SeccompRule::new(vec![condition])?]);
    let more = match cell {
        // Whose ring has been made, and restricted, before.
        Cell::Guard => &[libc::SYS_io_uring_enter][..],
        Cell::Bridge => &[libc::SYS_sendmmsg],
        Cell::Console => &[libc::SYS_accept4],
        Cell::Logger => ALLOWED_TO_SEND,
        Cell::Metrics => ALLOWED_TO_ANSWER,
    };
    let mut rules: BTreeMap<_, _> =
        ALLOWED.iter().chain(more).map(|call| (*call, vec![])).collect();
    if cell == Cell::Logger {
        let families = [libc::AF_INET, libc::AF_INET6].map(|family| {
            let is_family = SeccompCondition::new(0, Dword, Eq, family as u64)?;
            Ok::<_, Failure>(SeccompRule::new(vec![is_family])?)
        });
        rules.insert(libc::SYS_socket, families.into_iter().collect::<Result<_, _>>()?);
    }
    if cell == Cell::Bridge {
        // What a bridged interface had no room for.
        let of_packets = SeccompCondition::new(1, Dword, Eq, libc::SOL_PACKET as u64)?;
        let statistics = SeccompCondition::new(2, Dword, Eq, libc::PACKET_STATISTICS as u64)?;
        let asks = SeccompRule::new(vec![of_packets, statistics])?;
        rules.insert(libc::SYS_getsockopt, vec![asks]);
    }
    if cell == Cell::Console {
        let no_more = SeccompCondition::new(1, Dword, Eq, libc::SHUT_WR as u64)?;
        rules.insert(libc::SYS_shutdown, only(no_more)?);
    }
    // Memory, but none that can be run.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let no_exec = MaskedEq(libc::PROT_EXEC as u64);
        rules.insert(call, only(SeccompCondition::new(2, Qword, no_exec, 0)?)?);
    }
    let set_name = SeccompCondition::new(0, Dword, Eq, libc::PR_SET_NAME as u64)?;
    rules.insert(libc::SYS_prctl, only(set_name)?);
    // The standard library's debug builds look whether what they close is open.
    let is_open = SeccompCondition::new(1, Dword, Eq, libc::F_GETFD as u64)?;
    rules.insert(libc::SYS_fcntl, only(is_open)?);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;
    use std::thread;
    use std::time::Duration;

    use nix::sys::ptrace;
    use nix::unistd::getppid;
    use socket2::{Domain, SockRef, Socket, Type};

    use super::*;

    #[test]
    fn in_the_jail_nothing_can_be_opened_run_or_traced() {
        let (mut far, mut near) = std::io::pipe().expect("a pipe");
        let parent = getppid();
        // Landlock, capabilities and this filter are the thread's own: the test's others go free.
        let jailed = thread::spawn(move || {
            let _ = Jail::enter(Cell::Guard);
            Jail::default().close(Cell::Guard);
            let refused = |what: &str, error: Option<std::io::Error>| {
                let kind = error.map(|error| error.kind());
                (kind != Some(ErrorKind::PermissionDenied)).then(|| format!("{what}: {kind:?}"))
            };
            let tries = [
                refused("a file", File::open("/etc/passwd").err()),
                refused("a new file", File::create("/tmp/mailguard-jail").err()),
                refused("a UNIX socket", UnixDatagram::unbound().err()),
                refused("a UDP socket", UdpSocket::bind("127.0.0.1:0").err()),
                refused("a TCP socket", TcpListener::bind("127.0.0.1:0").err()),
                refused("another program", Command::new("/bin/true").spawn().err()),
                refused("a thread", thread::Builder::new().spawn(|| ()).err()),
                refused("to trace", ptrace::attach(parent).err().map(Into::into)),
                refused("to kill", nix::sys::signal::kill(parent, None).err().map(Into::into)),
            ];
            // What is open stays open, and memory comes and goes.
            near.write_all(b"packet").expect("an open descriptor");
            thread::sleep(Duration::from_millis(1));
            let room = vec![1_u8; 8 << 20];
            near.write_all(&room[..1]).expect("memory");
            tries.into_iter().flatten().collect::<Vec<_>>()
        });
        let escapes = jailed.join().expect("no panic in there");
        assert!(escapes.is_empty(), "{escapes:?}");
        let mut said = [0; 7];
        far.read_exact(&mut said).expect("what it wrote");
        assert_eq!(&said, b"packet\x01");
    }

    #[test]
    fn the_logger_may_connect_and_the_metrics_may_answer_and_neither_may_do_more() {
        let host = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (to_udp, to_tcp) =
            (host.local_addr().expect("an address"), listener.local_addr().expect("an address"));
        let refused = |what: &str, error: Option<std::io::Error>| {
            let kind = error.map(|error| error.kind());
            (kind != Some(ErrorKind::PermissionDenied)).then(|| format!("{what}: {kind:?}"))
        };
        let mut warden = Warden::new(true);
        let settle = warden.settle(Cell::Logger);
        let logger = thread::spawn(move || {
            settle();
            let datagrams = Socket::new_raw(Domain::IPV4, Type::DGRAM, None).expect("a socket");
            datagrams.send_to(b"x", &to_udp.into()).expect("a datagram");
            let stream = Socket::new_raw(Domain::IPV4, Type::STREAM, None).expect("a socket");
            stream.connect(&to_tcp.into()).expect("a connection");
            stream.send(b"GET").expect("octets");
            let tries = [
                refused("a file", File::open("/etc/passwd").err()),
                refused("a UNIX socket", UnixDatagram::unbound().err()),
                refused("a raw socket", Socket::new_raw(Domain::PACKET, Type::RAW, None).err()),
                refused("to listen", TcpListener::bind("127.0.0.1:0").err()),
                refused("another program", Command::new("/bin/true").spawn().err()),
            ];
            tries.into_iter().flatten().collect::<Vec<_>>()
        });
        let settle = warden.settle(Cell::Metrics);
        let metrics = thread::spawn(move || {
            settle();
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            let mut said = [0; 3];
            stream.read_exact(&mut said).expect("octets");
            stream.write_all(&said).expect("octets");
            let tries = [
                refused("a file", File::open("/etc/passwd").err()),
                refused("a socket", UdpSocket::bind("127.0.0.1:0").err()),
                refused("another program", Command::new("/bin/true").spawn().err()),
            ];
            tries.into_iter().flatten().collect::<Vec<_>>()
        });
        warden.wait().expect("both");
        let escapes = [logger, metrics].map(|thread| thread.join().expect("no panic in there"));
        assert_eq!(escapes.concat(), Vec::<String>::new());
        assert_eq!(host.recv(&mut [0; 8]).expect("a datagram"), 1);
    }

    #[test]
    fn a_console_is_answered_and_nothing_else_is_opened() {
        let door = mio::net::TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a socket");
        let address = door.local_addr().expect("an address");
        let mut caller = std::net::TcpStream::connect(address).expect("a connection");
        let mut warden = Warden::new(true);
        let settle = warden.settle(Cell::Console);
        let jailed = thread::spawn(move || {
            settle();
            // As a file, which is all that the console needs of it.
            let mut caller = File::from(OwnedFd::from(door.accept().expect("a door").0));
            let spoke = caller.write_all(b"hello");
            let caller = SockRef::from(&caller);
            let spoke = spoke.and_then(|()| caller.shutdown(Shutdown::Write));
            let refused = [
                caller.shutdown(Shutdown::Read).err(),
                TcpListener::bind("127.0.0.1:0").err(),
                File::open("/etc/passwd").err(),
            ];
            (spoke.is_ok(), refused.map(|why| why.map(|why| why.kind())))
        });
        let denied = Some(ErrorKind::PermissionDenied);
        assert_eq!(jailed.join().expect("no panic in there"), (true, [denied; 3]));
        let mut said = String::new();
        caller.read_to_string(&mut said).expect("its end");
        assert_eq!(said, "hello");
    }

    const CAP_SETS: [CapSet; 2] = [CapSet::Effective, CapSet::Permitted];

    #[test]
    fn capabilities_files_and_exec_are_shut_off_before_any_filter() {
        let jailed = thread::spawn(|| {
            let _ = Jail::enter(Cell::Guard);
            let held = CAP_SETS.map(|set| caps::read(None, set).expect("capget").len());
            (held, nix::sys::prctl::get_no_new_privs(), File::open("/etc/passwd").is_err())
        });
        let (held, no_new_privs, is_shut) = jailed.join().expect("no panic in there");
        assert_eq!((held, no_new_privs), ([0, 0], Ok(true)));
        let has_landlock = std::fs::read_to_string("/sys/kernel/security/lsm");
        if has_landlock.is_ok_and(|lsm| lsm.contains("landlock")) {
            assert!(is_shut);
        }
    }

    /// What [`Jail::enter`] says on a kernel whose system call `lacking` fails with `error`.
    fn said_without(lacking: c_long, error: i32) -> (String, bool) {
        let jailed = thread::spawn(move || {
            let rules = BTreeMap::from([(lacking, vec![])]);
            let refused = SeccompAction::Errno(error as u32);
            let arch = std::env::consts::ARCH.try_into().expect("a known machine");
            let kernel = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch);
            let kernel: BpfProgram = kernel.and_then(TryInto::try_into).expect("a filter");
            apply_filter(&kernel).expect("seccomp");
            let mut jail = Jail::enter(Cell::Guard);
            jail.close(Cell::Guard);
            (jail.to_string(), File::open("/etc/passwd").is_err())
        });
        jailed.join().expect("no panic in there")
    }

    #[test]
    fn a_measure_that_the_kernel_has_not_is_not_claimed_and_costs_no_other() {
        // Not built in, and not switched on.
        for error in [libc::ENOSYS, libc::EOPNOTSUPP] {
            let (said, is_shut) = said_without(libc::SYS_landlock_create_ruleset, error);
            assert_eq!(said, "jailed by capabilities, no-new-privileges, seccomp");
            assert!(is_shut, "by seccomp");
        }
        let (said, _) = said_without(libc::SYS_seccomp, libc::ENOSYS);
        assert!(said.starts_with("jailed by capabilities, no-new-privileges"), "{said}");
        assert!(!said.contains("seccomp"), "{said}");
        let (said, is_shut) = said_without(libc::SYS_capset, libc::EPERM);
        assert!(said.starts_with("jailed by no-new-privileges") && is_shut, "{said}");
        assert_eq!(Jail::default().to_string(), "not jailed");
    }
}
