//! Consistent hashing on a ring (Karger et al., "Consistent Hashing and Random Trees", 1997).

use crate::chance::mix;

/// Points of a server of average weight: with these the shares of equal servers differ by some 6 %.
const POINTS: f64 = 256.0;

/// Where each server stands many times; a key belongs to the first that follows it.
#[derive(Debug)]
pub(super) struct Ring {
    /// Position in the upper half, place of the server in the lower, in order.
    points: Box<[u64]>,
    /// By the first bits of a position: the first point that is not before them. So a look-up takes a step or two.
    index: Box<[u32]>,
    shift: u32,
}

impl Ring {
    /// Of servers by the hashes of their names, with weights. How many points a server has does not depend on the
    /// others, but for the scale, a power of two: one that comes or goes moves only its own keys.
    pub fn new(servers: &[(u64, u32)]) -> Self {
        let total: f64 = servers.iter().map(|&(_, weight)| f64::from(weight)).sum();
        let mean = total / servers.len().max(1) as f64;
        let scale = (POINTS / mean.max(1.0)).log2().round().exp2();
        let mut points = Vec::new();
        for (place, &(name, weight)) in (0_u64..).zip(servers) {
            let count = (f64::from(weight) * scale).round().max(1.0) as u64;
            points.extend((0..count).map(|i| (mix(name ^ mix(i)) & !u64::from(u32::MAX)) | place));
        }
        points.sort_unstable();
        let bits = points.len().max(2).next_power_of_two().trailing_zeros();
        let shift = 64 - bits;
        let mut index = Vec::with_capacity(1 << bits);
        let mut next = 0;
        for bucket in 0..1_u64 << bits {
            while points.get(next as usize).is_some_and(|point| point >> shift < bucket) {
                next += 1;
            }
            index.push(next);
        }
        Self { points: points.into(), index: index.into(), shift }
    }

    /// Places of servers, from the one that the key belongs to onwards, once around. The same may come several times.
    pub fn from(&self, key: u64) -> impl Iterator<Item = u32> + '_ {
        let bucket = self.index[(key >> self.shift) as usize] as usize;
        let ahead = self.points[bucket..].iter().take_while(|&&point| point >> 32 < key >> 32).count();
        let (before, after) = self.points.split_at(bucket + ahead);
        after.iter().chain(before).map(|&point| point as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: u64) -> Vec<(u64, u32)> {
        (0..count).map(|i| (mix(i ^ 0x1234_5678), 1)).collect()
    }

    fn keys(count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(|i| mix(i ^ 0xabcd))
    }

    #[test]
    fn the_index_leads_to_the_first_point_at_or_after_a_key() {
        for count in [1, 2, 3, 50] {
            let ring = Ring::new(&names(count));
            let edges = [0, 1, u64::MAX, u64::MAX / 2].into_iter().chain(ring.points.iter().copied());
            for key in keys(1000).chain(edges) {
                let plain = ring.points.iter().find(|&&p| p >> 32 >= key >> 32).unwrap_or(&ring.points[0]);
                assert_eq!(ring.from(key).next(), Some(*plain as u32), "{key:x} of {count}");
            }
            assert_eq!(ring.from(7).count(), ring.points.len());
        }
    }

    #[test]
    fn points_are_in_proportion_to_weights_and_few() {
        let points = |weights: &[u32]| {
            let servers: Vec<(u64, u32)> = (0..).map(mix).zip(weights.iter().copied()).collect();
            let ring = Ring::new(&servers);
            let of = |place| ring.points.iter().filter(|&&p| p as u32 == place).count();
            (0..).zip(weights).map(|(place, _)| of(place)).collect::<Vec<_>>()
        };
        assert_eq!(points(&[1, 1, 1]), [256, 256, 256]);
        assert_eq!(points(&[1, 2, 1]), [256, 512, 256]);
        assert_eq!(points(&[100, 300]), [100, 300]);
        assert_eq!(points(&[1, 60_000]), [1, 469]);
    }

    #[test]
    fn a_thousand_servers_own_equal_parts_but_for_a_quarter() {
        let ring = Ring::new(&names(1000));
        let mut parts = vec![0; 1000];
        // the way to a point is what belongs to it
        ring.points.windows(2).for_each(|pair| parts[pair[1] as u32 as usize] += (pair[1] >> 32) - (pair[0] >> 32));
        let mean = f64::from(u32::MAX) / 1000.0;
        let (least, most) = (parts.iter().min().expect("one"), parts.iter().max().expect("one"));
        assert!(*most as f64 / mean < 1.25 && *least as f64 / mean > 0.75, "{least} to {most}, {mean} on average");
    }
}
