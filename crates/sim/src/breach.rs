//! What goes wrong in a run.

use std::fmt;

use crate::plan::Plan;

/// A property that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Breach {
    /// Which one, as the same words each time; shrinking looks for the same one.
    pub(crate) property: &'static str,
    /// Where, and what was found.
    pub(crate) what: String,
}

/// What every check returns.
pub(crate) type Held = Result<(), Breach>;

/// Says that a property does not hold.
pub(crate) fn breach<T>(property: &'static str, what: impl Into<String>) -> Result<T, Breach> {
    Err(Breach { property, what: what.into() })
}

/// A property that did not hold in a run, and all that is needed to see it again.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What the run was.
    pub plan: Plan,
    /// When it was noticed, in virtual microseconds.
    pub at_us: u64,
    /// How many events had happened.
    pub events: u64,
    /// Which property.
    pub property: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, at_us, events, property, what } = self;
        writeln!(f, "seed {}, event {events}, at {at_us} us: {property}", plan.seed)?;
        writeln!(f, "  {what}")?;
        write!(f, "  {plan:?}")
    }
}
