//! How often somebody may ask: by address, by account or key, and by login name for those who try passwords.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use rollcall_pipeline::config::ServerConfig;
use uuid::Uuid;

use crate::caller::Caller;
use crate::problem::Problem;

/// Every so many questions, those who asked nothing for long are forgotten.
const SWEEP_EVERY: u32 = 4_096;
/// Keys with a limit of their own that are remembered.
const MAX_OWN: usize = 10_000;

/// A limit for each of many.
struct Keyed<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, DashMapStateStore<K>, DefaultClock>,
    clock: DefaultClock,
    asked: AtomicU32,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn per_minute(rate: NonZeroU32) -> Self {
        let limiter = RateLimiter::dashmap(Quota::per_minute(rate));
        Self { limiter, clock: DefaultClock::default(), asked: AtomicU32::new(0) }
    }

    fn check(&self, key: &K, who: &str) -> Result<(), Problem> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| too_many(who, until.wait_time_from(self.clock.now())))
    }
}

fn too_many(who: &str, wait: std::time::Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("too many requests {who}; try again in {} s", seconds.max(1));
    Problem::busy(StatusCode::TOO_MANY_REQUESTS, detail, seconds)
}

/// All limits.
pub(crate) struct Limits {
    addresses: Option<Keyed<IpAddr>>,
    callers: Option<Keyed<Uuid>>,
    own: Mutex<HashMap<Uuid, (NonZeroU32, Arc<DefaultDirectRateLimiter>)>>,
    login_addresses: Keyed<IpAddr>,
    login_names: Keyed<String>,
    clock: DefaultClock,
}

impl Limits {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self {
            addresses: config.address_rate_per_minute.map(Keyed::per_minute),
            callers: config.rate_per_minute.map(Keyed::per_minute),
            own: Mutex::default(),
            login_addresses: Keyed::per_minute(config.login_rate_per_minute),
            login_names: Keyed::per_minute(config.login_rate_per_minute),
            clock: DefaultClock::default(),
        }
    }

    /// Whoever asks from there.
    pub(crate) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        let Some(limit) = &self.addresses else { return Ok(()) };
        limit.check(&network(address), "from this address")
    }

    /// An account or a key.
    pub(crate) fn caller(&self, caller: &Caller) -> Result<(), Problem> {
        let Some(own) = caller.rate_per_minute.and_then(NonZeroU32::new) else {
            let Some(limit) = &self.callers else { return Ok(()) };
            return limit.check(&caller.id, "with this account or key");
        };
        let limiter = {
            let mut known = self.own.lock();
            if known.len() >= MAX_OWN {
                known.clear();
            }
            let fresh = || (own, Arc::new(RateLimiter::direct(Quota::per_minute(own))));
            let entry = known.entry(caller.id).or_insert_with(fresh);
            if entry.0 != own {
                *entry = fresh();
            }
            Arc::clone(&entry.1)
        };
        limiter.check().map_err(|until| too_many("with this key", until.wait_time_from(self.clock.now())))
    }

    /// Whoever tries passwords or links from there.
    pub(crate) fn login_from(&self, address: Option<IpAddr>) -> Result<(), Problem> {
        let Some(address) = address else { return Ok(()) };
        self.login_addresses.check(&network(address), "to log in from this address")
    }

    /// Whoever tries passwords of this login.
    pub(crate) fn login_as(&self, login: &str) -> Result<(), Problem> {
        self.login_names.check(&login.to_lowercase(), "to log in with this name")
    }
}

/// One subscriber has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use rollcall_pipeline::config::Config;

    use super::*;

    #[test]
    fn tries_are_counted_by_network_and_by_name_without_case() {
        let limits = Limits::new(&Config::defaults().server);
        let at = |text: &str| Some(text.parse().expect("an address"));
        for _ in 0..10 {
            limits.login_from(at("2001:db8::1")).expect("ten are allowed");
            limits.login_as("Ada").expect("ten are allowed");
        }
        assert_eq!(limits.login_from(at("2001:db8::2")).unwrap_err().status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(limits.login_from(at("2001:db8:0:1::1")).is_ok() && limits.login_from(at("192.0.2.1")).is_ok());
        assert!(limits.login_as("ADA").is_err() && limits.login_as("Grace").is_ok());
    }
}
