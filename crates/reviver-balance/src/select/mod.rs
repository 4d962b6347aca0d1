//! How a server of a tier is chosen.

mod hashed;
mod least;
mod maglev;
mod ring;
mod tier;
mod view;

pub(crate) use tier::{Candidate, Tier};
pub(crate) use view::{Bound, View};
