//! Pools and splits as the control plane sees and steers them.

use std::time::Instant;

use reviver_balance::{Change, ChangeKind, EndpointStatus};
use serde_json::{Value, json};

use super::{Engine, EngineError};

impl Engine {
    /// All pools with what is known of their servers.
    pub fn pool_status(&self) -> Value {
        let state = self.state();
        let snapshot = &state.prepared.snapshot;
        let now = Instant::now();
        let pools = snapshot.balanced().map(|(pool, balancer)| {
            json!({
                "name": pool.name, "balance": pool.balance, "panic": balancer.in_panic(), "waiting": balancer.waiting(),
                "servers": balancer.status(now).iter().map(shown).collect::<Vec<_>>(),
            })
        });
        json!({ "pools": pools.collect::<Vec<_>>() })
    }

    /// Takes a server out for new clients, or brings it back.
    pub fn pool_drain(&self, pool: &str, server: &str, drained: bool) -> Result<(), EngineError> {
        let state = self.state();
        let snapshot = &state.prepared.snapshot;
        let found = snapshot.balanced().find(|(p, _)| p.name == pool);
        let (_, balancer) = found.ok_or_else(|| EngineError::NoPool(pool.to_owned()))?;
        match balancer.set_drained(server, drained, Instant::now()) {
            true => Ok(()),
            false => Err(EngineError::NoServer { pool: pool.to_owned(), server: server.to_owned() }),
        }
    }

    /// All splits with their weights and what their variants have answered.
    pub fn split_status(&self) -> Value {
        let state = self.state();
        self.metrics.splits(&state.prepared.snapshot)
    }

    /// Puts other weights of a split in force, in hundredths of a percent.
    pub fn split_set(&self, name: &str, weights: &[u32]) -> Result<(), EngineError> {
        let state = self.state();
        let snapshot = &state.prepared.snapshot;
        let found = snapshot.divided().find(|(s, _)| s.name == name);
        let (_, split) = found.ok_or_else(|| EngineError::NoSplit(name.to_owned()))?;
        if split.set(weights) { Ok(()) } else { Err(EngineError::Weights(name.to_owned())) }
    }

    /// What mirrors have copied, and how answers to the copies differ.
    pub fn mirror_status(&self) -> Value {
        self.shared.mirrors.status()
    }

    /// What has changed in pools since the last call.
    pub fn events(&self) -> Value {
        let state = self.state();
        let snapshot = &state.prepared.snapshot;
        let events = snapshot
            .balanced()
            .flat_map(|(pool, balancer)| balancer.take_changes().into_iter().map(|change| told(&pool.name, &change)));
        Value::Array(events.collect())
    }
}

fn told(pool: &str, change: &Change) -> Value {
    json!({"pool": pool, "server": change.server, "kind": kind(change.kind), "detail": change.detail})
}

fn shown(server: &EndpointStatus) -> Value {
    json!({
        "address": server.address, "state": server.state, "weight": server.weight, "backup": server.backup,
        "max_connections": server.max_connections, "in_flight": server.in_flight, "requests": server.requests,
        "errors": server.errors, "latency_ms": server.latency_ms, "check": server.check,
        "checked_ms_ago": server.checked_ms_ago, "ejected_ms": server.ejected_ms, "ejections": server.ejections,
    })
}

fn kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Up => "up",
        ChangeKind::Down => "down",
        ChangeKind::Ejected => "ejected",
        ChangeKind::Returned => "returned",
        ChangeKind::Draining => "draining",
        ChangeKind::Restored => "restored",
        ChangeKind::Out => "out",
        ChangeKind::Back => "back",
        ChangeKind::Panic => "panic",
        ChangeKind::Calm => "calm",
    }
}
