//! What decides who comes in: limits, passwords, and the addresses behind proxies.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use chrono::Duration;
use parking_lot::Mutex;
use rollcall_pipeline::WallTime;
use rollcall_pipeline::config::ServerConfig;
use uuid::Uuid;

use crate::holders::Holders;
use crate::limits::Limits;
use crate::passwords::Passwords;
use crate::tickets::Tickets;
use crate::upload::Space;

/// When a key was last used is written so often at most.
const TOUCH_EVERY: Duration = Duration::minutes(1);
/// Keys of which that is remembered.
const MAX_TOUCHED: usize = 10_000;

/// What decides who comes in.
pub struct Access {
    pub(crate) config: ServerConfig,
    pub(crate) limits: Limits,
    pub(crate) passwords: Passwords,
    pub(crate) holders: Holders,
    pub(crate) tickets: Tickets,
    pub(crate) space: Space,
    touched: Mutex<HashMap<Uuid, WallTime>>,
}

impl Access {
    /// As configured.
    pub fn new(config: ServerConfig) -> Self {
        let (limits, passwords) = (Limits::new(&config), Passwords::new());
        let (holders, tickets, space) = (Holders::default(), Tickets::default(), Space::default());
        Self { config, limits, passwords, holders, tickets, space, touched: Mutex::default() }
    }

    /// Whether cookies travel over TLS only.
    pub(crate) fn secure(&self) -> bool {
        self.config.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }

    /// Whose pages may show a stream that a ticket opens. An `<img>` does not say which page it is on, so that origins
    /// cannot be told apart here; the ticket does that.
    pub(crate) fn shown_by(&self) -> &'static str {
        if self.config.cors_origins.is_empty() { "same-origin" } else { "cross-origin" }
    }

    /// Whether the use of a key is to be written down again.
    pub(crate) fn touch(&self, key: Uuid, now: WallTime) -> bool {
        let mut touched = self.touched.lock();
        if touched.get(&key).is_some_and(|at| now - *at < TOUCH_EVERY) {
            return false;
        }
        if touched.len() >= MAX_TOUCHED {
            touched.clear();
        }
        touched.insert(key, now);
        true
    }

    /// Who asks, behind the proxies that are believed: the last address of `forwarded` that is none of theirs.
    pub(crate) fn client(&self, peer: IpAddr, forwarded: &[&str]) -> IpAddr {
        let believed = |address: IpAddr| self.config.trusted_proxies.iter().any(|net| net.contains(&address));
        let mut client = peer.to_canonical();
        let hops = forwarded.iter().rev().flat_map(|line| line.rsplit(','));
        for hop in hops {
            if !believed(client) {
                break;
            }
            // Beyond something that is no address nothing can be believed.
            let Some(address) = address(hop.trim()) else { break };
            client = address.to_canonical();
        }
        client
    }
}

/// As proxies write it: some with the port, and IPv6 in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = hop.parse::<SocketAddr>().map(|address| address.ip());
    with_port.or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse()).ok()
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

#[cfg(test)]
mod tests {
    use rollcall_pipeline::config::Config;

    use super::*;

    #[test]
    fn only_proxies_of_ours_are_believed() {
        let mut config = Config::defaults().server;
        config.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        let access = Access::new(config);
        let client = |peer: &str, lines: &[&str]| access.client(peer.parse().expect("an address"), lines).to_string();
        assert_eq!(client("192.0.2.9", &["198.51.100.1"]), "192.0.2.9", "a stranger says what it likes");
        assert_eq!(client("10.0.0.1", &["198.51.100.7, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "10.0.0.2"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:4711, 10.0.0.2:80"]), "2001:db8::1", "some write the port");
    }
}
