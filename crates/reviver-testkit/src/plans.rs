//! Small plans, written as the control plane would write them.

use reviver_plan::Plan;
use serde_json::{Value, json};

/// A plan with the given halves: `reverse` and `forward` objects as in the plan document.
///
/// # Panics
/// Where the document is not a plan: tests are to be mended then.
pub fn plan(halves: Value) -> Plan {
    let limits = json!({
        "head": 32768, "fields": 100, "target": 8192, "body": 1000, "connections": 0, "connections_per_client": 0, "requests_per_connection": 0,
        "streams": 100, "stream_window": 65536, "stream_resets": 100, "stream_errors": 100, "control_frames": 1000,
        "continuations": 8, "stalls": 10
    });
    let timeouts = json!({
        "head_ms": 1000, "body_ms": 1000, "keep_alive_ms": 1000, "connect_ms": 1000, "first_byte_ms": 1000,
        "idle_ms": 1000, "tunnel_ms": 1000, "handshake_ms": 1000
    });
    let listener = |name: &str, port: u16| {
        json!({
            "name": name, "at": "t.yaml:2", "bind": [format!("127.0.0.1:{port}")], "role": name, "backlog": 16,
            "tls": null, "http2": true, "proxy_protocol": false, "redirect_https": null, "hsts": null,
            "limits": limits, "timeouts": timeouts
        })
    };
    let mut listeners = Vec::new();
    for (name, port) in [("reverse", 8080), ("forward", 3128)] {
        if halves.get(name).is_some() {
            listeners.push(listener(name, port));
        }
    }
    let document = json!({
        "fingerprint": reviver_plan::fingerprint(),
        "workers": 1,
        "listeners": listeners,
        "trusted_proxies": halves.get("trusted_proxies").cloned().unwrap_or(json!([])),
        "via": "reviver-test",
        "resolver": {
            "servers": [], "hosts_file": true, "min_ttl_ms": 0, "max_ttl_ms": 1000, "cache_size": 10,
            "timeout_ms": 1000, "fallback_delay_ms": 250
        },
        "challenges": {"http": [], "alpn": []},
        "cache": halves.get("cache").cloned().unwrap_or(Value::Null),
        "reverse": halves.get("reverse").cloned().unwrap_or(Value::Null),
        "forward": halves.get("forward").cloned().unwrap_or(Value::Null),
        "logs": []
    });
    reviver_plan::parse(&document.to_string()).expect("the test's plan is one")
}

/// One route to one pool of these servers, for [`plan`].
pub fn reverse(servers: &[&str]) -> Value {
    let servers: Vec<Value> = servers
        .iter()
        .map(|s| json!({"address": s, "at": "t.yaml:9", "weight": 1, "backup": false, "max_connections": 0}))
        .collect();
    json!({
        "reverse": {
            "routes": [route("all", json!({"pool": 0}), json!({}))],
            "pools": [pool("a", servers.into(), json!({}))],
            "splits": []
        }
    })
}

/// A pool with every default; `changes` replaces whole keys.
pub fn pool(name: &str, servers: Value, changes: Value) -> Value {
    let mut pool = json!({
        "name": name, "at": "t.yaml:8", "servers": servers, "balance": "round_robin",
        "hash_on": "client", "hash_bound": 125, "sticky": null, "health": null, "outlier": null, "slow_start_ms": 0,
        "queue": {"max": 0, "timeout_ms": 1000}, "panic": 0, "retry_budget": {"percent": 2000, "per_second": 10}, "max_requests": 0, "adaptive": null,
        "tls": null, "protocol": "auto", "proxy_protocol": null, "max_idle": 8, "idle_ms": 1000
    });
    if let (Some(pool), Some(changes)) = (pool.as_object_mut(), changes.as_object()) {
        pool.extend(changes.clone());
    }
    pool
}

/// A route with every default; `changes` replaces whole keys.
pub fn route(name: &str, action: Value, changes: Value) -> Value {
    let none = json!({"set": [], "add": [], "remove": []});
    let mut route = json!({
        "name": name, "at": "t.yaml:5",
        "matches": {"host": [], "path": [], "method": [], "header": [], "query": [], "cookie": [], "client": [],
            "client_certificate": null},
        "action": action,
        "rewrite": {"strip_prefix": null, "replace": null, "add_prefix": null, "host": null},
        "request_headers": none, "response_headers": none,
        "retry": {"attempts": 3, "on_connect": true, "on_reset": true, "on_status": [], "backoff_ms": 0,
            "max_backoff_ms": 0, "try_ms": 0},
        "connect_ms": 1000, "first_byte_ms": 1000, "idle_ms": 1000, "body": 1000, "cache": null,
        "limits": [], "mirror": null, "hedge": null, "priority": "normal"
    });
    if let (Some(route), Some(changes)) = (route.as_object_mut(), changes.as_object()) {
        route.extend(changes.clone());
    }
    route
}

/// The forward half, for [`plan`]; `changes` replaces whole keys.
pub fn forward(changes: Value) -> Value {
    let mut forward = json!({
        "at": "t.yaml:4", "auth": null, "clients": [], "clients_at": "t.yaml:5",
        "connect_ports": [[443, 443]], "connect_ports_at": "t.yaml:6",
        "private_destinations": "deny", "private_destinations_at": "t.yaml:7",
        "anonymity": {
            "at": "t.yaml:8", "level": "anonymous", "user_agent": "keep", "referer": "keep", "cookies": "keep"
        },
        "cache": null, "max_idle": 8, "idle_ms": 1000
    });
    if let (Some(forward), Some(changes)) = (forward.as_object_mut(), changes.as_object()) {
        forward.extend(changes.clone());
    }
    json!({ "forward": forward })
}

/// The shared part of the cache, for [`plan`].
pub fn cache() -> Value {
    json!({
        "at": "t.yaml:10", "memory": 1 << 20, "disk": null, "targeted": ["cdn-cache-control"], "status": true,
        "purge_clients": [], "purge_at": "t.yaml:11"
    })
}

/// A cache policy with every default; `changes` replaces whole keys.
pub fn cache_policy(changes: Value) -> Value {
    let mut policy = json!({
        "at": "t.yaml:12", "ttl_ms": null, "ttl_by_status": [],
        "key": {"scheme": true, "host": true, "path": true, "query_include": null, "query_ignore": [],
            "query_sort": false, "headers": [], "cookies": []},
        "bypass": [], "ignore_client_no_cache": false, "overrides": [], "stale_while_revalidate_ms": null,
        "stale_if_error_ms": null, "min_uses": 1, "max_object": 1 << 20, "tags": [], "convert_head": true,
        "compress_stored": false, "slice": 0, "collapse_ms": 5000
    });
    if let (Some(policy), Some(changes)) = (policy.as_object_mut(), changes.as_object()) {
        policy.extend(changes.clone());
    }
    policy
}
