//! Smooth weighted round robin as a list that is computed once and read over and over.

/// Bound on the length of a schedule, unless there are more servers than this.
const MAX_LENGTH: u64 = 1024;

/// One cycle of nginx's smooth weighted round robin over `(server, weight)`, none of weight 0.
///
/// A server of weight `w` stands in it `w` times, spread evenly. Weights are reduced by their greatest
/// common divisor, and scaled where their sum would be more than [`MAX_LENGTH`]; each server keeps one
/// place at least.
pub(crate) fn schedule(servers: &[(u32, u32)]) -> Box<[u32]> {
    let weights = reduced(servers);
    if weights.iter().all(|&weight| weight == 1) {
        return servers.iter().map(|&(server, _)| server).collect();
    }
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0_i64; weights.len()];
    let mut cycle = Vec::new();
    for _ in 0..total {
        let mut best = 0;
        for index in 0..weights.len() {
            credit[index] += weights[index];
            // of equals the first is taken
            if credit[index] > credit[best] {
                best = index;
            }
        }
        credit[best] -= total;
        cycle.push(servers[best].0);
    }
    cycle.into()
}

fn reduced(servers: &[(u32, u32)]) -> Vec<i64> {
    let divisor = u64::from(servers.iter().fold(0, |divisor, &(_, weight)| gcd(divisor, weight)).max(1));
    let sum: u64 = servers.iter().map(|&(_, weight)| u64::from(weight) / divisor).sum();
    let scaled = |weight: u64| match sum > MAX_LENGTH {
        true => (weight * MAX_LENGTH / sum).max(1),
        false => weight,
    };
    servers.iter().map(|&(_, weight)| i64::try_from(scaled(u64::from(weight) / divisor)).unwrap_or(1)).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(weights: &[u32]) -> Vec<u32> {
        schedule(&(0..).zip(weights.iter().copied()).collect::<Vec<_>>()).into_vec()
    }

    #[test]
    fn a_heavy_server_does_not_get_its_share_in_one_run() {
        // the example of nginx's own description
        assert_eq!(cycle(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(cycle(&[1, 3]), [1, 0, 1, 1]);
        assert_eq!(cycle(&[2, 2, 4]), [2, 0, 1, 2]);
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(cycle(&[7, 7, 7]), [0, 1, 2]);
        assert_eq!(cycle(&[3]), [0]);
        assert_eq!(cycle(&[]), Vec::<u32>::new());
    }

    #[test]
    fn a_schedule_is_bounded_and_no_server_falls_out() {
        let long = cycle(&[1000, 999, 1]);
        assert!(long.len() <= 1025, "{}", long.len());
        let count = |server| long.iter().filter(|&&s| s == server).count();
        assert_eq!((count(0), count(1), count(2)), (512, 511, 1));

        let many: Vec<u32> = (0..3000).map(|i| 1 + i % 1000).collect();
        let cycle = cycle(&many);
        assert!(cycle.len() < 3000 + 1024, "{}", cycle.len());
        assert!((0..3000).all(|server| cycle.contains(&server)));
    }
}
