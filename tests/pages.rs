//! Man pages and completions, held against what `--help` tells and the table of commands has.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, id};

use mailguard::config::commands;

fn mailguard(words: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_mailguard")).args(words).output().expect("it runs");
    assert!(ran.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

/// The words behind `Commands:`.
fn subcommands() -> Vec<String> {
    let help = mailguard(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").expect("a list of commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The options and arguments of one, as its help begins lines with them.
fn options(subcommand: &str) -> BTreeSet<String> {
    let help = mailguard(&[subcommand, "--help"]);
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',']).take(3));
    let found: BTreeSet<_> =
        words.filter(|word| word.starts_with("--")).map(str::to_owned).collect();
    assert!(found.contains("--help"), "{subcommand}: {help}");
    found
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("mailguard-pages-{}", id()));
        fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    /// A page as it is read: without the escapes of hyphens, dots and quotes.
    fn page(&self, name: &str) -> String {
        let text =
            fs::read_to_string(self.0.join(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
        text.replace("\\-", "-").replace("\\&", "").replace("\\*(Aq", "'")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_subcommand_and_option_and_command_is_in_the_man_pages() {
    let directory = Directory::new();
    mailguard(&["man", directory.0.to_str().expect("text")]);
    let main = directory.page("mailguard.1");
    let all = subcommands();
    assert!(all.len() >= 9 && !all.iter().any(|name| name == "keep"), "{all:?}");
    for name in &all {
        assert!(main.contains(&format!("mailguard-{name}(1)")), "{name}");
        let page = directory.page(&format!("mailguard-{name}.1"));
        for option in options(name) {
            assert!(page.contains(&format!("\\fB{option}\\fR")), "{name}: {option}");
        }
        assert!(page.contains("mailguard-commands(5)"), "{name}");
    }
    let page = directory.page("mailguard-commands.5");
    for command in commands() {
        let syntax = command.syntax.replace('\\', "\\\\");
        assert!(page.contains(&syntax) && page.contains(command.about), "{syntax}");
    }
    let count = fs::read_dir(&directory.0).expect("it is there").count();
    assert_eq!(count, all.len() + 2, "no page of what is hidden");
    for entry in fs::read_dir(&directory.0).expect("it is there") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.lines().all(|line| !line.is_empty()), "{}: empty lines", path.display());
    }
}

#[test]
fn every_subcommand_and_option_can_be_completed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = mailguard(&["completions", shell]);
        for name in subcommands() {
            assert!(text.contains(&name), "{shell}: {name}");
            for option in options(&name) {
                let word = if shell == "fish" {
                    format!("-l {}", option.trim_start_matches('-'))
                } else {
                    option
                };
                assert!(text.contains(&word), "{shell}: {name} {word}");
            }
        }
    }
}

/// What bash makes of the last of these words.
fn completed(words: &[&str]) -> Vec<String> {
    let script = mailguard(&["completions", "bash"]);
    let last = words.len() - 1;
    let ask = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={last}; _mailguard mailguard '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words[last],
        words[last - 1]
    );
    let ran = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash");
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes() {
    assert_eq!(completed(&["mailguard", "che"]), ["check"]);
    assert_eq!(
        completed(&["mailguard", "run", "--personality", "pix4"]),
        ["pix40", "pix41", "pix42", "pix44"]
    );
    assert_eq!(completed(&["mailguard", "run", "--conf"]), ["--config"]);
    assert_eq!(completed(&["mailguard", "kee"]), [""], "not what is hidden");
}
