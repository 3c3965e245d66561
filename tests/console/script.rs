//! `mailguard console < FILE`.

use std::process::{Command, Output, Stdio};
use std::thread;

use super::*;

fn console(socket: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailguard"));
    command.arg("console").arg("--socket").arg(socket).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What comes of a script: status, standard output, standard error.
fn played(socket: &Path, options: &[&str], script: impl AsRef<[u8]>) -> (i32, String, String) {
    let mut child = console(socket, options).spawn().expect("the program");
    // One that has ended reads no more.
    let _ = child.stdin.take().expect("a pipe").write_all(script.as_ref());
    told(child.wait_with_output().expect("an end"))
}

fn told(output: Output) -> (i32, String, String) {
    let text = |octets| String::from_utf8(octets).expect("text");
    (output.status.code().expect("a status"), text(output.stdout), text(output.stderr))
}

#[test]
fn answers_go_to_standard_output_without_prompts() {
    let served = Served::start(Patience::default());
    // A tab is a blank.
    let script = "echo one\r\nenable\ncisco\n\nconfigure\necho\ttwo\nexit\nshow 3";
    let (status, out, err) = played(&served.socket(), &[], script);
    let expected = "one\ntwo\nline 1\nline 2\nline 3\n";
    assert_eq!((status, out.as_str(), err.as_str()), (0, expected, ""));
    let (status, out, err) = played(&served.socket(), &[], "echo one\nexit\necho two\n");
    assert_eq!((status, out.as_str(), err.as_str()), (0, "one\nGoodbye.\n", ""));
    assert_eq!(played(&served.socket(), &[], ""), (0, String::new(), String::new()));
}

#[test]
fn a_refused_line_is_told_with_its_number_and_the_rest_goes_on() {
    let served = Served::start(Patience::default());
    let script = "echo one\nfly\nenable\nguess\necho two\n";
    let (status, out, err) = played(&served.socket(), &[], script);
    let complaints = "line 2: fly\n% Invalid input: fly\nline 4: (a password)\n% Bad password\n";
    assert_eq!((status, out.as_str(), err.as_str()), (1, "one\ntwo\n", complaints));
    let (status, out, err) = played(&served.socket(), &["--stop"], script);
    let complaint = "line 2: fly\n% Invalid input: fly\n";
    assert_eq!((status, out.as_str(), err.as_str()), (1, "one\n", complaint));
}

#[test]
fn a_line_of_a_megabyte_is_an_error() {
    let served = Served::start(Patience::default());
    let script = [b"echo ", &vec![b'a'; 1 << 20][..], b"\n\xff\nb\0\necho on\n"].concat();
    let (status, out, err) = played(&served.socket(), &[], script);
    assert_eq!((status, out.as_str()), (1, "on\n"));
    for complaint in
        ["line 1: echo aaa", "too long", "line 2: ", "no UTF-8", "line 3: b?", "control"]
    {
        assert!(err.contains(complaint), "{complaint}: {err}");
    }
    assert!(err.len() < 1000, "{}", err.len());
}

#[test]
fn no_guard_is_status_two() {
    let served = Served::start(Patience::default());
    let nobody = served.directory.join("nobody");
    let (status, out, err) = played(&nobody, &[], "echo one\n");
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(
        err.starts_with("mailguard: no guard listens at ") && err.lines().count() == 1,
        "{err}"
    );
    // Left by a guard that has ended.
    drop(std::os::unix::net::UnixListener::bind(&nobody).expect("a socket"));
    assert_eq!(played(&nobody, &[], "echo one\n").0, 2);
    // It goes away in the middle.
    let (status, out, err) = played(&served.socket(), &[], "echo one\npanic\necho two\n");
    assert_eq!((status, out.as_str()), (2, "one\n"));
    assert_eq!(err, "mailguard: line 2: the guard has closed the console\n");
}

#[test]
fn a_hundred_scripts_at_once_run_or_are_told_to_come_again() {
    let served = Served::start(Patience::default());
    let socket = served.socket();
    let children: Vec<_> = (0..100)
        .map(|_| {
            let mut child = console(&socket, &[]).spawn().expect("the program");
            let mut script = child.stdin.take().expect("a pipe");
            // It may have been turned away.
            let _ = script.write_all(b"echo one\nshow 2000\n");
            (child, script)
        })
        .collect();
    let mut counts = [0; 2];
    for (child, script) in children {
        drop(script);
        let (status, out, err) = told(child.wait_with_output().expect("an end"));
        let is_served = status == 0;
        if is_served {
            assert!(out.starts_with("one\nline 1\n") && out.ends_with("line 2000\n"));
        } else {
            let why = "mailguard: the guard has closed the console: All 16 consoles are taken: come again later.\n";
            assert_eq!((status, out.as_str(), err.as_str()), (2, "", why));
        }
        counts[usize::from(is_served)] += 1;
    }
    assert!(counts[1] >= 16, "{counts:?}");
    assert_eq!(counts[0] + counts[1], 100);
}

#[test]
fn lines_that_come_by_themselves_go_to_standard_output() {
    let served = Served::start(Patience::default());
    let mut child = console(&served.socket(), &[]).spawn().expect("the program");
    let mut script = child.stdin.take().expect("a pipe");
    script.write_all(b"aside it happened\n").expect("a script");
    let mut first = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    out.read_line(&mut first).expect("a line");
    assert_eq!(first, "it happened\n");
    drop(script);
    assert!(child.wait().expect("an end").success());
}

#[test]
fn a_reader_that_goes_away_ends_the_script() {
    let served = Served::start(Patience::default());
    let mut child = console(&served.socket(), &[]).spawn().expect("the program");
    drop(child.stdout.take());
    let mut script = child.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || {
        // Until nobody reads it.
        while script.write_all(b"show 100\n").is_ok() {}
    });
    assert_eq!(child.wait().expect("an end").code(), Some(1));
    writer.join().expect("no panic");
}
