//! A device that has nothing to guard, and remembers what it was told: the sessions of the unit tests and of the guides are
//! played at it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

// Of whoever takes this file for a module.
use super::{
    Config, Counters, Device, Event, Filter, Guard, Passwords, Policy, Store, Timeouts, View,
};

/// The guard.
#[derive(Default)]
pub(crate) struct Fake {
    /// Policies, the last one in force.
    pub(crate) installed: Mutex<Vec<Policy>>,
    /// How often connections were cleared.
    pub(crate) cleared: AtomicUsize,
}

impl Guard for Fake {
    fn install(&self, policy: Policy, _timeouts: Timeouts) {
        self.installed.lock().unwrap().push(policy);
    }

    fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        counters.happened(Event::CommandRefused);
        counters
    }

    fn connections(&self, _filter: Filter, _most: usize) -> (Vec<View>, usize) {
        (Vec::new(), 3)
    }

    fn clear(&self, _filter: Filter) {
        self.cleared.fetch_add(1, Ordering::Relaxed);
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(3725)
    }

    fn memory_max(&self) -> usize {
        1 << 30
    }
}

/// A file in memory.
#[derive(Default)]
struct Kept(Arc<Mutex<Option<String>>>);

impl Store for Kept {
    fn read(&self) -> Result<Option<String>, String> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn write(&self, text: &str) -> Result<(), String> {
        *self.0.lock().unwrap() = Some(text.into());
        Ok(())
    }

    fn erase(&self) -> Result<(), String> {
        *self.0.lock().unwrap() = None;
        Ok(())
    }

    fn name(&self) -> String {
        "startup-config".into()
    }
}

/// All of it.
pub(crate) struct Desk {
    pub(crate) guard: Arc<Fake>,
    /// The startup configuration.
    pub(crate) kept: Arc<Mutex<Option<String>>>,
    pub(crate) device: Arc<Device>,
}

/// A new device of that personality.
pub(crate) fn desk(personality: &'static str) -> Desk {
    let guard = Arc::new(Fake::default());
    let file = Kept::default();
    let kept = file.0.clone();
    let passwords = Passwords {
        hash: |text| format!("${text}"),
        is_right: |text, hash| hash == format!("${text}"),
    };
    let config = Config::factory(personality);
    let device = Device::new(guard.clone(), Some(Box::new(file)), passwords, config);
    Desk { guard, kept, device: Arc::new(device) }
}
