//! A bug in the handling of one flow ends that flow, not the guard.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::counters::Event;
use crate::flow::{Context, Flow};
use crate::wire::packet::Headers;

/// Does `work` on a flow. If it panics, what it caused is taken back, both ends are reset, and
/// nothing of the connection passes any more; `last` is the packet in hand.
pub(super) fn guarded<'a, T>(
    flow: &mut Flow,
    context: &mut Context<'a>,
    last: Option<&Headers>,
    work: impl FnOnce(&mut Flow, &mut Context<'a>) -> T,
) -> Option<T> {
    let (left_before, told_before) = (context.outbox.len(), context.reports.len());
    if let Some(done) = attempt(|| work(flow, context)) {
        flow.tell(context);
        return Some(done);
    }
    context.counters.happened(Event::FlowPanic);
    context.outbox.truncate(left_before);
    context.reports.truncate(told_before);
    // The numbers may still be right, and it may be their use that failed.
    if attempt(|| flow.forget(context)).is_none() {
        context.outbox.truncate(left_before);
    }
    flow.give_up(last, context);
    flow.tell(context);
    None
}

/// The flow is broken after a panic: its owner resets it, which is why it may be looked at again.
fn attempt<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| {
        let done = work();
        #[cfg(test)]
        faults::strike();
        done
    }))
    .ok()
}

/// Faults on purpose, in tests only.
#[cfg(test)]
pub(super) mod faults {
    use core::cell::Cell;

    thread_local! {
        static WANTED: Cell<u32> = const { Cell::new(0) };
    }

    /// The next `count` attempts panic when their work is done.
    pub(crate) fn want(count: u32) {
        WANTED.set(count);
    }

    pub(super) fn strike() {
        if let Some(rest) = WANTED.get().checked_sub(1) {
            WANTED.set(rest);
            panic!("on purpose");
        }
    }
}
