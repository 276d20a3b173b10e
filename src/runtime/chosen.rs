//! The runtime of this build, by its features.

use super::api::Runtime;
use crate::stack::slot::SlotRef;

/// The runtime of this build.
#[cfg(not(feature = "hosted"))]
pub(crate) use super::freestanding::Freestanding as Rt;
#[cfg(feature = "hosted")]
/// The runtime of this build.
pub(crate) use super::hosted::Hosted as Rt;

/// What this build's runtime keeps on each slot.
pub(crate) type Tcb = <Rt as Runtime>::Tcb;

/// A slot of this build's runtime.
pub(crate) type Slot = SlotRef<Tcb>;
