//! By what the pool hashes on: the same key gets the same server.

use xxhash_rust::xxh3::xxh3_64;

use crate::Algorithm;
use crate::chance::{mix, unit};
use crate::select::View;
use crate::select::maglev::Maglev;
use crate::select::ring::Ring;
use crate::select::tier::{Candidate, Tier};

/// Further places that are looked at by the hash, before all that are left are compared.
const PROBES: usize = 64;

#[derive(Debug)]
pub(super) struct Hashed {
    table: Table,
    /// Hashes of addresses, by place.
    names: Box<[u64]>,
}

#[derive(Debug)]
enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

impl Hashed {
    pub fn new(candidates: &[Candidate<'_>], algorithm: Algorithm) -> Option<Self> {
        let names: Box<[u64]> = candidates.iter().map(|c| xxh3_64(c.address.as_bytes())).collect();
        let named: Vec<(u64, u32)> = names.iter().copied().zip(candidates.iter().map(|c| c.weight)).collect();
        let table = match algorithm {
            Algorithm::Hash => Table::Ring(Ring::new(&named)),
            Algorithm::Maglev => Table::Maglev(Maglev::new(&named)),
            _ => return None,
        };
        Some(Self { table, names })
    }

    /// Keys of a server that cannot be taken are spread over the others, whose own stay where they are; so are those
    /// that are too many for it by the bound, or too many yet while it is warming.
    pub fn pick(&self, tier: &Tier, view: &View<'_>) -> Option<u32> {
        let key = mix(view.ask.hash);
        let takes = |&place: &u32| {
            let server = tier.server(place);
            let draw = || unit(mix(key ^ self.names[place as usize]));
            view.takes(server, draw) && view.is_within_bound(server, tier.weight(place))
        };
        let found = match &self.table {
            Table::Ring(ring) => ring.from(key).take(PROBES).find(takes),
            Table::Maglev(maglev) => maglev.from(key).take(PROBES).find(takes),
        };
        found.or_else(|| self.rendezvous(tier, view, key))
    }

    /// Where most servers are out: the highest of all that are left by a hash of key and server (Thaler and
    /// Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998), weighed as by Schindelhauer and
    /// Schomaker (2005). Who is over its bound comes last.
    fn rendezvous(&self, tier: &Tier, view: &View<'_>, key: u64) -> Option<u32> {
        let places = (0..).zip(tier.members()).filter(|&(_, (server, _))| view.admits(server));
        let scored = places.map(|(place, (server, weight))| {
            let score = f64::from(weight) / -unit(mix(key ^ self.names[place as usize])).ln();
            (view.is_within_bound(server, weight), score, place)
        });
        scored.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(_, _, place)| place)
    }
}
