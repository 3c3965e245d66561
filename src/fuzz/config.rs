//! A configuration: read, written and read again, and each of its lines typed, asked about and completed.

use crate::config::{Config, Editor, Mode, Run, Secret, What, complete, edit, help, load, read};

/// Lines that are typed, at most: each costs a walk through the table of commands.
const LINES_MAX: usize = 64;

/// A hash without randomness that can stand in a line.
fn hash(password: &str) -> String {
    let step = |sum: u64, octet: u8| (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    format!("$f${:016x}", password.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The text of a file, or what somebody types.
pub fn config(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let loaded = load(&text, hash);
    for remark in &loaded.remarks {
        assert!(remark.line <= text.lines().count() && remark.show("f").lines().count() <= 3);
    }
    reads_back(&loaded.config);
    typed(&text);
}

/// Lines that keep a hash which only the device can check, and what is to be said of each whenever it is read.
fn kept(config: &Config) -> Vec<(String, What)> {
    [
        ("enable password", "enable", &config.enable_password),
        ("passwd", "telnet", &config.login_password),
    ]
    .into_iter()
    .filter_map(|(command, what, secret)| match secret {
        Some(secret @ Secret::Device(hash, kind)) if secret.is_unknown() => {
            let note = format!(
                "INFO: a hash of the device's cannot be checked here: set the {what} password anew"
            );
            Some((format!("{command} {hash} {kind}"), What::Note(note)))
        }
        _ => None,
    })
    .collect()
}

/// What was written is read as it was, and nothing is to be said of it but what is kept for the device.
fn reads_back(config: &Config) {
    config.policy();
    let text = config.text(false);
    let loaded = load(&text, hash);
    let said: Vec<_> =
        loaded.remarks.iter().map(|remark| (remark.text.clone(), remark.what.clone())).collect();
    assert_eq!(said, kept(config), "{text}");
    // The name that a personality has by itself is written, too.
    let config = Config { hostname: Some(config.hostname().into()), ..config.clone() };
    assert_eq!(loaded.config, config, "{text}");
    assert_eq!(loaded.config.text(false), text);
    assert!(!config.text(true).contains("$f$"), "a hash that is hidden");
}

/// A session that types the lines: what is refused changes nothing.
fn typed(text: &str) {
    let mut config = Config::default();
    let mut mode = Mode::Config;
    for line in text.lines().take(LINES_MAX) {
        let family = config.family();
        let half = (0..=line.len() / 2).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        for begun in [line, line.get(..half).unwrap_or_default()] {
            for (word, _) in help(begun, &mode, family) {
                assert!(!word.is_empty(), "{begun:?}");
            }
            let partial = begun.rsplit(char::is_whitespace).next().unwrap_or_default();
            for word in complete(begun, &mode, family) {
                let start = word.get(..partial.len());
                assert!(start.is_some_and(|start| start.eq_ignore_ascii_case(partial)), "{word}");
            }
        }
        let command = match read(line, &mode, family) {
            Ok(command) => command,
            Err(fault) => {
                assert!(!fault.text(line).is_empty());
                continue;
            }
        };
        if !matches!(command.command.run, Run::Edit(_)) {
            mode = mode.outer().filter(|mode| *mode != Mode::Privileged).unwrap_or(mode);
            continue;
        }
        let before = (config.clone(), mode.clone());
        let mut editor = Editor { config: &mut config, mode: &mut mode, notes: Vec::new(), hash };
        if edit(&command, &mut editor).is_err() {
            assert_eq!((&config, &mode), (&before.0, &before.1), "refused, and done: {line}");
        }
    }
    reads_back(&config);
}
