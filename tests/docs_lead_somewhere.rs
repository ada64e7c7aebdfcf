//! The pages as a reader goes through them: links lead somewhere, README leads to every page, and what a page tells to ask is
//! served.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const README: &str = "README.md";
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, by its path in the source tree.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    [README, "ARCHITECTURE.md", "deploy/README.md"].map(PathBuf::from).into_iter().chain(docs).collect()
}

/// A page without its blocks of code.
fn prose(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap().split("```").step_by(2).collect()
}

/// As GitHub names the headings of a page.
fn anchors(page: &Path) -> BTreeSet<String> {
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    prose(page).lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_matches(['#', ' ']))).collect()
}

/// Where a page leads in the source tree: each time a path from the page, and an anchor.
fn links(page: &Path) -> Vec<(String, String)> {
    let text = prose(page);
    let targets = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let inside = targets.filter(|target| !target.contains("://"));
    inside.map(|target| target.split_once('#').unwrap_or((target, ""))).map(|(p, a)| (p.into(), a.into())).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        for (path, anchor) in links(&page) {
            let to = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(&path) };
            assert!(root().join(&to).exists(), "{}: there is no {path}", page.display());
            let there = anchor.is_empty() || anchors(&to).contains(&anchor);
            assert!(there, "{}: {} has no heading for #{anchor}", page.display(), to.display());
        }
    }
}

#[test]
fn every_page_is_found_from_the_readme() {
    let linked: BTreeSet<PathBuf> = links(Path::new(README)).into_iter().map(|(path, _)| path.into()).collect();
    for page in pages() {
        assert!(page == Path::new(README) || linked.contains(&page), "README does not lead to {}", page.display());
    }
}

/// A path with whatever stands for an id left out.
fn without_ids(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// The operations that a page names: `POST /api/v1/sites`, or shorter, `POST /sites`.
fn named(page: &Path) -> Vec<String> {
    let text = prose(page);
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let operations = spans.filter_map(|span| span.split_once(' ').filter(|(method, _)| METHODS.contains(method)));
    operations
        .filter(|(_, path)| path.starts_with('/'))
        .map(|(method, path)| {
            let path = path.split('?').next().unwrap();
            let full = if path.starts_with("/api/") { path.to_owned() } else { format!("/api/v1{path}") };
            format!("{method} {}", without_ids(&full))
        })
        .collect()
}

#[test]
fn what_a_page_tells_to_ask_is_served() {
    let printed = kit::run(&std::env::temp_dir(), &["openapi"]);
    assert!(printed.status.success(), "{}", kit::stderr(&printed));
    let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let served: BTreeSet<String> = (document["paths"].as_object().unwrap().iter())
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
            methods.map(move |method| format!("{method} {}", without_ids(path)))
        })
        .collect();
    let mut operations = 0;
    for page in pages() {
        for operation in named(&page) {
            assert!(served.contains(&operation), "{} names {operation}, which is not served", page.display());
            operations += 1;
        }
    }
    assert!(operations > 20, "found only {operations}");
}
