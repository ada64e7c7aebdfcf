//! People over HTTP, and folders of pictures of them on the command line.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::{Site, run};

pub(crate) const PEOPLE: &str = "/api/v1/people";

/// Where somebody is, or what there is of them.
pub(crate) fn at(person: &Value, rest: &str) -> String {
    format!("{PEOPLE}/{}{rest}", person["id"].as_str().unwrap())
}

/// Enrols a folder, beside the daemon.
pub(crate) fn enroll(site: &Site, folder: &Path, more: &[&str]) -> Output {
    let config = site.config();
    let args = [&["enroll", folder.to_str().unwrap(), "--config", config.to_str().unwrap()][..], more].concat();
    run(&site.data(), &args)
}
