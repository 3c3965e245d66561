//! Namespaces, the guard as a process, and what it said.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// Long enough for anything that happens at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A `mailguard run` that is not started yet.
pub(crate) fn run(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailguard"));
    command.arg("run").args(args);
    command
}

/// Whether the test may go on; if not, says loudly that it was skipped.
pub(crate) fn root(test: &str) -> bool {
    if geteuid().is_root() {
        return true;
    }
    // Not eprintln!, which the test harness keeps to itself.
    let _ = writeln!(io::stderr(), "SKIPPED {test}: needs root");
    false
}

/// What a command that fails said on standard error, which is one line.
#[track_caller]
pub(crate) fn complaint(command: &mut Command) -> String {
    let output = command.output().expect("a command that can be started");
    assert!(!output.status.success(), "{command:?} succeeded");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(said.lines().count(), 1, "not one line: {said}");
    assert!(said.starts_with("mailguard: "), "{said}");
    said
}

/// Runs a command that must succeed, and returns what it printed.
#[track_caller]
pub(crate) fn must(program: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new(program).args(args).output().expect("a command that can be started");
    let mut said = String::from_utf8_lossy(&stdout).into_owned();
    let _ = write!(said, "{}", String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{program} {args:?}: {said}");
    said
}

/// A network namespace of this test, deleted at its end.
pub(crate) struct Namespace(String);

impl Namespace {
    #[track_caller]
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let namespace = Self(format!("mgtest-{}-{number}", std::process::id()));
        must("ip", &["netns", "add", &namespace.0]);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// `ip ARGS` in the namespace.
    #[track_caller]
    pub(crate) fn ip(&self, args: &[&str]) -> String {
        must("ip", &[&["-n", &self.0], args].concat())
    }

    /// Whether there is such an interface.
    pub(crate) fn has(&self, interface: &str) -> bool {
        self.ip(&["-o", "link"]).contains(&format!(": {interface}: "))
    }

    /// A command that runs in the namespace.
    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).args(args);
        command
    }

    /// A `mailguard run` in the namespace that is not started yet.
    pub(crate) fn run(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_mailguard");
        self.command(program, &[&["run"], args].concat())
    }

    /// A guard that has said that it is ready.
    #[track_caller]
    pub(crate) fn guard(&self, args: &[&str]) -> Guard {
        Guard::start(&mut self.run(args))
    }

    /// Calls `work` on a thread in the namespace; sockets that it opens stay there.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = || {
                let file = File::open(format!("/run/netns/{}", self.0)).expect("the namespace");
                setns(file, CloneFlags::CLONE_NEWNET).expect("the right to enter");
                work()
            };
            scope.spawn(inside).join().expect("no panic in there")
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A running guard, killed at the end of the test.
pub(crate) struct Guard {
    child: Child,
    errors: Receiver<String>,
    output: Receiver<String>,
    /// The line that said that it is ready, and any before it.
    pub(crate) said: String,
}

impl Guard {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a guard that can be started");
        let errors = lines(child.stderr.take().expect("a pipe"));
        let output = lines(child.stdout.take().expect("a pipe"));
        let mut guard = Self { child, errors, output, said: String::new() };
        while !guard.said.contains("guarding ") {
            match guard.errors.recv_timeout(PATIENCE) {
                Ok(line) => guard.said += &(line + "\n"),
                Err(_) => panic!("the guard did not get ready: {}", guard.said),
            }
        }
        guard
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process number");
        kill(Pid::from_raw(pid), signal).expect("a process of ours");
    }

    /// The counters that the guard prints next, as label and value.
    #[track_caller]
    pub(crate) fn counters(&self) -> Vec<(String, u64)> {
        let mut counters = Vec::new();
        loop {
            let line = self.output.recv_timeout(PATIENCE).expect("counters");
            if let [label, value] = line.split_whitespace().collect::<Vec<_>>()[..] {
                counters.push((label.into(), value.parse().expect("a number")));
                // The last of them.
                if label == "leg-full" {
                    return counters;
                }
            }
        }
    }

    /// Waits for the end: whether it was a success, and what was said on standard error since the
    /// guard was ready.
    pub(crate) fn end(&mut self) -> (bool, String) {
        let status = self.child.wait().expect("an end");
        (status.success(), self.errors.iter().collect())
    }

    /// Kills the guard as a crash would.
    pub(crate) fn crash(&mut self) {
        self.child.kill().expect("a process of ours");
        self.child.wait().expect("an end");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
