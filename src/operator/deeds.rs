//! What commands do besides editing.

use super::session::{Asked, Operator, refusal, said, unknown};
use super::show::{
    asp_drop, conn, fixup, logging, mailhosts, memory, packet_tracer, service_policy, version,
};
use crate::config::{Args, Deed, Fault, Mode, Refused, Run, commands, read};
use crate::console::{Said, Session as _};
use crate::engine::Filter;
use crate::limits::{CONFIG_ERRORS_MAX, SHOWN_CONNECTIONS_MAX};

impl Operator {
    pub(super) fn deed(&mut self, deed: Deed, args: &Args, is_no: bool) -> Said {
        let device = self.device.clone();
        let config = || device.config();
        match deed {
            Deed::Enable => {
                let secret = config().enable_password;
                if self.mode == Mode::User && secret.is_some_and(|secret| secret.is_unknown()) {
                    return refusal(unknown("enable password"));
                }
                if self.mode == Mode::User {
                    self.asked = Some(Asked::Enable);
                }
                Said::default()
            }
            Deed::Disable => {
                self.mode = Mode::User;
                self.monitor = None;
                Said::default()
            }
            Deed::Configure => {
                self.mode = Mode::Config;
                Said::default()
            }
            Deed::Exit => match self.mode.outer() {
                Some(outer) => {
                    self.mode = outer;
                    Said::default()
                }
                None => Said { ends: true, ..said("\nLogoff\n\n".into()) },
            },
            Deed::End => {
                self.mode = Mode::Privileged;
                Said::default()
            }
            Deed::Logout => Said { ends: true, ..said("\nLogoff\n\n".into()) },
            Deed::Help => said(help_text()),
            Deed::WriteMemory => done(
                device
                    .write_memory()
                    .map(|name| format!("Building configuration...\n{name}\n[OK]\n")),
            ),
            Deed::WriteErase => done(device.write_erase().map(|()| "[OK]\n".into())),
            Deed::ShowRunning => said(config().text(false)),
            Deed::ShowStartup => done(
                device
                    .startup()
                    .map(|text| text.unwrap_or_else(|| "No startup configuration\n".into())),
            ),
            Deed::CopyStartup => self.copy_startup(),
            Deed::Reload if args.has("noconfirm") => self.reload(),
            Deed::Reload => {
                self.asked = Some(Asked::Reload);
                Said::default()
            }
            Deed::ShowVersion => said(version(&config(), device.guard())),
            Deed::ShowConn => {
                let most = if args.has("count") { 0 } else { SHOWN_CONNECTIONS_MAX };
                let (views, count) = device.guard().connections(Filter::default(), most);
                let peak = device.guard().counters().flows_peak;
                said(conn(&views, count, peak, args.has("detail")))
            }
            Deed::ShowFixup => said(fixup(&config())),
            Deed::ShowMailhost => said(mailhosts(&config())),
            Deed::ShowServicePolicy => {
                said(service_policy(&config(), &device.counters(), args.has("esmtp")))
            }
            Deed::ShowCounters => said(device.counters().to_string()),
            Deed::ShowAspDrop => said(asp_drop(&device.counters())),
            Deed::ShowMemory => said(memory(&device.counters(), device.guard())),
            Deed::ShowLogging => said(logging(&config().logging, &device.guard().logged())),
            Deed::ShowPersonality => said(crate::personality::text_of(&config())),
            Deed::ShowClock => said(clock()),
            Deed::ShowHistory => {
                said(self.history.iter().map(|line| format!("  {line}\n")).collect())
            }
            Deed::ShowTechSupport => said(self.tech_support()),
            Deed::ClearConn => {
                let address = args.get("ADDRESS").and_then(|text| text.parse().ok());
                let port = args.get("PORT").and_then(crate::config::port);
                let filter = Filter { address, port };
                let (_, count) = device.guard().connections(filter, 0);
                device.guard().clear(filter);
                said(format!("{count} connection(s) deleted.\n"))
            }
            Deed::ClearCounters => {
                device.clear_counters();
                Said::default()
            }
            Deed::ClearLogging => {
                device.guard().clear_log();
                Said::default()
            }
            Deed::Debug => {
                self.debug = !is_no;
                self.listen();
                let what = if config().family().has_service_policies() {
                    "debug esmtp"
                } else {
                    "debug fixup smtp"
                };
                said(format!("{what} {}\n", if is_no { "disabled" } else { "enabled" }))
            }
            Deed::Undebug => {
                self.debug = false;
                self.listen();
                Said::default()
            }
            Deed::Monitor => {
                self.is_monitoring = !is_no;
                self.listen();
                Said::default()
            }
            Deed::Pager => {
                self.page_lines = args.get("LINES").and_then(|lines| lines.parse().ok());
                Said::default()
            }
            Deed::PacketTracer => said(packet_tracer(&config(), args)),
        }
    }

    /// Listens as long as the session wants to see something.
    fn listen(&mut self) {
        let wants = self.debug || self.is_monitoring;
        self.monitor = if wants { self.device.guard().listen(self.debug) } else { None };
    }

    pub(super) fn reload(&mut self) -> Said {
        match self.device.reload() {
            Ok(loaded) => {
                self.mode = Mode::User;
                let told: String =
                    loaded.remarks.iter().map(|remark| remark.show("startup-config")).collect();
                said(format!("{told}Reload: the startup configuration is in force.\n"))
            }
            Err(why) => refusal(format!("ERROR: {why}\n")),
        }
    }

    /// Types the kept configuration at the one in force.
    fn copy_startup(&mut self) -> Said {
        let text = match self.device.startup() {
            Ok(text) => text.unwrap_or_default(),
            Err(why) => return refusal(format!("ERROR: {why}\n")),
        };
        let before = core::mem::replace(&mut self.mode, Mode::Config);
        let mut all = Said::default();
        let mut refused = 0_usize;
        for line in text.lines() {
            if !line.starts_with([' ', '\t']) {
                self.mode = Mode::Config;
            }
            let said = self.copied(line);
            refused += usize::from(said.failed);
            if !said.failed || refused <= CONFIG_ERRORS_MAX {
                all.text += &said.text;
            }
        }
        if refused > CONFIG_ERRORS_MAX {
            all.text += &format!("ERROR: {refused} lines in all were not done\n");
        }
        all.failed = refused > 0;
        self.mode = before;
        self.history.clear();
        all
    }

    /// A line of it. What does something, and does not leave a mode, is none: it might be this very command.
    fn copied(&mut self, line: &str) -> Said {
        let command = read(line, &self.mode, self.device.config().family());
        let does = command.is_ok_and(|of| matches!(of.command.run, Run::Deed(_)));
        if does && !matches!(line.trim(), "exit" | "quit" | "end") {
            let why = "it does something, and sets nothing: not in a configuration".into();
            return self.fault(line, &Fault::Refused(Refused { column: 0, why }));
        }
        self.line(line)
    }

    fn tech_support(&mut self) -> String {
        let mut text = String::new();
        for (title, deed) in [
            ("show version", Deed::ShowVersion),
            ("show running-config", Deed::ShowRunning),
            ("show conn", Deed::ShowConn),
            ("show counters", Deed::ShowCounters),
            ("show processes memory", Deed::ShowMemory),
            ("show logging", Deed::ShowLogging),
        ] {
            let shown = if deed == Deed::ShowRunning {
                self.device.config().text(true)
            } else {
                self.deed(deed, &Args::default(), false).text
            };
            text += &format!("------------------ {title} ------------------\n\n{shown}\n");
        }
        text
    }
}

fn done(result: Result<String, String>) -> Said {
    match result {
        Ok(text) => said(text),
        Err(why) => refusal(format!("ERROR: {why}\n")),
    }
}

fn help_text() -> String {
    let count = commands().count();
    format!(
        "?         what may come next, at any place of a line\n\
         TAB       the rest of a word\n\
         conf t    a word may be cut short as long as it can be only one\n\
         no ...    takes back what a command has set\n\
         {count} commands; mailguard reference prints them all\n"
    )
}

/// The time of day, in UTC.
fn clock() -> String {
    jiff::Timestamp::now().strftime("%H:%M:%S%.3f UTC %a %b %-d %Y\n").to_string()
}
