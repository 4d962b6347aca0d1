//! Which server of a pool gets the next request, which variant of a split a person sees, and what is held against
//! a server that fails.
//!
//! Rule 1: pure. Time is an argument, and chance comes from counters, so that the same questions get the same
//! answers. Rule 2: shared by all workers, and what stands on a request's way takes no lock: counters are atomic,
//! limits hold in sum. Rule 3: servers are known by their place in the pool and by their address over reloads.

mod budget;
mod endpoint;
mod outlier;
mod pool;
mod queue;
mod schedule;
mod selector;
mod spec;
mod split;

pub use endpoint::{Endpoint, EndpointStatus};
pub use pool::{Ask, Change, ChangeKind, Choice, Lease, Outcome, Pool};
pub use queue::Ticket;
pub use spec::{Algorithm, HealthSpec, LatencySpec, Member, OutlierSpec, PoolSpec, SuccessRateSpec};
pub use split::{Side, SplitState};
