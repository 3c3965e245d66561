//! The running guard as its operators know it.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::config::{Config, Logging, Remark, load};
use crate::console::{Factory, ListenArgs, Listeners, hash_password, verify_password};
use crate::counters::Counters;
use crate::engine::{Control, Filter};
use crate::flow::View;
use crate::jail::Warden;
use crate::keeper::{Keeper, read};
use crate::observe::{Device as Family, Logger};
use crate::operator::{Device, Guard, Operator, Passwords, Store};
use crate::policy::{Policy, Timeouts};
use crate::pool::Pool;
use crate::report::Severity;

/// The configuration, and who may change it.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Configuration and consoles")]
pub(super) struct OperateArgs {
    /// The configuration, in Cisco's language; write memory writes it. If there is no such file, that of a new device.
    ///
    /// What other options say of the personality, ports, time-outs and MSS is not heard then. mailguard check FILE says what
    /// is wrong with one, mailguard reference what can stand in one. SIGHUP and reload read it again: new connections
    /// follow it, old ones keep theirs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["personality", "settings", "ports", "mss_max", "timeout_conn", "timeout_half_closed", "timeout_embryonic"])]
    config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) listen: ListenArgs,
}

/// A configuration read at the start.
pub(super) struct Start {
    pub(super) config: Config,
    pub(super) store: Option<Box<dyn Store>>,
}

pub(super) const PASSWORDS: Passwords = Passwords {
    hash: |password| hash_password(password).unwrap_or_default(),
    is_right: |password, hash| verify_password(password, hash),
};

impl OperateArgs {
    /// The configuration of the file, if one was named.
    ///
    /// # Errors
    ///
    /// What is wrong with it, line by line.
    pub(super) fn start(&self) -> Result<Option<Start>, String> {
        let Some(path) = &self.config else { return Ok(None) };
        let name = path.display().to_string();
        let text = read(path)?.unwrap_or_default();
        let loaded = load(&text, PASSWORDS.hash);
        let shown: String = loaded.remarks.iter().map(|remark| remark.show(&name)).collect();
        if loaded.has_errors() {
            let errors = loaded.remarks.iter().filter(|remark| remark.is_error());
            let shown: String = errors.map(|remark: &Remark| remark.show(&name)).collect();
            return Err(format!("{name} is wrong:\n{}", shown.trim_end()));
        }
        for line in shown.lines() {
            log::warn!("{line}");
        }
        let keeper = Keeper::start(path)?;
        Ok(Some(Start { config: loaded.config, store: Some(Box::new(keeper)) }))
    }
}

/// The pool of workers and the logger, as one guard.
pub(super) struct Running {
    pool: Arc<Pool>,
    logger: Logger,
    memory_max: usize,
    since: Instant,
}

impl Running {
    pub(super) fn new(pool: Arc<Pool>, logger: Logger, memory_max: usize) -> Self {
        Self { pool, logger, memory_max, since: Instant::now() }
    }
}

impl Guard for Running {
    fn install(&self, policy: Policy, timeouts: Timeouts) {
        self.pool.control(&Control::SetTimeouts(timeouts));
        self.pool.control(&Control::Install(policy));
    }

    fn counters(&self) -> Counters {
        self.pool.counters()
    }

    fn connections(&self, filter: Filter, most: usize) -> (Vec<View>, usize) {
        self.pool.connections(filter, most)
    }

    fn clear(&self, filter: Filter) {
        self.pool.control(&Control::ClearFlows(filter));
    }

    fn uptime(&self) -> Duration {
        self.since.elapsed()
    }

    fn memory_max(&self) -> usize {
        self.memory_max
    }

    fn log(&self, logging: &Logging, personality: &'static str) {
        let device = Family::of_personality(personality);
        self.logger.configure(self.logger.config().following(logging, device));
    }

    fn logged(&self) -> Vec<String> {
        self.logger.buffer()
    }

    fn clear_log(&self) {
        self.logger.clear_buffer();
    }

    fn listen(&self, all: bool) -> Option<Receiver<String>> {
        Some(self.logger.subscribe(all.then_some(Severity::Debugging)))
    }
}

/// Starts the threads that serve consoles.
pub(super) fn serve_consoles(
    listeners: Listeners,
    device: &Arc<Device>,
    warden: &mut Warden,
) -> Result<(), String> {
    let (here, afar) = (device.clone(), device.clone());
    let local: Factory = Arc::new(move || Box::new(Operator::local(here.clone())));
    let remote: Factory = Arc::new(move || Box::new(Operator::remote(afar.clone())));
    let started = listeners.start(&local, &remote, warden);
    started.map_err(|why| format!("cannot serve consoles: {why}"))
}
