//! By what servers carry.

use crate::chance::{below, mix};
use crate::select::View;
use crate::select::tier::{DRAWS, Tier};

/// Servers that are compared at once.
const WINDOW: usize = 128;

/// Microseconds that a server is taken to need which carries requests and has never answered.
const UNKNOWN: f64 = 1_000_000.0;

impl Tier {
    /// The one that carries least in relation to its weight: of all, or of a window that moves where there are more
    /// than [`WINDOW`]. It begins with a server by the schedule, so that equals take turns by weight, and ends with
    /// the first that is idle.
    pub(super) fn least(&self, view: &View<'_>) -> Option<u32> {
        let start = (0..DRAWS).map(|_| self.schedule[(self.first.advance() % self.schedule.len() as u64) as usize]);
        let start = { start }.find(|&place| view.admits(self.server(place)));
        self.least_from(view, start.unwrap_or_default() as usize, Self::load)
    }

    fn least_from(&self, view: &View<'_>, start: usize, cost: Cost) -> Option<u32> {
        let mut best: Option<(f64, u32)> = None;
        let (head, tail) = self.servers.split_at(start);
        for (looked, place) in (0..tail.len()).map(|i| start + i).chain(0..head.len()).enumerate() {
            if looked >= WINDOW && best.is_some() {
                break;
            }
            if !view.admits(self.servers[place]) {
                continue;
            }
            let place = u32::try_from(place).unwrap_or_default();
            let cost = cost(self, view, place);
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
    pub(super) fn of_two(&self, view: &View<'_>, cost: Cost) -> Option<u32> {
        let seed = view.chance.advance().wrapping_mul(DRAWS);
        let mut found = None;
        for draw in 0..DRAWS {
            let place = self.schedule[below(mix(seed + draw), self.schedule.len())];
            if found == Some(place) || !view.admits(self.server(place)) {
                continue;
            }
            match found {
                None => found = Some(place),
                Some(other) => {
                    let is_cheaper = cost(self, view, place) < cost(self, view, other);
                    return Some(if is_cheaper { place } else { other });
                }
            }
        }
        found.or_else(|| self.least_from(view, below(mix(seed), self.servers.len()), cost))
    }

    /// Requests in relation to weight. While a server is warming the one to come is counted as well, or an idle one
    /// would get them all.
    pub(super) fn load(&self, view: &View<'_>, place: u32) -> f64 {
        let in_flight = view.endpoints[self.server(place) as usize].in_flight();
        let part = view.part(self.server(place), in_flight);
        ((f64::from(in_flight) + 1.0) / part - 1.0) / f64::from(self.weight(place))
    }

    /// How long one more request would take, in relation to weight. Who has never answered is asked, once.
    pub(super) fn expected(&self, view: &View<'_>, place: u32) -> f64 {
        let endpoint = &view.endpoints[self.server(place) as usize];
        let in_flight = endpoint.in_flight();
        let latency = match endpoint.answers.peak.faded(view.now()) {
            Some(latency) => f64::from(latency),
            None if in_flight == 0 => 0.0,
            None => UNKNOWN,
        };
        let part = view.part(self.server(place), in_flight);
        latency * (f64::from(in_flight) + 1.0) / part / f64::from(self.weight(place))
    }
}

/// What is compared.
type Cost = fn(&Tier, &View<'_>, u32) -> f64;
