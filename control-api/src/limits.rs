//! How often somebody may ask: by address, by account or key, and those who try passwords by what they try.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use rollcall_pipeline::MonoTime;
use rollcall_pipeline::config::ServerConfig;
use uuid::Uuid;

use crate::caller::Caller;
use crate::problem::Problem;

/// Every so many questions, those who asked nothing for long are forgotten.
const SWEEP_EVERY: u32 = 4_096;
/// Keys with a limit of their own that are remembered.
const MAX_OWN: usize = 10_000;
/// Tries of one login that may fail, from everywhere, for each that one address has: whoever tries from a single one keeps
/// nobody out.
const ADDRESSES: u32 = 10;
/// Logins of which that is counted; a name is as long as the longest login at most.
const MAX_FAILING: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

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

fn too_many(who: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("too many requests {who}; try again in {} s", seconds.max(1));
    Problem::busy(StatusCode::TOO_MANY_REQUESTS, detail, seconds)
}

/// Tries of each login in the minute that runs, but for those that were right.
struct Failures {
    most: u32,
    counted: Mutex<(MonoTime, HashMap<String, u32>)>,
}

impl Failures {
    fn per_minute(most: u32) -> Self {
        Self { most, counted: Mutex::new((MonoTime(Duration::ZERO), HashMap::new())) }
    }

    /// Counted before it is looked at: many at once are not more than their number.
    fn add(&self, login: &str, now: MonoTime) -> Result<(), Problem> {
        let mut counted = self.counted.lock();
        let (since, failed) = &mut *counted;
        if now.since(*since) >= MINUTE {
            *since = now;
            failed.clear();
        }
        let login = login.to_lowercase();
        if failed.len() >= MAX_FAILING && !failed.contains_key(&login) {
            return Ok(());
        }
        let of_login = failed.entry(login).or_default();
        if *of_login >= self.most {
            return Err(too_many("to log in with this name", MINUTE.saturating_sub(now.since(*since))));
        }
        *of_login += 1;
        Ok(())
    }

    fn take_back(&self, login: &str) {
        if let Some(of_login) = self.counted.lock().1.get_mut(&login.to_lowercase()) {
            *of_login = of_login.saturating_sub(1);
        }
    }
}

/// All limits.
pub(crate) struct Limits {
    addresses: Option<Keyed<IpAddr>>,
    callers: Option<Keyed<Uuid>>,
    own: Mutex<HashMap<Uuid, (NonZeroU32, Arc<DefaultDirectRateLimiter>)>>,
    login_addresses: Keyed<IpAddr>,
    failed_logins: Failures,
    passwords: Keyed<Uuid>,
    clock: DefaultClock,
}

impl Limits {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self {
            addresses: config.address_rate_per_minute.map(Keyed::per_minute),
            callers: config.rate_per_minute.map(Keyed::per_minute),
            own: Mutex::default(),
            login_addresses: Keyed::per_minute(config.login_rate_per_minute),
            failed_logins: Failures::per_minute(config.login_rate_per_minute.get().saturating_mul(ADDRESSES)),
            passwords: Keyed::per_minute(config.login_rate_per_minute),
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

    /// Whoever tries a password of this login, from wherever. What is counted is taken back by [`Self::logged_in_as`].
    pub(crate) fn login_as(&self, login: &str, now: MonoTime) -> Result<(), Problem> {
        self.failed_logins.add(login, now)
    }

    /// The password was right.
    pub(crate) fn logged_in_as(&self, login: &str) {
        self.failed_logins.take_back(login);
    }

    /// Whoever is logged in with this account and tries its password.
    pub(crate) fn password_of(&self, account: Uuid) -> Result<(), Problem> {
        self.passwords.check(&account, "to change this password")
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

    fn limits() -> Limits {
        Limits::new(&Config::defaults().server)
    }

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    fn second(seconds: u64) -> MonoTime {
        MonoTime(Duration::from_secs(seconds))
    }

    #[test]
    fn tries_are_counted_by_network() {
        let limits = limits();
        for _ in 0..10 {
            limits.login_from(at("2001:db8::1")).expect("ten are allowed");
        }
        assert_eq!(limits.login_from(at("2001:db8::2")).unwrap_err().status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(limits.login_from(at("2001:db8:0:1::1")).is_ok() && limits.login_from(at("192.0.2.1")).is_ok());
    }

    #[test]
    fn whoever_tries_from_one_address_keeps_nobody_out() {
        let limits = limits();
        let tries = (0..1_000).take_while(|_| {
            limits.login_from(at("192.0.2.1")).and_then(|()| limits.login_as("ada", second(0))).is_ok()
        });
        assert_eq!(tries.count(), 10);
        limits.login_from(at("192.0.2.2")).expect("another address");
        limits.login_as("ada", second(0)).expect("her login");
    }

    #[test]
    fn failures_of_a_login_are_counted_from_everywhere_and_without_case_for_a_minute() {
        let limits = limits();
        for _ in 0..100 {
            limits.login_as("Ada", second(70)).expect("a hundred may fail");
        }
        let refused = limits.login_as("ADA", second(100)).unwrap_err();
        assert_eq!((refused.status(), refused.retry_after()), (StatusCode::TOO_MANY_REQUESTS, Some(30)));
        limits.login_as("Grace", second(100)).expect("another login");
        limits.login_as("ada", second(130)).expect("the minute is over");
    }

    #[test]
    fn right_passwords_count_as_no_failures() {
        let limits = limits();
        for _ in 0..1_000 {
            limits.login_as("ada", second(0)).expect("none failed");
            limits.logged_in_as("Ada");
        }
    }

    #[test]
    fn made_up_logins_fill_no_memory() {
        let failures = Failures::per_minute(1);
        for name in 0..2 * MAX_FAILING {
            failures.add(&name.to_string(), second(0)).expect("the first of each");
        }
        assert_eq!(failures.counted.lock().1.len(), MAX_FAILING);
        assert!(failures.add("0", second(0)).is_err(), "what is counted stays counted");
    }
}
