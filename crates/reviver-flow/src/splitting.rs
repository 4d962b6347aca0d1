//! Which variant of a split a request gets, and how a person stays with it.

use reviver_balance::{Pool, Side, person};
use reviver_http::{FieldSink, RequestHead};
use reviver_plan::{Mirror, Split, SplitCookie, SplitSticky, Variant};
use reviver_policy::{client_key, cookie_values};

use crate::{Flow, Phase, Reason, Rule, Slug, VerdictKind};

/// Length of what a split's cookie holds: 128 random bits as hexadecimal digits.
const ID_LENGTH: usize = 32;

/// A variant that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub split: u32,
    pub side: Side,
    /// The request itself asked for it: no trial counts it.
    pub forced: bool,
}

impl<'s> Flow<'s> {
    /// The variant that this request gets, remembered in the record; the pool that answers for it.
    pub(crate) fn choose_variant(&mut self, index: u32, head: &RequestHead) -> Option<u32> {
        let split = self.snapshot.split(index)?;
        let state = self.snapshot.splits.get(index as usize)?;
        let forced = self.forced(index, split, head);
        let side = match self.given.or(forced) {
            Some(side) => side,
            None => state.side(self.person_of(split, head)),
        };
        self.record.chosen = Some(Chosen { split: index, side, forced: forced.is_some() });
        let variant = split.variants.get(side.variant as usize)?;
        self.note(Phase::Route, VerdictKind::Continue, Reason::new(Slug::Forwarded, Rule::Split(index)), || {
            let weight = state.weights().get(side.variant as usize).copied().unwrap_or(0);
            format!("split {}: variant {} of weight {}%", split.name, variant.name, f64::from(weight) / 100.0)
        });
        Some(variant.pool)
    }

    /// What the request itself asks for, where its client may.
    fn forced(&self, index: u32, split: &Split, head: &RequestHead) -> Option<Side> {
        let force = split.force.as_ref()?;
        let allowed = &self.snapshot.forcers[index as usize];
        if !force.clients.is_empty() && !allowed.contains(self.client.address) {
            return None;
        }
        let wish = head.values_of(force.header.as_bytes()).next()?.trim_ascii();
        let named = |v: &Variant| wish.eq_ignore_ascii_case(v.name.as_bytes());
        let variant = match wish {
            _ if split.canary && wish.eq_ignore_ascii_case(b"always") => 0,
            _ if split.canary && wish.eq_ignore_ascii_case(b"never") => 1,
            _ => split.variants.iter().position(named)?,
        };
        Some(Side { variant: variant as u32, baseline: false })
    }

    /// What the person is known by; none: a request of nobody.
    fn person_of(&mut self, split: &Split, head: &RequestHead) -> Option<u64> {
        match &split.sticky {
            SplitSticky::None => None,
            SplitSticky::Client => Some(person(&split.name, &client_key(self.client.address).to_le_bytes())),
            SplitSticky::Header(name) => {
                let value = head.values_of(name.as_bytes()).next().filter(|v| !v.is_empty())?;
                Some(person(&split.name, value))
            }
            SplitSticky::Cookie(cookie) => {
                if let Some(id) = cookie_values(head, cookie.name.as_bytes()).find(|id| is_id(id)) {
                    return Some(person(&split.name, id));
                }
                let id = [self.chance(), self.chance()];
                self.new_person = Some(id);
                Some(person(&split.name, &written(id)))
            }
        }
    }

    /// Whether the request is copied.
    pub(crate) fn choose_mirror(&mut self, route: u32, pool: u32) {
        if self.internal {
            return;
        }
        let Some(route) = self.snapshot.route(route) else { return };
        let of_split = || {
            let split = self.snapshot.split(self.record.chosen?.split)?;
            split.mirror.as_ref().filter(|m| m.pool != pool)
        };
        let mirror = route.mirror.as_ref().filter(|m| m.pool != pool).or_else(of_split);
        let Some(mirror) = mirror.filter(|m| m.percent > 0) else { return };
        if self.chance() % 10_000 < u64::from(mirror.percent) {
            self.mirrored = Some(mirror);
        }
    }

    /// Where a copy of the request goes; none: nowhere.
    pub fn mirror(&self) -> Option<&'s Mirror> {
        self.mirrored
    }

    /// What the mirror is known by: the name of the route or the split that has it.
    pub fn mirror_name(&self) -> Option<&'s str> {
        let route = self.route()?;
        if route.mirror.as_ref().is_some_and(|m| self.mirrored.is_some_and(|mirrored| std::ptr::eq(m, mirrored))) {
            return Some(&route.name);
        }
        self.snapshot.split(self.record.chosen?.split).map(|s| s.name.as_str())
    }

    pub fn variant(&self) -> Option<(&'s Split, &'s Variant)> {
        let chosen = self.record.chosen?;
        let split = self.snapshot.split(chosen.split)?;
        Some((split, split.variants.get(chosen.side.variant as usize)?))
    }

    /// The variant's name where the split tells it, and the cookies that keep a client where it is.
    pub(crate) fn write_staying(&self, sink: &mut impl FieldSink) {
        if let Some((split, variant)) = self.variant() {
            if let Some(name) = &split.response_header {
                sink.field(name.as_bytes(), variant.name.as_bytes());
            }
            if let (SplitSticky::Cookie(SplitCookie { name, max_age }), Some(id)) = (&split.sticky, self.new_person) {
                self.write_cookie(name, &written(id), *max_age, sink);
            }
        }
        // What is stored came from no server now.
        let asked = self.record.upstream_status != 0 && self.record.cache.is_none_or(|c| c.age.is_none());
        let (Some(index), Some(server)) = (self.record.pool, self.record.server.filter(|_| asked)) else { return };
        let sticky = self.snapshot.pool(index).and_then(|p| p.sticky.as_ref());
        let table = self.snapshot.stickies.get(index as usize).and_then(Option::as_ref);
        if let (Some(sticky), Some(value)) = (sticky, table.and_then(|t| t.value(server)))
            && self.choosing.pinned != Some(server)
            && !self.pinned_is_full(index)
        {
            self.write_cookie(&sticky.cookie, value.as_bytes(), sticky.max_age, sink);
        }
    }

    /// A client that another server has helped out for a moment stays bound to its own.
    fn pinned_is_full(&self, pool: u32) -> bool {
        let balancer = self.snapshot.pools.get(pool as usize);
        let is_full = |(server, balancer): (u32, &Pool)| !balancer.is_out(server) && !self.tried.contains(&server);
        self.choosing.pinned.zip(balancer).is_some_and(is_full)
    }

    fn write_cookie(&self, name: &str, value: &[u8], max_age: u64, sink: &mut impl FieldSink) {
        let mut line = Vec::with_capacity(96);
        line.extend_from_slice(name.as_bytes());
        line.push(b'=');
        line.extend_from_slice(value);
        line.extend_from_slice(b"; Path=/");
        if max_age > 0 {
            line.extend_from_slice(b"; Max-Age=");
            line.extend_from_slice(itoa::Buffer::new().format(max_age).as_bytes());
        }
        line.extend_from_slice(b"; HttpOnly; SameSite=Lax");
        if self.client.tls.is_some() {
            line.extend_from_slice(b"; Secure");
        }
        sink.field(b"Set-Cookie", &line);
    }
}

fn is_id(value: &[u8]) -> bool {
    value.len() == ID_LENGTH && value.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn written(id: [u64; 2]) -> [u8; ID_LENGTH] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = (u128::from(id[0]) << 64) | u128::from(id[1]);
    std::array::from_fn(|place| DIGITS[((bits >> (4 * (ID_LENGTH - 1 - place))) & 15) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_it_is_read() {
        let id = written([0x0123_4567_89ab_cdef, 0xf]);
        assert_eq!(&id, b"0123456789abcdef000000000000000f");
        assert!(is_id(&id));
        assert!(!is_id(b"0123456789abcdef"));
        assert!(!is_id(b"0123456789ABCDEF0000000000000000"));
    }
}
