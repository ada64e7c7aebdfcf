//! Tickets for browsers, which can set no header on an `EventSource`, a `WebSocket` or an `<img>`. A ticket stands for the
//! token or key that asked for it: in the address of one stream, once, for half a minute. So what is left of it in the log of
//! a proxy or in a history opens nothing.
//!
//! They are kept in memory alone: one daemon serves both requests, and a restart ends the streams anyway.

use std::collections::HashMap;

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use chrono::TimeDelta;
use parking_lot::Mutex;
use rollcall_pipeline::WallTime;

use crate::caller::{API_KEY_HEADER, digest};
use crate::problem::Problem;
use crate::secrets::NewSecret;

/// How long a ticket is good.
pub(crate) const GOOD_FOR: TimeDelta = TimeDelta::seconds(30);
/// Tickets that are not used yet, at most.
const MOST: usize = 10_000;

/// A header as it was sent.
type Sent = (HeaderName, HeaderValue);

/// The tickets that are not used yet, by their digest.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<[u8; 32], (WallTime, Sent)>>);

impl Tickets {
    /// A ticket for whoever sent this header is good from now on.
    pub(crate) fn add(&self, ticket: &NewSecret, sent: Sent, now: WallTime) -> Result<(), Problem> {
        let mut tickets = self.0.lock();
        tickets.retain(|_, (until, _)| *until > now);
        if tickets.len() >= MOST {
            let detail = "more tickets are waiting to be used than anybody needs: try again in a moment";
            return Err(Problem::busy(axum::http::StatusCode::SERVICE_UNAVAILABLE, detail, 30));
        }
        tickets.insert(ticket.digest(), (now + GOOD_FOR, sent));
        Ok(())
    }

    /// Puts the header behind the ticket into a request that has none, if its address is one that a ticket opens.
    ///
    /// # Errors
    /// When the ticket is not good, or not any more.
    pub(crate) fn punch(&self, parts: &mut Parts, now: WallTime) -> Result<(), Problem> {
        if credentials(&parts.headers).is_some() || !is_stream(parts.uri.path()) {
            return Ok(());
        }
        let pairs = parts.uri.query().unwrap_or_default().split('&');
        let Some(ticket) = pairs.filter_map(|pair| pair.strip_prefix("ticket=")).next() else { return Ok(()) };
        let found = self.0.lock().remove(&digest(ticket)).filter(|(until, _)| *until > now);
        let refused = || Problem::unauthorized("this ticket was used, or is too old: ask for a new one");
        let (_, (name, value)) = found.ok_or_else(refused)?;
        parts.headers.insert(name, value);
        Ok(())
    }
}

/// The header by which a request says who asks.
pub(crate) fn credentials(headers: &axum::http::HeaderMap) -> Option<Sent> {
    let names = [HeaderName::from_static(API_KEY_HEADER), header::AUTHORIZATION];
    names.into_iter().find_map(|name| headers.get(&name).map(|value| (name, value.clone())))
}

/// What goes on for long and is opened by what sends no headers. It changes nothing.
fn is_stream(path: &str) -> bool {
    let of_camera = |rest: &str| matches!(rest.split_once('/'), Some((_, "preview" | "preview/ws")));
    matches!(path, "/api/v1/live" | "/api/v1/live/ws") || path.strip_prefix("/api/v1/cameras/").is_some_and(of_camera)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use chrono::{TimeZone, Utc};

    use super::*;
    use crate::secrets::SecretKind;

    fn request(uri: &str) -> Parts {
        Request::get(uri).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_ticket_is_good_once_for_half_a_minute_and_for_streams_alone() {
        let now = Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap();
        let tickets = Tickets::default();
        let sold = || {
            let ticket = NewSecret::random(SecretKind::Ticket).unwrap();
            let sent = (HeaderName::from_static(API_KEY_HEADER), HeaderValue::from_static("rck_x"));
            tickets.add(&ticket, sent, now).unwrap();
            ticket.told().to_owned()
        };
        let punch = |path: &str, ticket: &str, at| {
            let mut parts = request(&format!("{path}?kinds=mark&ticket={ticket}"));
            tickets.punch(&mut parts, at).map(|()| parts.headers.contains_key(API_KEY_HEADER))
        };
        let ticket = sold();
        assert!(!punch("/api/v1/people", &ticket, now).unwrap(), "not for that");
        assert!(!punch("/api/v1/cameras/door/snapshot.jpg", &ticket, now).unwrap());
        assert!(punch("/api/v1/live", &ticket, now).unwrap());
        assert!(punch("/api/v1/live", &ticket, now).is_err(), "once");
        for path in ["/api/v1/live/ws", "/api/v1/cameras/door/preview", "/api/v1/cameras/door/preview/ws"] {
            assert!(punch(path, &sold(), now + TimeDelta::seconds(29)).unwrap(), "{path}");
        }
        assert!(punch("/api/v1/live", &sold(), now + GOOD_FOR).is_err(), "too old");
        assert!(punch("/api/v1/live", "rct_forged", now).is_err());
        assert!(tickets.punch(&mut request("/api/v1/live"), now).is_ok(), "none is no mistake here");
    }

    #[test]
    fn tickets_that_nobody_uses_are_bounded() {
        let now = Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap();
        let tickets = Tickets::default();
        let add = |at| {
            let ticket = NewSecret::random(SecretKind::Ticket).unwrap();
            tickets.add(&ticket, (header::AUTHORIZATION, HeaderValue::from_static("Bearer x")), at)
        };
        for _ in 0..MOST {
            add(now).unwrap();
        }
        assert!(add(now).is_err());
        add(now + GOOD_FOR).unwrap();
    }
}
