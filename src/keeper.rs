//! The keeper of the startup configuration: a process of its own that can read and write one file, for a guard that can
//! open none once it is jailed.
//!
//! They speak through a pair of pipes: `read`, `write LENGTH` and the text, `erase`; the answer is `text LENGTH` and the
//! text, `none`, `done`, or `error` and a line. The keeper ends when its pipe does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};
use nix::sys::signal::{SigSet, Signal};

use crate::limits::CONFIG_OCTETS_MAX;
use crate::operator::Store;

/// What `mailguard keep` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file.
    file: PathBuf,
}

/// A keeper that runs.
#[derive(Debug)]
pub struct Keeper {
    name: String,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Keeper {
    /// Starts the keeper of a file.
    ///
    /// # Errors
    ///
    /// One line: this program cannot be started again.
    pub fn start(file: &Path) -> Result<Self, String> {
        let failed =
            |why: io::Error| format!("cannot start the keeper of {}: {why}", file.display());
        let mut child = Command::new("/proc/self/exe")
            .arg("keep")
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(ErrorKind::BrokenPipe.into()));
        };
        Ok(Self { name: file.display().to_string(), pipes: Mutex::new((to, BufReader::new(from))) })
    }

    fn ask(&self, question: &str, text: &str) -> Result<Option<String>, String> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (to, from) = &mut *pipes;
        let gone = |why: io::Error| format!("the keeper of {} has gone: {why}", self.name);
        to.write_all(question.as_bytes()).map_err(gone)?;
        to.write_all(text.as_bytes()).and_then(|()| to.flush()).map_err(gone)?;
        let mut line = String::new();
        from.read_line(&mut line).map_err(gone)?;
        let line = line.trim_end();
        if let Some(why) = line.strip_prefix("error ") {
            return Err(why.to_owned());
        }
        let Some(length) = line.strip_prefix("text ") else {
            return match line {
                "none" | "done" => Ok(None),
                _ => Err(gone(ErrorKind::UnexpectedEof.into())),
            };
        };
        let length = length.parse().unwrap_or(0_usize).min(CONFIG_OCTETS_MAX);
        let mut text = vec![0; length];
        from.read_exact(&mut text).map_err(gone)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

impl Store for Keeper {
    fn read(&self) -> Result<Option<String>, String> {
        self.ask("read\n", "")
    }

    fn write(&self, text: &str) -> Result<(), String> {
        self.ask(&format!("write {}\n", text.len()), text).map(drop)
    }

    fn erase(&self) -> Result<(), String> {
        self.ask("erase\n", "").map(drop)
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// The text of a configuration file.
///
/// # Errors
///
/// One line: it is too long, no text, or cannot be read.
pub fn read(path: &Path) -> Result<Option<String>, String> {
    let name = path.display();
    // Of a pipe, too: who opens one waits until somebody writes.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(format!("cannot read {name}: {why}")),
    };
    if file.metadata().is_ok_and(|of| !of.is_file()) {
        return Err(format!("cannot read {name}: it is no file"));
    }
    let mut octets = Vec::new();
    let most = CONFIG_OCTETS_MAX as u64;
    let got = file.take(most + 1).read_to_end(&mut octets);
    got.map_err(|why| format!("cannot read {name}: {why}"))?;
    if octets.len() > CONFIG_OCTETS_MAX {
        return Err(format!("cannot read {name}: longer than {CONFIG_OCTETS_MAX} octets"));
    }
    match String::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => Ok(Some(text)),
        Ok(_) | Err(_) => Err(format!("cannot read {name}: it is no text")),
    }
}

/// Writes the file anew beside itself, and puts it in its place when it is whole and on the disk.
///
/// # Errors
///
/// One line: the old file is still there.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let written = || {
        // What a crash has left.
        let _ = fs::remove_file(beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    written().map_err(|why| {
        let _ = fs::remove_file(beside);
        format!("cannot write {}: {why}", path.display())
    })
}

/// Keeps a file for who asks on standard input.
///
/// # Errors
///
/// One line: its pipes are broken.
pub fn run(args: &Args) -> Result<(), String> {
    // Who stops the guard at a terminal stops the keeper with it, too early.
    let _ = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]).thread_block();
    let path = &args.file;
    shut_in(path);
    serve(path, io::stdin().lock(), io::stdout().lock()).map_err(|why| why.to_string())
}

/// Leaves nothing to open but what is in the folder of the file.
fn shut_in(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let shut = || -> Result<(), Box<dyn std::error::Error>> {
        let all = AccessFs::from_all(ABI::V5);
        let ours = AccessFs::ReadFile
            | AccessFs::ReadDir
            | AccessFs::WriteFile
            | AccessFs::MakeReg
            | AccessFs::RemoveFile
            | AccessFs::Truncate;
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .create()?
            .add_rule(PathBeneath::new(PathFd::new(folder)?, ours))?
            .restrict_self()?;
        Ok(())
    };
    let _ = nix::sys::prctl::set_no_new_privs();
    if let Err(why) = shut() {
        log::debug!("keeper: no landlock here: {why}");
    }
}

fn serve(path: &Path, mut from: impl BufRead, mut to: impl Write) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut from).take(64).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let done = match line.trim_end().split_once(' ') {
            Some(("write", length)) => {
                let length = length.parse().unwrap_or(usize::MAX);
                if length > CONFIG_OCTETS_MAX {
                    return Err(ErrorKind::InvalidData.into());
                }
                let mut text = vec![0; length];
                from.read_exact(&mut text)?;
                write(path, &String::from_utf8_lossy(&text)).map(|()| None)
            }
            None if line == "read\n" => read(path),
            None if line == "erase\n" => match fs::remove_file(path) {
                Err(why) if why.kind() != ErrorKind::NotFound => {
                    Err(format!("cannot remove {}: {why}", path.display()))
                }
                Ok(()) | Err(_) => Ok(None),
            },
            Some(_) | None => return Err(ErrorKind::InvalidData.into()),
        };
        match done {
            Ok(Some(text)) => {
                writeln!(to, "text {}", text.len())?;
                to.write_all(text.as_bytes())?;
            }
            Ok(None) => writeln!(to, "{}", if line == "read\n" { "none" } else { "done" })?,
            Err(why) => writeln!(to, "error {}", why.replace('\n', " "))?,
        }
        to.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mailguard-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    fn asked(path: &Path, questions: &str) -> String {
        let mut answers = Vec::new();
        serve(path, questions.as_bytes(), &mut answers).expect("a keeper");
        String::from_utf8(answers).expect("text")
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = folder("keeper");
        let path = folder.join("startup");
        assert_eq!(asked(&path, "read\nerase\n"), "none\ndone\n");
        assert_eq!(asked(&path, "write 3\na\nbread\n"), "done\ntext 3\na\nb");
        // What a crash left in the middle of another write is not the file.
        fs::write(folder.join("startup.new"), "half").expect("a file");
        assert_eq!(asked(&path, "read\nwrite 1\nxread\n"), "text 3\na\nbdone\ntext 1\nx");
        assert!(!folder.join("startup.new").exists());
        assert_eq!(asked(&path, "erase\nread\n"), "done\nnone\n");
        fs::remove_dir_all(folder).expect("a folder");
    }

    #[test]
    fn what_is_no_configuration_is_said_and_left_as_it_is() {
        let folder = folder("keeper-bad");
        let told = |path: &Path| asked(path, "read\n");
        assert!(told(&folder).starts_with("error cannot read"), "a folder");
        let pipe = folder.join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        assert!(told(&pipe).contains("it is no file"), "a pipe that nobody writes into");
        let path = folder.join("startup");
        fs::write(&path, [0xff, 0, 0x80]).expect("a file");
        assert!(told(&path).contains("no text"));
        fs::write(&path, vec![b'x'; CONFIG_OCTETS_MAX + 1]).expect("a file");
        assert!(told(&path).contains("longer than"));
        let nowhere = folder.join("none").join("startup");
        assert!(asked(&nowhere, "write 1\nx").starts_with("error cannot write"));
        assert!(serve(&path, &b"write 99999999999\n"[..], Vec::new()).is_err());
        assert!(serve(&path, &b"sing\n"[..], Vec::new()).is_err());
        fs::remove_dir_all(folder).expect("a folder");
    }
}
