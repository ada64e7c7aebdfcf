//! `[server]`.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use url::{Origin, Url};

use super::super::raw::RawServer;
use super::super::types::ServerConfig;
use super::check::Checker;

/// More than any machine answers.
const MAX_RATE: i64 = 10_000_000;

pub(super) fn server(c: &mut Checker<'_>, raw: &RawServer) -> ServerConfig {
    let listen = raw.listen.parse();
    if listen.is_err() {
        let text = &raw.listen;
        c.add("server.listen", format!("\"{text}\" is no address: write it as \"127.0.0.1:8080\" or \"[::1]:8080\""));
    }
    let rate = |c: &mut Checker<'_>, name: &str, value| NonZeroU32::new(c.int(name, value, 0..=MAX_RATE, "a minute"));
    let login: u32 = c.int("server.login_rate_per_minute", raw.login_rate_per_minute, 1..=100_000, "a minute");
    ServerConfig {
        listen: listen.unwrap_or_else(|_| ([127, 0, 0, 1], 8080).into()),
        public_url: raw.public_url.as_deref().map(|text| public_url(c, text)),
        trusted_proxies: raw.trusted_proxies.iter().enumerate().filter_map(|(i, text)| network(c, i, text)).collect(),
        cors_origins: raw.cors_origins.iter().enumerate().filter_map(|(i, text)| origin(c, i, text)).collect(),
        rate_per_minute: rate(c, "server.rate_per_minute", raw.rate_per_minute),
        address_rate_per_minute: rate(c, "server.address_rate_per_minute", raw.address_rate_per_minute),
        login_rate_per_minute: NonZeroU32::new(login).unwrap_or(NonZeroU32::MIN),
        media_dir: raw.media_dir.as_deref().map(|dir| c.path(dir)),
    }
}

fn web(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

fn public_url(c: &mut Checker<'_>, text: &str) -> String {
    let plain = |url: &Url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !web(text).as_ref().is_some_and(plain) {
        c.add("server.public_url", format!("\"{text}\" is no web address such as \"https://rollcall.example.org\""));
    }
    text.trim_end_matches('/').to_owned()
}

fn network(c: &mut Checker<'_>, index: usize, text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    if network.is_none() {
        let path = format!("server.trusted_proxies[{index}]");
        c.add(path, format!("\"{text}\" is no address and no network: write it as \"127.0.0.1\" or \"10.0.0.0/8\""));
    }
    network
}

/// As browsers write it in `Origin`: neither a path nor a slash at the end.
fn origin(c: &mut Checker<'_>, index: usize, text: &str) -> Option<String> {
    let origin = web(text).map(|url| url.origin()).filter(Origin::is_tuple).map(|origin| origin.ascii_serialization());
    let exact = origin.filter(|origin| origin == text);
    if exact.is_none() {
        let path = format!("server.cors_origins[{index}]");
        c.add(path, format!("\"{text}\" is no origin: write it as \"https://app.example.org\", without a path"));
    }
    exact
}
