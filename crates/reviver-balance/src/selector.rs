//! The two tiers of a pool.

use crate::select::{Bound, Candidate, Tier, View};
use crate::{Algorithm, Member, PoolSpec};

/// Chooses servers of one pool; shared by all workers, and kept over reloads that leave the servers as they were.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    /// Primaries, and backups.
    tiers: [Tier; 2],
    algorithm: Algorithm,
}

impl Selector {
    /// The index of a server is its place among the members.
    pub fn new(spec: &PoolSpec) -> Self {
        let tier = |backup: bool| {
            let of_tier = (0_u32..).zip(&spec.members).filter(|(_, m)| m.weight > 0 && m.backup == backup);
            let candidates: Vec<_> =
                of_tier.map(|(server, m)| Candidate { server, weight: m.weight, address: &m.address }).collect();
            Tier::new(&candidates, spec.algorithm)
        };
        Self { tiers: [tier(false), tier(true)], algorithm: spec.algorithm }
    }

    /// Whether it would choose in the same way among these.
    pub fn serves(&self, spec: &PoolSpec, earlier: &PoolSpec) -> bool {
        let same = |(a, b): (&Member, &Member)| (&a.address, a.weight, a.backup) == (&b.address, b.weight, b.backup);
        self.algorithm == spec.algorithm
            && spec.members.len() == earlier.members.len()
            && spec.members.iter().zip(&earlier.members).all(same)
    }

    /// A primary that has room; a backup that has only where no primary could be waited for: backups are for servers that
    /// fail, not for load.
    pub fn pick(&self, view: &mut View<'_>, bound: impl Fn(usize) -> Option<Bound>) -> Option<u32> {
        for (index, tier) in self.tiers.iter().enumerate() {
            view.bound = bound(index);
            let picked = tier.pick(view);
            if picked.is_some() || tier.members().any(|(server, _)| view.is_open(server)) {
                return picked;
            }
        }
        None
    }

    /// Servers of each tier with their weights, none of weight 0.
    pub fn tiers(&self) -> impl Iterator<Item = &Tier> {
        self.tiers.iter()
    }

    /// All servers that may be taken.
    pub fn members(&self) -> impl Iterator<Item = u32> + '_ {
        self.tiers().flat_map(|tier| tier.members().map(|(server, _)| server))
    }
}
