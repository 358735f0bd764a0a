//! Offline verification of Sigstore signatures, with a reason for every answer.

mod identity;
mod regexp;
mod step;

pub use identity::{Difference, Identity, Pattern};
pub use regexp::{GoRegexp, RegexpError};
pub use step::{Outcome, Report, Step};
