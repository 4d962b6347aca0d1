//! Consistent hashing by a table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016).

use crate::chance::{below, mix};

/// Sizes of tables, all prime. The paper advises a hundred entries for each server: then shares differ by 1 %.
const SIZES: [u32; 5] = [65_537, 131_071, 262_147, 524_309, 1_048_583];

/// Servers fill a table in turns, each by a permutation of its own.
#[derive(Debug)]
pub(super) struct Maglev {
    /// Places of servers.
    table: Box<[u32]>,
}

impl Maglev {
    /// Of servers by the hashes of their names, with weights.
    pub fn new(servers: &[(u64, u32)]) -> Self {
        Self::of_size(servers, SIZES.into_iter().find(|&s| s as usize >= servers.len() * 100).unwrap_or(SIZES[4]))
    }

    fn of_size(servers: &[(u64, u32)], size: u32) -> Self {
        const FREE: u32 = u32::MAX;
        let most = servers.iter().map(|&(_, weight)| u64::from(weight)).max().unwrap_or(1);
        let mut turns: Vec<Permutation> = servers.iter().map(|&(name, _)| Permutation::new(name, size)).collect();
        let mut table = vec![FREE; size as usize].into_boxed_slice();
        let mut left = if servers.is_empty() { 0 } else { table.len() };
        // the heaviest has a turn in each round, one of half its weight in each second
        let mut due = vec![0_u64; servers.len()];
        for round in 1_u64.. {
            for (place, &(_, weight)) in (0_u32..).zip(servers) {
                let (due, turns) = (&mut due[place as usize], &mut turns[place as usize]);
                if round * u64::from(weight) < *due + most {
                    continue;
                }
                if left == 0 {
                    return Self { table };
                }
                *due += most;
                while table[turns.at as usize] != FREE {
                    turns.next(size);
                }
                table[turns.at as usize] = place;
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        Self { table }
    }

    /// Places of servers: the one that the key belongs to, then those of further entries that come from the key.
    pub fn from(&self, key: u64) -> impl Iterator<Item = u32> + '_ {
        let probes = std::iter::successors(Some(key), |&key| Some(mix(key)));
        probes.map(|key| self.table[below(key, self.table.len())])
    }
}

struct Permutation {
    at: u32,
    skip: u32,
}

impl Permutation {
    fn new(name: u64, size: u32) -> Self {
        let (offset, skip) = (mix(name), mix(!name));
        let of = |number: u64, size: u32| below(number, size as usize) as u32;
        Self { at: of(offset, size), skip: of(skip, size - 1) + 1 }
    }

    fn next(&mut self, size: u32) {
        self.at = (self.at + self.skip) % size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(maglev: &Maglev, servers: usize) -> Vec<usize> {
        let mut counts = vec![0; servers];
        maglev.table.iter().for_each(|&place| counts[place as usize] += 1);
        counts
    }

    #[test]
    fn sizes_are_prime_so_that_each_skip_reaches_each_entry() {
        for size in SIZES {
            assert!((2..).take_while(|d| d * d <= size).all(|divisor| size % divisor != 0), "{size}");
        }
    }

    #[test]
    fn a_table_is_even() {
        for count in [1, 3, 100, 1000] {
            let servers: Vec<(u64, u32)> = (0..count).map(|i| (mix(i), 1)).collect();
            let counts = counts(&Maglev::new(&servers), servers.len());
            let (least, most) = (counts.iter().min().expect("one"), counts.iter().max().expect("one"));
            assert!(most - least <= 1, "{least} to {most} of {count}");
        }
    }

    #[test]
    fn a_table_is_filled_in_proportion_to_weights() {
        let servers: Vec<(u64, u32)> = (0..).map(mix).zip([1, 2, 5]).collect();
        let counts = counts(&Maglev::new(&servers), 3);
        for (count, weight) in counts.into_iter().zip([1, 2, 5]) {
            assert!(count.abs_diff(65_537 * weight / 8) <= 2, "{count} of weight {weight}");
        }
    }

    #[test]
    fn a_light_server_beside_a_heavy_one_has_its_entry() {
        let servers: Vec<(u64, u32)> = (0..).map(mix).zip([1, 10_000]).collect();
        assert!((6..=7).contains(&counts(&Maglev::new(&servers), 2)[0]));
    }
}
