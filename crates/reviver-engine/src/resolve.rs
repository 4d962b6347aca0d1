//! Names to addresses: the system's or the configured name servers, answers cached by their time to live.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reviver_flow::Slug;

/// The resolver of one core, with its own cache.
pub struct Resolver {
    inner: Option<TokioResolver>,
    timeout: Duration,
    pub fallback_delay: Duration,
}

impl Resolver {
    pub fn new(plan: &reviver_plan::Resolver) -> Self {
        let provider = TokioRuntimeProvider::default;
        let mut builder = if plan.servers.is_empty() {
            // Without a readable system configuration only literals and the hosts file are known.
            TokioResolver::builder_tokio()
                .unwrap_or_else(|_| TokioResolver::builder_with_config(ResolverConfig::default(), provider()))
        } else {
            let servers = plan.servers.iter().map(|address| name_server(*address)).collect();
            TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers), provider())
        };
        set_options(plan, builder.options_mut());
        let inner = builder.build().ok();
        Self {
            inner,
            timeout: Duration::from_millis(plan.timeout_ms),
            fallback_delay: Duration::from_millis(plan.fallback_delay_ms),
        }
    }

    /// All addresses of a name, IPv6 and IPv4 in turn (RFC 8305, section 4).
    pub async fn lookup(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Slug> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let Some(resolver) = &self.inner else { return Err(Slug::DnsError) };
        // A trailing dot keeps the name from being completed with the system's search domains.
        let name = format!("{}.", host.trim_end_matches('.'));
        let found = match tokio::time::timeout(self.timeout, resolver.lookup_ip(name)).await {
            Ok(Ok(found)) => found,
            Ok(Err(NetError::Timeout)) | Err(_) => return Err(Slug::DnsTimeout),
            Ok(Err(_)) => return Err(Slug::DnsError),
        };
        let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().partition(IpAddr::is_ipv6);
        let addresses = interleave(six, four).map(|a| SocketAddr::new(a, port)).collect::<Vec<_>>();
        if addresses.is_empty() { Err(Slug::DnsError) } else { Ok(addresses) }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connection = |mut config: ConnectionConfig| {
        config.port = address.port();
        config
    };
    NameServerConfig::new(
        address.ip(),
        true,
        vec![connection(ConnectionConfig::udp()), connection(ConnectionConfig::tcp())],
    )
}

fn set_options(plan: &reviver_plan::Resolver, options: &mut ResolverOpts) {
    let bound = |ms: u64| Some(Duration::from_millis(ms));
    options.timeout = Duration::from_millis(plan.timeout_ms / 2).max(Duration::from_millis(100));
    options.attempts = 2;
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.cache_size = u64::from(plan.cache_size);
    options.use_hosts_file = if plan.hosts_file { ResolveHosts::Always } else { ResolveHosts::Never };
    options.positive_min_ttl = bound(plan.min_ttl_ms);
    options.negative_min_ttl = bound(plan.min_ttl_ms);
    options.positive_max_ttl = bound(plan.max_ttl_ms);
    options.negative_max_ttl = bound(plan.max_ttl_ms.min(60_000));
}

fn interleave(first: Vec<IpAddr>, second: Vec<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let rounds = first.len().max(second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    (0..rounds).flat_map(move |_| [first.next(), second.next()]).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_six_goes_first() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let mixed: Vec<_> = interleave(vec![ip("::1"), ip("::2")], vec![ip("1.1.1.1")]).collect();
        assert_eq!(mixed, [ip("::1"), ip("1.1.1.1"), ip("::2")]);
    }
}
