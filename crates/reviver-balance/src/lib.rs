//! Which server of a pool gets the next request, which variant of a split a person sees, and what is held against
//! a server that fails.
//!
//! Rule 1: pure. Time is an argument, and chance comes from counters, so that the same questions get the same
//! answers. Rule 2: shared by all workers, and what stands on a request's way takes no lock: counters are atomic,
//! limits hold in sum. Rule 3: servers are known by their place in the pool and by their address over reloads.

mod adaptive;
mod assess;
mod budget;
mod chance;
mod clock;
mod endpoint;
mod ewma;
mod gradient;
mod health;
mod limits;
mod outlier;
mod pool;
mod queue;
mod schedule;
mod select;
mod selector;
mod shared;
mod spec;
mod split;

pub use endpoint::{Endpoint, EndpointStatus};
pub use limits::Priority;
pub use pool::{Ask, Choice, Lease, Outcome, Pool};
pub use queue::Ticket;
pub use shared::{Change, ChangeKind};
pub use spec::{AdaptiveSpec, Algorithm, HealthSpec, LatencySpec, Member, OutlierSpec, PoolSpec, SuccessRateSpec};
pub use split::{Side, SplitState, person};

/// What a panic left behind is still consistent: each change under a lock is complete or not begun.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
