//! How often a class of a policy map has matched: the numbers of `show service-policy inspect esmtp`.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

/// A count that whoever shows it shares with all who match. Nothing is touched while nothing matches, and nothing that
/// the guard does depends on it.
#[derive(Debug, Default, Clone)]
pub struct Matched(Option<Arc<AtomicU64>>);

impl Matched {
    /// Nobody counts.
    pub const UNCOUNTED: Self = Self(None);

    /// From zero.
    pub fn counted() -> Self {
        Self(Some(Arc::default()))
    }

    /// Once more.
    pub fn count(&self) {
        if let Some(count) = &self.0 {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How often up to now.
    pub fn times(&self) -> u64 {
        self.0.as_ref().map_or(0, |count| count.load(Relaxed))
    }

    /// Counts from zero again.
    pub fn clear(&self) {
        if let Some(count) = &self.0 {
            count.store(0, Relaxed);
        }
    }
}

impl PartialEq for Matched {
    /// What has been counted says nothing of what is wanted.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Matched {}
