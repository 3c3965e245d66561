//! The consoles are served from within the jail. It is shut for the whole process, which is why this test
//! is alone in its own.

#![cfg(target_os = "linux")]

#[path = "../src/console/fake.rs"]
#[allow(dead_code, unreachable_pub, reason = "the unit tests use all of it")]
mod fake;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use mailguard::console::{Factory, Listeners, Said, Session, hash_password, verify_password};
use mailguard::jail::{Cell, Jail, Warden};

use fake::Fake;

/// What a session may have to do in there.
struct Busy(Fake);

impl Session for Busy {
    fn prompt(&self) -> String {
        self.0.prompt()
    }
    fn is_secret(&self) -> bool {
        self.0.is_secret()
    }
    fn line(&mut self, line: &str) -> Said {
        if line == "hash" {
            let hash = hash_password("cisco").expect("random octets");
            let text = format!("{}\n", verify_password("cisco", &hash));
            return Said { text, ..Said::default() };
        }
        self.0.line(line)
    }
    fn help(&self, line: &str) -> String {
        self.0.help(line)
    }
    fn complete(&self, line: &str) -> Vec<String> {
        self.0.complete(line)
    }
    fn asides(&mut self) -> Vec<String> {
        self.0.asides()
    }
}

#[test]
fn consoles_come_and_go_in_the_jail() {
    let directory = std::env::temp_dir().join(format!("mailguard-jail-{}", std::process::id()));
    let socket = directory.join("console");
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners = Listeners::open(Some(&socket), Some(any_port)).expect("sockets");
    let telnet = listeners.telnet().expect("a port");
    // Clients that are not in it, and come when they are told: a jailed process makes no socket.
    let program = env!("CARGO_BIN_EXE_mailguard");
    let script = "read go; \"$0\" console --socket \"$1\"; echo status $?";
    let mut scripts: Vec<_> = (0..3)
        .map(|_| {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(script).arg(program).arg(&socket);
            shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell")
        })
        .collect();
    // From within nothing can be removed: it goes when the pipe to this one closes.
    let mut cleaner = Command::new("sh");
    cleaner.args(["-c", "read end; rm -r \"$0\""]).arg(&directory).stdin(Stdio::piped());
    #[allow(clippy::zombie_processes, reason = "it outlives this process, which cannot wait")]
    let _cleaner = cleaner.spawn().expect("a shell");
    let early = TcpStream::connect(telnet).expect("a queue");

    let mut warden = Warden::new(true);
    let mut jail = Jail::enter(Cell::Guard);
    let local: Factory = Arc::new(|| Box::new(Busy(Fake::default())));
    let remote: Factory = Arc::new(|| Box::new(Fake::locked()));
    listeners.start(&local, &remote, &mut warden).expect("threads");
    warden.wait().expect("all of them");
    jail.close(Cell::Guard);
    assert!(jail.to_string().contains("seccomp"), "{jail}");
    assert!(TcpStream::connect(telnet).is_err(), "it is shut");

    for child in &mut scripts {
        let mut to = child.stdin.take().expect("a pipe");
        to.write_all(b"go\nhash\nshow 3000\nenable\ncisco\npanic\n").expect("a client");
        drop(to);
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines: Vec<_> = out.lines().map(|line| line.expect("text")).collect();
        // A session that panics is a console that is closed, and not the end of the guard.
        assert_eq!(
            (lines.len(), lines[0].as_str(), lines[3001].as_str()),
            (3002, "true", "status 2")
        );
    }
    // As a file, for the jail lets a connection do no more.
    let mut early = File::from(OwnedFd::from(early));
    early.write_all(b"cisco\r\nexit\r\n").expect("a server");
    let mut all = Vec::new();
    early.read_to_end(&mut all).expect("an end");
    assert!(all.ends_with(b"Goodbye.\r\n"), "{}", String::from_utf8_lossy(&all));
}
