//! `mailguard console` and a real telnet client at a terminal.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, ExitStatus};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::*;

/// A program at a terminal of 10 rows and 60 columns.
struct Terminal {
    screen: File,
    child: Child,
    /// What was shown and not yet looked for.
    shown: String,
}

impl Terminal {
    fn start(command: &mut Command) -> Self {
        let size = Winsize { ws_row: 10, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let end = || pty.slave.try_clone().expect("a descriptor");
        let child = command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn();
        Self { screen: pty.master.into(), child: child.expect("the program"), shown: String::new() }
    }

    fn console(served: &Served, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailguard"));
        command.arg("console").arg("--socket").arg(served.socket()).args(options);
        Self::start(&mut command)
    }

    fn types(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// More of what is shown; false when nothing came for long, or nobody shows anything any more.
    fn look(&mut self) -> bool {
        let mut fds = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(LONG.as_millis()).expect("a time");
        if poll(&mut fds, time).expect("a terminal") == 0 {
            return false;
        }
        let mut room = [0; 4096];
        let len = self.screen.read(&mut room).unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(&room[..len]));
        len > 0
    }

    /// What is shown up to `text`.
    #[track_caller]
    fn sees(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            assert!(self.look(), "no {text:?} in {:?}", self.shown);
        }
    }

    /// Whether the terminal shows what is typed, by itself.
    fn echoes(&self) -> bool {
        tcgetattr(&self.screen).expect("a terminal").local_flags.contains(LocalFlags::ECHO)
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().expect("an end")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_operator_is_helped() {
    let served = Served::start(Patience::default());
    let mut terminal = Terminal::console(&served, &[]);
    terminal.sees("fake> ");
    // Without Enter.
    terminal.types("sh?");
    terminal.sees("  shout\r\n  show\r\n");
    terminal.sees("fake> sh");
    terminal.types("\t");
    terminal.sees("o");
    terminal.types("w\t2\r");
    terminal.sees("line 1\r\nline 2\r\n");
    // Between two lines the terminal itself takes ^V: for the console it is at the prompt only.
    terminal.sees("fake> ");
    terminal.types("echo what\x16?\r");
    terminal.sees("\nwhat?\r\n");
    terminal.types("aside it happened\r");
    terminal.sees("it happened\r\n");
    terminal.sees("fake> ");
    terminal.types("\x1b[A\x1b[A\r");
    terminal.sees("\nwhat?\r\n");
    terminal.types("configure\r");
    terminal.sees("fake(config)# ");
    terminal.types("half a line\x03");
    terminal.sees("fake(config)# ");
    terminal.types("exit\rexit\r");
    terminal.sees("Goodbye.\r\n");
    assert_eq!(terminal.end().code(), Some(0));
    assert!(terminal.echoes(), "the terminal is as it was");
}

#[test]
fn lines_that_are_pasted_are_lines() {
    let served = Served::start(Patience::default());
    let mut terminal = Terminal::console(&served, &[]);
    terminal.sees("fake> ");
    terminal.types("\x1b[200~enable\rcisco\recho what?\recho two\x1b[201~\r");
    terminal.sees("Password: \r\n");
    let shown = terminal.sees("fake# echo what?\r\nwhat?\r\nfake# echo two\r\ntwo\r\n");
    assert!(!shown.contains("cisco"), "{shown}");
    terminal.types("\x1b[A\x1b[A");
    terminal.sees("echo what?");
}

#[test]
fn a_password_is_neither_shown_nor_remembered() {
    let served = Served::start(Patience::default());
    let history = served.directory.join("history");
    let mut terminal = Terminal::console(&served, &["--history", history.to_str().expect("text")]);
    terminal.sees("fake> ");
    terminal.types("echo before\r");
    terminal.sees("\nbefore\r\n");
    terminal.types("enable\r");
    terminal.sees("Password: ");
    while terminal.echoes() {
        std::thread::yield_now();
    }
    terminal.types("cisco\r");
    let shown = terminal.sees("fake# ");
    assert!(!shown.contains("cisco"), "{shown}");
    terminal.types("enable\r");
    terminal.sees("Password: ");
    while terminal.echoes() {
        std::thread::yield_now();
    }
    terminal.types("ci\x03");
    terminal.sees("% Bad password");
    terminal.sees("fake# ");
    terminal.types("\x04");
    assert_eq!(terminal.end().code(), Some(0));
    let kept = fs::read_to_string(&history).expect("a history");
    assert!(kept.contains("echo before\nenable\n") && !kept.contains("cisco"), "{kept}");
    assert_eq!(fs::metadata(&history).expect("a file").mode() & 0o777, 0o600);
    let mut terminal = Terminal::console(&served, &["--history", history.to_str().expect("text")]);
    terminal.sees("fake> ");
    terminal.types("\x1b[A\x1b[A\r");
    terminal.sees("\nbefore\r\n");
}

#[test]
fn long_text_comes_in_pages() {
    let served = Served::start(Patience::default());
    let mut terminal = Terminal::console(&served, &[]);
    terminal.sees("fake> ");
    terminal.types("show 30\r");
    let page = terminal.sees("<--- More --->");
    assert!(page.contains("line 9\r\n") && !page.contains("line 10"), "{page}");
    terminal.types("\r");
    let page = terminal.sees("<--- More --->");
    assert!(page.contains("line 10\r\n") && !page.contains("line 11"), "{page}");
    terminal.types(" ");
    let page = terminal.sees("<--- More --->");
    assert!(page.contains("line 19\r\n") && !page.contains("line 20"), "{page}");
    terminal.types("q");
    let rest = terminal.sees("fake> ");
    assert!(!rest.contains("line"), "{rest}");
    terminal.types("page 0\r");
    terminal.sees("fake> ");
    terminal.types("show 30\r");
    assert!(!terminal.sees("line 30\r\n").contains("More"));
}

#[test]
fn the_end_of_the_guard_is_told_at_the_prompt() {
    // As a guard would that goes away.
    let idle = Duration::from_millis(1000);
    let served = Served::start(Patience { idle, ..Patience::default() });
    let mut terminal = Terminal::console(&served, &[]);
    terminal.sees("fake> ");
    let mut crowd = Vec::new();
    while !terminal.shown.contains("mailguard:") {
        crowd.push(Client::connect(&served.socket()));
        if crowd.len() > 16 {
            crowd.truncate(16);
        }
        let mut fds = [PollFd::new(terminal.screen.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(50_u16)).expect("a terminal") > 0 {
            assert!(terminal.look());
        }
    }
    terminal.sees("mailguard: the guard has closed the console: ");
    assert_eq!(terminal.end().code(), Some(2));
    assert!(terminal.echoes(), "the terminal is as it was");
}

#[test]
fn a_real_telnet_client_is_served() {
    if Command::new("telnet").arg("--version").output().is_err() {
        // Not eprintln!, which the test harness keeps to itself.
        let _ = writeln!(io::stderr(), "SKIPPED a_real_telnet_client_is_served: no telnet here");
        return;
    }
    let served = Served::start(Patience::default());
    let port = served.telnet.expect("a port").port();
    // With a hyphen it asks for its options by itself, as it does on port 23.
    for port in [port.to_string(), format!("-{port}")] {
        serve_real_telnet(&port);
    }
}

fn serve_real_telnet(port: &str) {
    let mut terminal = Terminal::start(Command::new("telnet").args(["--", "127.0.0.1", port]));
    terminal.sees("plain text");
    terminal.sees("Password: ");
    // The client has agreed that the server echoes, and has stopped doing so itself.
    while terminal.echoes() {
        std::thread::yield_now();
    }
    terminal.types("cisco\r");
    let shown = terminal.sees("fake> ");
    assert!(!shown.contains("cisco"), "{shown}");
    terminal.types("sh?");
    terminal.sees("sh?\r\n  shout\r\n  show\r\nfake> sh");
    terminal.types("ow\t30\r");
    terminal.sees("line 23\r\n<--- More --->");
    terminal.types(" ");
    terminal.sees("line 30\r\nfake> ");
    terminal.types("enable\r");
    terminal.sees("Password: ");
    terminal.types("cisco\r");
    assert!(!terminal.sees("fake# ").contains("cisco"));
    terminal.types("exit\r");
    terminal.sees("fake> ");
    terminal.types("exit\r");
    terminal.sees("Goodbye.\r\n");
    terminal.sees("closed by foreign host");
    terminal.end();
}
