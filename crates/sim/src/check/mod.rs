//! What must hold over all of history, one property per file. A check returns what is wrong.

pub(crate) mod elections;
pub(crate) mod logs;
pub(crate) mod promises;
pub(crate) mod reads;
