//! What is no configuration is said in a line or two, and nothing comes of it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::harness::{must, run};

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mailguard-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, octets: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, octets).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Also for root, who may read all unless the capabilities are gone.
fn unprivileged(args: &[&str]) -> Command {
    if !nix::unistd::geteuid().is_root() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailguard"));
        command.args(args);
        return command;
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", env!("CARGO_BIN_EXE_mailguard")]);
    command.args(args);
    command
}

/// The exit status, and what was said on standard error.
#[track_caller]
fn ends(command: &mut Command) -> (i32, String) {
    let output = command.stdin(Stdio::null()).output().expect("a command that can be started");
    let said = String::from_utf8(output.stderr).expect("text");
    (output.status.code().expect("no signal"), said)
}

/// Files, the status of `check`, and what is said of each.
fn bad_files(folder: &Folder) -> Vec<(PathBuf, i32, &'static str)> {
    let unreadable = folder.file("unreadable", "hostname a\n");
    must("chmod", &["000", unreadable.to_str().expect("a path")]);
    let pipe = folder.0.join("pipe");
    must("mkfifo", &[pipe.to_str().expect("a path")]);
    vec![
        (folder.file("line", "x".repeat(1 << 20)), 1, "a line has at most 4096 octets"),
        (folder.file("lines", "x\n".repeat(1 << 20)), 1, "the rest is not read"),
        (folder.file("half", "hostname a\nfixup prot"), 1, "half:2:"),
        (folder.file("cut", ": Saved\n:\nfixup protocol smtp 25\n"), 1, "the end is missing"),
        (folder.file("binary", [0x7f, b'E', b'L', b'F', 0xff, 0, b'\n']), 2, "it is no text"),
        (folder.file("nul", "hostname a\0\n"), 2, "it is no text"),
        (folder.file("long", "!\n".repeat(3 << 20)), 2, "longer than"),
        (folder.0.clone(), 2, "it is no file"),
        (pipe, 2, "it is no file"),
        ("/dev/zero".into(), 2, "it is no file"),
        (unreadable, 2, "Permission denied"),
    ]
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_check() {
    let folder = Folder::new("check");
    let good = folder.file("good", "personality pix6x\naccess-list a permit ip any any\n");
    let good = good.to_str().expect("a path");
    let (status, said) = ends(&mut unprivileged(&["check", good]));
    assert_eq!(status, 0, "{said}");
    assert!(said.ends_with(": 0 wrong, 1 unsupported\n"), "{said}");
    let missing = folder.0.join("missing");
    let all = bad_files(&folder).into_iter().chain([(missing, 2, "there is no such file")]);
    for (path, expected, why) in all {
        let (status, said) = ends(&mut unprivileged(&["check", path.to_str().expect("a path")]));
        assert_eq!(status, expected, "{}: {said}", path.display());
        assert!(said.contains(why), "{said}");
        assert!(status == 1 || said.lines().count() == 1, "{said}");
        assert!(said.len() < 50_000, "{} octets", said.len());
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_before_anything_is_done() {
    let folder = Folder::new("run-config");
    for (path, _, why) in bad_files(&folder) {
        let path = path.to_str().expect("a path");
        // Without the privilege to open a leg: it does not come to that.
        let (status, said) = ends(&mut unprivileged(&["run", "--config", path]));
        assert_eq!(status, 1, "{path}: {said}");
        assert!(said.starts_with("mailguard: ") && said.contains(why), "{path}: {said}");
        assert!(!said.contains("CAP_NET_ADMIN") && said.len() < 50_000, "{path}: {said}");
    }
    let good = folder.file("good", "hostname a\n");
    let (status, said) =
        ends(&mut unprivileged(&["run", "--config", good.to_str().expect("a path")]));
    assert_eq!(status, 1);
    assert!(said.contains("CAP_NET_ADMIN") || said.contains("/dev/net/tun"), "{said}");
    let (status, said) =
        ends(run(&["--config", "a", "--personality", "pix6x"]).stdin(Stdio::null()));
    assert_eq!(status, 2, "{said}");
}

#[test]
fn a_keeper_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let folder = Folder::new("killed");
    let text = |letter: u8| vec![letter; 4 << 20];
    let path = folder.file("startup", text(b'a'));
    for turn in 0_u8..40 {
        let mut keeper = Command::new(env!("CARGO_BIN_EXE_mailguard"))
            .arg("keep")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a keeper");
        let mut to = keeper.stdin.take().expect("a pipe");
        let new = text(b'b' + turn % 20);
        to.write_all(format!("write {}\n", new.len()).as_bytes()).expect("a keeper");
        if turn % 4 == 0 {
            // It dies with half of it.
            to.write_all(&new[..new.len() / 2]).expect("a keeper");
        } else {
            to.write_all(&new).expect("a keeper");
            // Somewhere in the middle of writing, or behind it.
            thread::sleep(Duration::from_micros(u64::from(turn) * 400));
        }
        let before = fs::read(&path).expect("a file");
        keeper.kill().expect("a process of ours");
        keeper.wait().expect("an end");
        let mut after = Vec::new();
        File::open(&path).expect("a file").read_to_end(&mut after).expect("a file");
        assert!(after == before || after == new, "turn {turn}: {} octets", after.len());
        assert!(turn % 4 != 0 || after != new, "turn {turn}: half of it was written");
    }
    // What they have left in the way is in nobody's way.
    fs::write(folder.0.join("startup.new"), "half").expect("a file");
    let script = "printf 'write 11\\nhostname a\\nread\\n' | \"$0\" keep \"$1\"";
    let path = path.to_str().expect("a path");
    let said = must("sh", &["-c", script, env!("CARGO_BIN_EXE_mailguard"), path]);
    assert_eq!(said, "done\ntext 11\nhostname a\n");
    assert!(!folder.0.join("startup.new").exists());
}
