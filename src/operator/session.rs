//! One operator's session.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::device::Device;
use crate::config::{
    Config, Editor, Family, Fault, Line, Mode, Run, Secret, Wrong, complete, edit, help,
    is_of_another_version, read,
};
use crate::console::{Said, Session};
use crate::limits::{HISTORY_LINES_MAX, MONITOR_LINES_MAX};

/// What the next line is, if it is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The password of telnet.
    Login,
    /// The password of `enable`.
    Enable,
    /// Whether to `reload`.
    Reload,
}

/// A session of commands.
#[derive(Debug)]
pub struct Operator {
    pub(super) device: Arc<Device>,
    pub(super) mode: Mode,
    pub(super) asked: Option<Asked>,
    attempts: u8,
    pub(super) history: Vec<String>,
    pub(super) page_lines: Option<u16>,
    pub(super) monitor: Option<Receiver<String>>,
    pub(super) debug: bool,
    pub(super) is_monitoring: bool,
}

/// Wrong passwords in a row until the session ends, or the prompt comes back.
const ATTEMPTS_MAX: u8 = 3;

impl Operator {
    /// A session of who could get at the socket of the guard.
    pub fn local(device: Arc<Device>) -> Self {
        Self {
            device,
            mode: Mode::User,
            asked: None,
            attempts: 0,
            history: Vec::new(),
            page_lines: None,
            monitor: None,
            debug: false,
            is_monitoring: false,
        }
    }

    /// A session of who came over a network: a password comes first.
    pub fn remote(device: Arc<Device>) -> Self {
        Self { asked: Some(Asked::Login), ..Self::local(device) }
    }

    /// An answer that is no command.
    fn answer(&mut self, asked: Asked, line: &str) -> Said {
        let config = self.device.config();
        let secret = match asked {
            Asked::Reload => {
                self.asked = None;
                let is_yes = line.trim().is_empty() || line.trim().eq_ignore_ascii_case("y");
                return if is_yes { self.reload() } else { Said::default() };
            }
            Asked::Login => &config.login_password,
            Asked::Enable => &config.enable_password,
        };
        let is_right = match secret {
            Some(Secret::Hash(hash)) => (self.device.passwords().is_right)(line, hash),
            // As delivered: Enter is enough. From afar it is not.
            None => asked == Asked::Enable && line.is_empty(),
            Some(secret) => asked == Asked::Enable && secret.is_none() && line.is_empty(),
        };
        if is_right {
            self.asked = None;
            self.attempts = 0;
            if asked == Asked::Enable {
                self.mode = Mode::Privileged;
            }
            return Said::default();
        }
        self.attempts += 1;
        let is_over = self.attempts >= ATTEMPTS_MAX;
        if is_over && asked == Asked::Enable {
            self.asked = None;
            self.attempts = 0;
            return refusal("Access denied.\n".into());
        }
        let is_unknown = secret.as_ref().is_some_and(Secret::is_unknown);
        let why = if is_unknown { unknown("passwd") } else { "Invalid password\n".into() };
        Said { ends: is_over, ..refusal(why) }
    }

    /// Edits the configuration in force.
    fn edit(&mut self, line: &str, command: &Line) -> Said {
        let mut mode = self.mode.clone();
        let hash = self.device.passwords().hash;
        let changed = self.device.change(|config: &mut Config| {
            let mut editor = Editor { config, mode: &mut mode, notes: Vec::new(), hash };
            edit(command, &mut editor)?;
            Ok(editor.notes)
        });
        match changed {
            Ok(notes) => {
                self.mode = mode;
                said(notes.into_iter().map(|note| note + "\n").collect())
            }
            Err(refused) => self.fault(line, &Fault::Refused(refused)),
        }
    }

    /// What is said of a line that was not done, in the words of the version.
    pub(super) fn fault(&self, line: &str, fault: &Fault) -> Said {
        let family = self.device.config().family();
        let about = if is_of_another_version(line, &self.mode, family) {
            format!("({} has it not)\n", self.device.config().personality)
        } else {
            String::new()
        };
        let is_wrong = matches!(fault, Fault::Wrong(Wrong::Invalid(_) | Wrong::Incomplete(_)));
        if is_wrong && matches!(family, Family::Mailhost | Family::Fixup) {
            let text = "Type help or '?' for a list of available commands.\n";
            return refusal(format!("{text}{about}"));
        }
        let caret = match fault {
            Fault::Wrong(Wrong::Invalid(column)) => {
                let before = line.get(..*column).map_or(0, |text| text.chars().count());
                format!("{}^\n", " ".repeat(self.prompt().chars().count() + before))
            }
            Fault::Wrong(_) | Fault::Refused(_) | Fault::TooLong => String::new(),
        };
        refusal(format!("{caret}{}\n{about}", fault.text(line)))
    }
}

/// What is said to who would have to know a password of which there is a hash of the device's alone.
pub(super) fn unknown(words: &str) -> String {
    format!(
        "ERROR: the password is kept as a hash of the device's, which cannot be checked here. Put '{words} PASSWORD' in its \
         place in the startup configuration, and have it read again (SIGHUP)\n"
    )
}

/// All went well.
pub(super) fn said(text: String) -> Said {
    Said { text, ..Said::default() }
}

/// It did not.
pub(super) fn refusal(text: String) -> Said {
    Said { text, failed: true, ends: false }
}

impl Session for Operator {
    fn prompt(&self) -> String {
        match self.asked {
            Some(Asked::Login | Asked::Enable) => "Password: ".into(),
            Some(Asked::Reload) => "Proceed with reload? [confirm] ".into(),
            None => format!("{}{}", self.device.config().hostname(), self.mode.prompt()),
        }
    }

    fn is_secret(&self) -> bool {
        matches!(self.asked, Some(Asked::Login | Asked::Enable))
    }

    fn line(&mut self, line: &str) -> Said {
        if let Some(asked) = self.asked {
            return self.answer(asked, line);
        }
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['!', ':']) {
            return Said::default();
        }
        // A password is typed at a prompt, but may stand in a line too.
        if !trimmed.contains("passw") {
            self.history.push(trimmed.into());
            if self.history.len() > HISTORY_LINES_MAX {
                self.history.remove(0);
            }
        }
        if let Some(begun) = trimmed.strip_suffix('?') {
            return said(self.help(begun));
        }
        match read(line, &self.mode, self.device.config().family()) {
            Err(fault) => self.fault(line, &fault),
            Ok(command) => match command.command.run {
                Run::Edit(_) => self.edit(line, &command),
                Run::Deed(deed) => self.deed(deed, &command.args, command.is_no),
            },
        }
    }

    fn help(&self, line: &str) -> String {
        let rows = help(line, &self.mode, self.device.config().family());
        if rows.is_empty() {
            return "ERROR: % Unrecognized command\n".into();
        }
        let width = rows.iter().map(|(word, _)| word.len()).max().unwrap_or_default() + 2;
        rows.iter()
            .map(|(word, about)| format!("  {word:width$}{about}").trim_end().to_owned() + "\n")
            .collect()
    }

    fn complete(&self, line: &str) -> Vec<String> {
        if self.asked.is_some() {
            return Vec::new();
        }
        complete(line, &self.mode, self.device.config().family())
    }

    fn asides(&mut self) -> Vec<String> {
        let Some(messages) = &self.monitor else { return Vec::new() };
        messages.try_iter().take(MONITOR_LINES_MAX).collect()
    }
}
