//! What holds whatever happens, in whatever order.

use std::time::Duration;

use proptest::prelude::*;
use reviver_balance::{
    Algorithm, Ask, ChangeKind, Choice, EndpointStatus, HealthSpec, Lease, Member, Outcome, OutlierSpec, Pool,
    PoolSpec, Priority,
};

use crate::common::{ALGORITHMS, address, ask, seconds, server};

#[derive(Clone, Debug)]
enum Step {
    Choose {
        hash: u64,
        tried: Vec<u32>,
        pinned: Option<u32>,
        priority: Priority,
    },
    /// Of the leases that are held this one ends so.
    End {
        lease: usize,
        outcome: u8,
    },
    Check {
        server: u32,
        good: bool,
    },
    Drain {
        server: u32,
        drained: bool,
    },
    Tick {
        seconds: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)];
    let choose = (any::<u64>(), prop::collection::vec(0u32..6, 0..3), prop::option::of(0u32..7), priority)
        .prop_map(|(hash, tried, pinned, priority)| Step::Choose { hash, tried, pinned, priority });
    let end = (any::<usize>(), 0u8..4).prop_map(|(lease, outcome)| Step::End { lease, outcome });
    let check = (0u32..6, any::<bool>()).prop_map(|(server, good)| Step::Check { server, good });
    let drain = (0u32..6, any::<bool>()).prop_map(|(server, drained)| Step::Drain { server, drained });
    let tick = (0u8..9).prop_map(|seconds| Step::Tick { seconds });
    prop::collection::vec(prop_oneof![8 => choose, 6 => end, 2 => check, 1 => drain, 1 => tick], 1..120)
}

fn specs() -> impl Strategy<Value = PoolSpec> {
    let member = (0u32..4, any::<bool>(), 0u32..4);
    let members = prop::collection::vec(member, 1..6).prop_map(|members| {
        let member = |(index, (weight, backup, max_connections)): (usize, (u32, bool, u32))| Member {
            address: address(index),
            weight,
            backup,
            max_connections,
        };
        members.into_iter().enumerate().map(member).collect()
    });
    let outlier = any::<bool>().prop_map(|on| {
        on.then_some(OutlierSpec {
            consecutive_errors: 2,
            success_rate: None,
            latency: None,
            every: Duration::from_secs(10),
            eject: Duration::from_secs(10),
            max_eject: Duration::from_secs(60),
            max_ejected: 5_000,
        })
    });
    let bound = prop_oneof![Just(0u32), Just(125)];
    let limits = (prop_oneof![Just(0u32), 1u32..8], 0u32..2);
    let rest = (bound, outlier, 0u64..20, limits);
    (members, 0usize..8, rest).prop_map(|(members, kind, (hash_bound, outlier, slow_start, limits))| PoolSpec {
        members,
        max_requests: limits.0,
        queue_max: limits.1,
        algorithm: ALGORITHMS[kind],
        hash_bound,
        outlier,
        health: Some(HealthSpec { rise: 1, fall: 1 }),
        slow_start: Duration::from_secs(slow_start),
        ..PoolSpec::default()
    })
}

/// What must be chosen among, by what is shown: servers with room, and those that only lack it.
fn candidates(pool: &Pool, ask: &Ask<'_>) -> (Vec<u32>, Vec<u32>) {
    let status = pool.status(ask.now);
    let of = |fits: &dyn Fn(u32, &EndpointStatus) -> bool| -> Vec<u32> {
        let fits =
            |(server, s): &(u32, &EndpointStatus)| s.weight > 0 && !ask.tried.contains(server) && fits(*server, s);
        (0..).zip(&status).filter(fits).map(|(server, _)| server).collect()
    };
    let is_pinned = |server: u32, s: &EndpointStatus| {
        ask.pinned == Some(server) && s.state == "draining" && s.ejected_ms.is_none() && !pool.is_down(server)
    };
    let mut open = of(&|server, s| matches!(s.state, "up" | "warming") || is_pinned(server, s));
    if open.is_empty() {
        open = of(&|_, s| s.state == "ejected");
    }
    let has_room = |server: &u32| {
        let s = &status[*server as usize];
        s.max_connections == 0 || s.in_flight < s.max_connections
    };
    // backups are for servers that fail, not for load
    let is_backup = |server: u32| status[server as usize].backup;
    let primary = open.iter().any(|&s| !is_backup(s) && status[s as usize].state != "draining");
    let is_bound = |server: u32| ask.pinned == Some(server) && status[server as usize].state != "ejected";
    let is_wanted = |&server: &u32| !primary || !is_backup(server) || is_bound(server);
    let free = open.iter().copied().filter(has_room).filter(is_wanted).collect();
    (free, open)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn never_one_that_may_not_be_taken_and_one_where_one_may(spec in specs(), steps in steps()) {
        let pool = Pool::new(spec, None);
        let mut leases: Vec<Lease<'_>> = Vec::new();
        let mut now = 0.0;
        for step in steps {
            match step {
                Step::Choose { hash, tried, pinned, priority } => {
                    let ask = Ask { now: seconds(now), hash, tried: &tried, pinned, priority, ..ask() };
                    let (mut free, open) = candidates(&pool, &ask);
                    let is_full = !has_room(&pool, priority);
                    if is_full {
                        free.clear();
                    }
                    let must_not_wait = priority == Priority::Low || is_full && pool.spec().queue_max == 0;
                    match pool.choose(&ask) {
                        Choice::Server(lease) => {
                            prop_assert!(free.contains(&lease.index()), "{} of {free:?}", lease.index());
                            prop_assert!(pinned.is_none_or(|p| !free.contains(&p) || lease.index() == p || is_ejected(&pool, p)));
                            let is_backup = |s: &u32| pool.spec().members[*s as usize].backup;
                            let must_be_primary = free.iter().any(|s| !is_backup(s) && !is_drained(&pool, *s));
                            prop_assert!(!must_be_primary || !is_backup(&lease.index()) || pinned == Some(lease.index()));
                            leases.push(lease);
                        }
                        refused @ (Choice::Full | Choice::Shed) => {
                            prop_assert!(free.is_empty() && !open.is_empty(), "{free:?} of {open:?}");
                            prop_assert_eq!(matches!(refused, Choice::Shed), must_not_wait);
                        }
                        Choice::None => prop_assert!(open.is_empty(), "{open:?}"),
                    }
                }
                Step::End { lease, outcome } => if !leases.is_empty() {
                    let lease = leases.swap_remove(lease % leases.len());
                    match outcome {
                        0 => lease.observe(Outcome::Success(1000), seconds(now)),
                        1 => lease.observe(Outcome::Error(1000), seconds(now)),
                        2 => lease.observe(Outcome::Failure, seconds(now)),
                        _ => {}
                    }
                },
                Step::Check { server, good } => pool.checked(server, if good { Ok(()) } else { Err("503") }, seconds(now)),
                Step::Drain { server, drained } => {
                    pool.set_drained(&address(server as usize), drained, seconds(now));
                }
                Step::Tick { seconds: passed } => {
                    now += f64::from(passed);
                    pool.tick(seconds(now));
                }
            }
            let carried: u32 = pool.status(seconds(now)).iter().map(|s| s.in_flight).sum();
            prop_assert_eq!(carried as usize, leases.len());
            prop_assert!(pool.limit_status().is_none_or(|(counted, _)| counted == carried));
        }
        leases.clear();
        prop_assert!(pool.status(seconds(now)).iter().all(|s| s.in_flight == 0));
        // of each server what is told alternates
        let changes = pool.take_changes();
        for (on, off) in [
            (ChangeKind::Down, ChangeKind::Up),
            (ChangeKind::Ejected, ChangeKind::Returned),
            (ChangeKind::Draining, ChangeKind::Restored),
            (ChangeKind::Out, ChangeKind::Back),
        ] {
            let servers = pool.spec().members.iter().map(|m| Some(m.address.clone())).chain([None]);
            for server in servers {
                let told = changes.iter().filter(|c| c.server == server && (c.kind == on || c.kind == off));
                let told: Vec<_> = told.map(|c| c.kind == on).collect();
                prop_assert!(told.iter().enumerate().all(|(i, &is_on)| is_on == (i % 2 == 0)), "{on:?}: {told:?}");
            }
        }
    }

    #[test]
    fn every_member_with_weight_is_reached(weights in prop::collection::vec(1u32..6, 1..40), kind in 0usize..7) {
        let pool = crate::common::pool(ALGORITHMS[kind], &weights);
        let picks = crate::common::sequence(&pool, 400 * weights.len() as u64);
        prop_assert_eq!(picks.len(), weights.len());
    }
}

fn has_room(pool: &Pool, priority: Priority) -> bool {
    let share = match priority {
        Priority::Low => 0.7,
        Priority::Normal => 1.0,
        Priority::High => 1.2,
    };
    pool.limit_status().is_none_or(|(carried, bound)| f64::from(carried) < share * f64::from(bound))
}

fn is_ejected(pool: &Pool, server: u32) -> bool {
    pool.status(seconds(0.0))[server as usize].state == "ejected"
}

fn is_drained(pool: &Pool, server: u32) -> bool {
    pool.status(seconds(0.0))[server as usize].state == "draining"
}

#[test]
fn retries_have_a_budget() {
    let spec =
        PoolSpec { retry_percent: 2_000, retries_per_second: 1, ..crate::common::spec(Algorithm::First, &[1, 1]) };
    let pool = Pool::new(spec, None);
    for _ in 0..100 {
        server(&pool, &ask());
        // a retry is no request, nor is who asks again after waiting
        server(&pool, &Ask { tried: &[0], ..ask() });
        server(&pool, &Ask { queued: true, ..ask() });
    }
    let granted = |after: f64| (0..1000).filter(|_| pool.may_retry(seconds(after))).count();
    assert_eq!(granted(0.5), 30, "a fifth of a hundred, and ten");
    assert_eq!(granted(9.0), 0);
    assert_eq!(granted(10.0), 10, "requests and retries are past, the ten are not");
    let reloaded = Pool::new(pool.spec().clone(), Some(&pool));
    assert!(!reloaded.may_retry(seconds(10.0)), "a reload gives nothing back");
}
