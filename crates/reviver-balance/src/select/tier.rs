//! The primaries of a pool, or its backups.

use crate::Algorithm;
use crate::chance::{Cursor, below, mix, unit};
use crate::schedule::schedule;
use crate::select::View;
use crate::select::hashed::Hashed;

/// Draws from the schedule before servers are looked through one by one.
pub(super) const DRAWS: u64 = 8;

/// A server of a tier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// Its place among the pool's members.
    pub server: u32,
    /// Not 0.
    pub weight: u32,
    pub address: &'a str,
}

#[derive(Debug, Default)]
pub(crate) struct Tier {
    pub(super) servers: Box<[u32]>,
    weights: Box<[u32]>,
    /// Places in `servers`, in proportion to weights.
    pub(super) schedule: Box<[u32]>,
    first: Cursor,
    again: Cursor,
    algorithm: Algorithm,
    hashed: Option<Hashed>,
}

impl Tier {
    pub fn new(candidates: &[Candidate<'_>], algorithm: Algorithm) -> Self {
        let places: Vec<(u32, u32)> = (0..).zip(candidates).map(|(place, c)| (place, c.weight)).collect();
        Self {
            servers: candidates.iter().map(|c| c.server).collect(),
            weights: candidates.iter().map(|c| c.weight).collect(),
            schedule: schedule(&places),
            first: Cursor::default(),
            again: Cursor::default(),
            algorithm,
            hashed: Hashed::new(candidates, algorithm),
        }
    }

    /// A server that has room, by the algorithm; none: none has, or none may be taken.
    pub fn pick(&self, view: &View<'_>) -> Option<u32> {
        if self.servers.is_empty() {
            return None;
        }
        let place = match (self.algorithm, &self.hashed) {
            (_, Some(hashed)) => hashed.pick(self, view),
            (Algorithm::Random, _) => self.at_random(view),
            (Algorithm::LeastRequests, _) => self.least(view),
            (Algorithm::PowerOfTwo, _) => self.of_two(view, Self::load),
            (Algorithm::PeakEwma, _) => self.of_two(view, Self::expected),
            (Algorithm::First, _) => self.in_order(view),
            _ => self.in_turn(view),
        };
        place.map(|place| self.servers[place as usize])
    }

    /// First tries follow one schedule, whichever worker asks, so that shares are exact over each cycle; places of
    /// servers that cannot be taken are passed over, so that the rest keep their shares among themselves.
    ///
    /// Further tries of a request have a position of their own: if they moved the first, a dead server in a pool of
    /// two would be the first try of every request.
    fn in_turn(&self, view: &View<'_>) -> Option<u32> {
        if !view.ask.tried.iter().any(|server| self.servers.binary_search(server).is_ok()) {
            for _ in 0..DRAWS {
                let (turn, place) = self.turn();
                if view.takes(self.server(place), || unit(mix(turn))) {
                    return Some(place);
                }
            }
        }
        self.passed_over(view)
    }

    /// The next turn, and whose it is.
    pub(super) fn turn(&self) -> (u64, u32) {
        let turn = self.first.advance();
        (turn, self.schedule[(turn % self.schedule.len() as u64) as usize])
    }

    fn at_random(&self, view: &View<'_>) -> Option<u32> {
        let seed = view.chance.advance().wrapping_mul(DRAWS);
        for draw in 0..DRAWS {
            let number = mix(seed + draw);
            let place = self.schedule[below(number, self.schedule.len())];
            if view.takes(self.server(place), || unit(mix(number))) {
                return Some(place);
            }
        }
        self.passed_over(view)
    }

    /// The schedule without those who are not admitted, in turn.
    pub(super) fn passed_over(&self, view: &View<'_>) -> Option<u32> {
        let admitted = || self.schedule.iter().copied().filter(|&place| view.admits(self.server(place)));
        let left = admitted().count();
        if left == 0 {
            return None;
        }
        // others may take what was counted: any that is left will do
        admitted().nth((self.again.advance() % left as u64) as usize).or_else(|| admitted().next())
    }

    fn in_order(&self, view: &View<'_>) -> Option<u32> {
        let places = || 0..u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        places()
            .find(|&place| view.takes(self.server(place), || view.draw()))
            .or_else(|| places().find(|&place| view.admits(self.server(place))))
    }

    pub(super) fn server(&self, place: u32) -> u32 {
        self.servers[place as usize]
    }

    pub(super) fn weight(&self, place: u32) -> u32 {
        self.weights[place as usize]
    }

    /// Servers of the tier with their weights.
    pub fn members(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.servers.iter().copied().zip(self.weights.iter().copied())
    }
}
