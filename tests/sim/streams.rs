//! Whatever is said and however it gets there, each end receives what the policy says.

use crate::reference::Mode;
use crate::report::scenarios;
use crate::scenario::Scenario;

#[test]
fn off_changes_nothing() {
    scenarios("streams::off_changes_nothing", 800, |seed| Scenario::seeded(Mode::Off, seed));
}

#[test]
fn mailguard_edits_as_the_policy_says() {
    scenarios("streams::mailguard_edits_as_the_policy_says", 2500, |seed| {
        Scenario::seeded(Mode::Mailguard, seed)
    });
}

#[test]
fn pix40_edits_as_the_policy_says() {
    scenarios("streams::pix40_edits_as_the_policy_says", 1200, |seed| {
        Scenario::seeded(Mode::Pix40, seed)
    });
}
