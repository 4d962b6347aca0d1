//! By what servers carry.

use crate::chance::{below, mix};
use crate::select::tier::{DRAWS, Tier};
use crate::select::view::{Seen, View};

/// Servers that are compared at once.
const WINDOW: usize = 128;

/// Microseconds that a server is taken to need which carries requests and has never answered.
const UNKNOWN: f64 = 1_000_000.0;

impl Tier {
    /// The one that carries least in relation to its weight: of all, or of a window that moves where there are more
    /// than [`WINDOW`]. It begins with a server by the schedule, so that equals take turns by weight, and ends with
    /// the first that is idle.
    pub(super) fn least(&self, view: &View<'_>) -> Option<u32> {
        let mut starts = (0..DRAWS).map(|_| self.turn().1);
        let start = starts.find(|&place| view.admits(self.server(place))).or_else(|| self.passed_over(view))?;
        self.least_from(view, start as usize, Self::load)
    }

    fn least_from(&self, view: &View<'_>, start: usize, cost: impl Cost) -> Option<u32> {
        let mut best: Option<(f64, u32)> = None;
        let places = 0..u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let from_start = places.clone().skip(start).chain(places.take(start));
        for (looked, place) in from_start.enumerate() {
            if looked >= WINDOW && best.is_some() {
                break;
            }
            let Some(seen) = view.look(self.server(place)) else { continue };
            let cost = cost(self, view, place, seen);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, place));
            }
            if cost == 0.0 {
                break;
            }
        }
        best.map(|(_, place)| place)
    }

    /// The cheaper of two that are drawn by weight (Mitzenmacher, "The Power of Two Choices in Randomized Load
    /// Balancing", 2001): nearly as even as looking at all, and workers that decide at the same time do not all
    /// choose the same.
    pub(super) fn of_two(&self, view: &View<'_>, cost: impl Cost) -> Option<u32> {
        let seed = view.chance.advance().wrapping_mul(DRAWS);
        let mut found = None;
        for draw in 0..DRAWS {
            let place = self.schedule[below(mix(seed + draw), self.schedule.len())];
            if found.is_some_and(|(other, _)| other == place) {
                continue;
            }
            let Some(seen) = view.look(self.server(place)) else { continue };
            match found {
                None => found = Some((place, seen)),
                Some((other, of_other)) => {
                    let is_cheaper = cost(self, view, place, seen) < cost(self, view, other, of_other);
                    return Some(if is_cheaper { place } else { other });
                }
            }
        }
        // all the same, or hardly one that is left
        let start = found.map(|(place, _)| place).or_else(|| self.passed_over(view))?;
        self.least_from(view, start as usize, cost)
    }

    /// Requests in relation to weight. While a server is warming the one to come is counted as well, or an idle one
    /// would get them all.
    pub(super) fn load(&self, view: &View<'_>, place: u32, seen: Seen) -> f64 {
        let in_flight = f64::from(seen.in_flight);
        let scaled = match seen.is_warming {
            true => (in_flight + 1.0) / view.part(self.server(place), seen) - 1.0,
            false => in_flight,
        };
        scaled / f64::from(self.weight(place))
    }

    /// How long one more request would take, in relation to weight. Who has never answered is asked, once.
    pub(super) fn expected(&self, view: &View<'_>, place: u32, seen: Seen) -> f64 {
        let endpoint = &view.endpoints[self.server(place) as usize];
        let latency = match endpoint.answers.peak.faded(view.now()) {
            Some(latency) => f64::from(latency),
            None if seen.in_flight == 0 => 0.0,
            None => UNKNOWN,
        };
        let part = view.part(self.server(place), seen);
        latency * (f64::from(seen.in_flight) + 1.0) / part / f64::from(self.weight(place))
    }
}

/// What is compared, of a server in its place.
pub(super) trait Cost: Fn(&Tier, &View<'_>, u32, Seen) -> f64 {}

impl<F: Fn(&Tier, &View<'_>, u32, Seen) -> f64> Cost for F {}
