//! What `/metrics` says of the API and of the process behind it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::LazyLock;

use kit::{PATIENCE, Site, head};

static SITE: LazyLock<Site> = LazyLock::new(|| Site::start(""));

/// How many requests were answered so.
#[track_caller]
fn counted(method: &str, route: &str, status: &str) -> f64 {
    let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
    SITE.metric(&format!("rollcall_http_request_duration_seconds_count{{{labels}}}"))
}

/// Asks by a method that no client has.
fn brew(path: &str) -> String {
    let mut stream = TcpStream::connect(SITE.base().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "BREW {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    head(&mut BufReader::new(stream))
}

#[test]
fn requests_count_by_what_was_asked_for_and_how_it_was_answered() {
    SITE.get("/api/v1/sites").expect(200);
    assert_eq!(counted("GET", "/api/v1/sites", "2xx"), 1.0);
    SITE.guest().get("/api/v1/sites").expect(401);
    assert_eq!(counted("GET", "/api/v1/sites", "4xx"), 1.0);
    for id in ["one", "another"] {
        SITE.get(&format!("/api/v1/sites/{id}")).expect(404);
    }
    assert_eq!(counted("GET", "/api/v1/sites/{id}", "4xx"), 2.0, "not by what stands in the path");
    for path in ["/nothing", "/api/v9/sites"] {
        SITE.get(path).expect(404);
    }
    assert_eq!(counted("GET", "none", "4xx"), 2.0, "nor by paths that are not there");
    let refused = brew("/api/v1/sites");
    assert!(refused.starts_with("HTTP/1.1 405"), "{refused}");
    assert_eq!(counted("other", "/api/v1/sites", "4xx"), 1.0, "nor by methods that nobody has");
}

#[test]
fn the_process_says_what_it_takes() {
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_threads", "process_start_time_seconds"] {
        assert!(SITE.metric(name) > 0.0, "{name}");
    }
}

#[test]
fn what_alerts_and_dashboard_ask_of_the_process_is_told() {
    for file in [include_str!("../deploy/prometheus/alerts.yml"), include_str!("../deploy/grafana/rollcall.json")] {
        let words = file.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let asked: BTreeSet<_> = words.filter(|word| word.starts_with("process_")).collect();
        assert!(asked.len() > 1, "{asked:?}");
        for name in asked {
            // Processor time is in whole seconds: none after a start that was quick.
            assert!(SITE.metric(name) >= 0.0, "{name}");
        }
    }
}
