//! The device that all sessions share: its configuration, and the guard that follows it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::{Config, Loaded, Logging, load};
use crate::counters::Counters;
use crate::engine::Filter;
use crate::flow::View;
use crate::policy::{Policy, Timeouts};

/// The running guard, as operators know it.
pub trait Guard: Send + Sync {
    /// New connections follow this policy.
    fn install(&self, policy: Policy, timeouts: Timeouts);

    /// What was counted since the start.
    fn counters(&self) -> Counters;

    /// Connections, `most` at most, and how many there are.
    fn connections(&self, filter: Filter, most: usize) -> (Vec<View>, usize);

    /// Ends connections, and tells both ends.
    fn clear(&self, filter: Filter);

    /// How long it has been running.
    fn uptime(&self) -> Duration;

    /// Octets that connections may hold.
    fn memory_max(&self) -> usize;

    /// Messages go where this says.
    fn log(&self, _logging: &Logging, _personality: &'static str) {}

    /// The buffer of messages, the oldest first.
    fn logged(&self) -> Vec<String> {
        Vec::new()
    }

    /// Empties it.
    fn clear_log(&self) {}

    /// Messages from now on, as they come: those that `logging monitor` wants, or all of them.
    fn listen(&self, _all: bool) -> Option<crossbeam_channel::Receiver<String>> {
        None
    }
}

/// Where the configuration of the next start is kept.
pub trait Store: Send + Sync {
    /// Its text; `None` when there is none yet.
    ///
    /// # Errors
    ///
    /// One line: it is there and cannot be read.
    fn read(&self) -> Result<Option<String>, String>;

    /// Keeps another one, whole or not at all.
    ///
    /// # Errors
    ///
    /// One line: the old one is still there.
    fn write(&self, text: &str) -> Result<(), String>;

    /// Forgets it.
    ///
    /// # Errors
    ///
    /// One line: it is still there.
    fn erase(&self) -> Result<(), String>;

    /// What it is called.
    fn name(&self) -> String;
}

/// How passwords are hashed, and held against their hashes.
#[derive(Debug, Clone, Copy)]
pub struct Passwords {
    /// The hash of a password.
    pub hash: fn(&str) -> String,
    /// Whether the password is that of the hash.
    pub is_right: fn(&str, &str) -> bool,
}

/// What sessions share.
pub struct Device {
    guard: Arc<dyn Guard>,
    store: Option<Box<dyn Store>>,
    passwords: Passwords,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Config,
    /// What was counted when counters were cleared.
    zero: Counters,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Device {
    /// The device with the configuration that is in force.
    pub fn new(
        guard: Arc<dyn Guard>,
        store: Option<Box<dyn Store>>,
        passwords: Passwords,
        config: Config,
    ) -> Self {
        let state = Mutex::new(State { config, zero: Counters::default() });
        Self { guard, store, passwords, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guard.
    pub fn guard(&self) -> &dyn Guard {
        &*self.guard
    }

    /// How passwords are dealt with.
    pub fn passwords(&self) -> Passwords {
        self.passwords
    }

    /// The configuration in force.
    pub fn config(&self) -> Config {
        self.state().config.clone()
    }

    /// Changes the configuration; the guard follows if the change is not refused. Changes of several sessions come one
    /// after the other.
    pub fn change<R, E>(&self, change: impl FnOnce(&mut Config) -> Result<R, E>) -> Result<R, E> {
        let mut state = self.state();
        let mut config = state.config.clone();
        let changed = change(&mut config)?;
        if config != state.config {
            self.follow(&state.config, &config);
            state.config = config;
        }
        Ok(changed)
    }

    fn follow(&self, before: &Config, after: &Config) {
        let policy = after.policy();
        if policy != before.policy() || before.timeouts != after.timeouts {
            self.guard.install(policy, after.timeouts);
        }
        if before.logging != after.logging || before.family() != after.family() {
            self.guard.log(&after.logging, after.personality);
        }
    }

    /// What was counted since counters were cleared.
    pub fn counters(&self) -> Counters {
        let mut counters = self.guard.counters();
        counters.subtract(&self.state().zero);
        counters
    }

    /// Counts from zero.
    pub fn clear_counters(&self) {
        let now = self.guard.counters();
        let mut state = self.state();
        state.zero = now;
        state.config.clear_matched();
    }

    /// The text of the configuration of the next start.
    ///
    /// # Errors
    ///
    /// One line: it cannot be read, or nobody said where it is.
    pub fn startup(&self) -> Result<Option<String>, String> {
        self.store()?.read()
    }

    fn store(&self) -> Result<&dyn Store, String> {
        let missing = "there is no file for it: start mailguard run with --config FILE";
        self.store.as_deref().ok_or_else(|| missing.to_owned())
    }

    /// Keeps the configuration in force as that of the next start; returns where.
    ///
    /// # Errors
    ///
    /// One line: the old one is still kept.
    pub fn write_memory(&self) -> Result<String, String> {
        let text = self.config().text(false);
        let store = self.store()?;
        store.write(&text)?;
        Ok(store.name())
    }

    /// Forgets the configuration of the next start.
    ///
    /// # Errors
    ///
    /// One line: it is still kept.
    pub fn write_erase(&self) -> Result<(), String> {
        self.store()?.erase()
    }

    /// Puts the kept configuration into force; connections keep theirs. Returns what was said of its lines.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the one in force stays.
    pub fn reload(&self) -> Result<Loaded, String> {
        let store = self.store()?;
        let text = store.read()?.unwrap_or_default();
        let loaded = load(&text, self.passwords.hash);
        if loaded.has_errors() {
            let errors = loaded.remarks.iter().filter(|remark| remark.is_error());
            let shown: String = errors.map(|remark| remark.show(&store.name())).collect();
            return Err(format!("{shown}the configuration in force stays as it is"));
        }
        self.change(|config| {
            *config = loaded.config.clone();
            Ok::<_, String>(())
        })?;
        Ok(loaded)
    }
}
