//! A daemon with an admin, and a client that speaks JSON with it.

use std::collections::HashMap;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rollcall_pipeline::config::Config;
use rollcall_pipeline::supervisor::Supervisor;
use rollcall_pipeline::{Clock, SystemClock};
use rollcall_store::{Cluster, Sealer, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Daemon, PATIENCE, rollcall, stderr, until};

/// Of everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A daemon with an admin, of whom it is the client. One a test file, in a `LazyLock`: starting one takes seconds.
pub(crate) struct Site {
    /// Away only while it is restarted.
    daemon: Mutex<Option<Daemon>>,
    admin: Client,
    env: Vec<(String, String)>,
    dir: TempDir,
    made: AtomicU32,
}

impl Deref for Site {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.admin
    }
}

impl Site {
    /// With this configuration file.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    /// With this configuration file and environment.
    pub(crate) fn start_with(config: &str, env: &[(&str, &str)]) -> Self {
        sweep();
        // PostgreSQL may run as a user of its own, who has to get there.
        let mode = Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("rollcall-site").permissions(mode).tempdir().unwrap();
        std::fs::write(dir.path().join("owner"), std::process::id().to_string()).unwrap();
        let file = dir.path().join("rollcall.toml");
        std::fs::write(&file, config).unwrap();
        let data = dir.path().join("data");
        // Many log in here, all from one address.
        let mut all = vec![
            ("ROLLCALL__SERVER__LOGIN_RATE_PER_MINUTE", "100000"),
            ("ROLLCALL__SERVER__RATE_PER_MINUTE", "0"),
            ("ROLLCALL__SERVER__ADDRESS_RATE_PER_MINUTE", "0"),
        ];
        all.extend(env);
        let daemon = Daemon::start_with(&data, &file, &all);
        make_admin(&data, &file, "admin");
        let guest = Client::new(&daemon.address);
        let admin = guest.log_in("admin");
        let env = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let site = Self { daemon: Mutex::new(Some(daemon)), admin, env, dir, made: AtomicU32::new(0) };
        site.until_planned(config);
        site
    }

    /// Until people and timetables are there, and the rooms of the file with all that it plans: the daemon serves before.
    fn until_planned(&self, config: &str) {
        until("people and timetables are there", || self.get("/health/ready").json["database"]["ready"] == true);
        for room in Config::parse(config, &self.config(), HashMap::new()).unwrap().rooms {
            until("the file's rooms are there", || self.get(&format!("/api/v1/rooms/{}", room.id)).status == 200);
        }
    }

    /// Ends its daemon in an orderly way, and starts it again.
    pub(crate) fn restart(&mut self) {
        let daemon = self.daemon.get_mut().unwrap();
        assert!(daemon.take().unwrap().terminate().success());
        let env: Vec<(&str, &str)> = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let again = Daemon::start_with(&self.dir.path().join("data"), &self.dir.path().join("rollcall.toml"), &env);
        self.admin.base = format!("http://{}", again.address);
        *daemon = Some(again);
    }

    /// Somebody who has not logged in.
    pub(crate) fn guest(&self) -> Client {
        Client::new(self.admin.base.trim_start_matches("http://"))
    }

    /// A new account of that role, allowed everywhere, and logged in.
    pub(crate) fn as_role(&self, role: &str) -> Client {
        self.as_account(json!({ "role": role, "everywhere": role != "person" }))
    }

    /// A new account, logged in: `role`, and `everywhere`, `sites`, `rooms` or `person_id`.
    pub(crate) fn as_account(&self, mut account: Value) -> Client {
        let login = format!("somebody-{}", self.made.fetch_add(1, Ordering::Relaxed));
        account["login"] = login.clone().into();
        account["name"] = login.clone().into();
        let made = self.post("/api/v1/accounts", &account).expect(201);
        let set_up = json!({ "token": made["link"]["token"], "password": PASSWORD });
        let guest = self.guest();
        let token = guest.post("/api/v1/auth/setup", &set_up).expect(200)["access_token"].as_str().unwrap().to_owned();
        guest.with("authorization", &format!("Bearer {token}"))
    }

    /// A new key with these rights, everywhere.
    pub(crate) fn as_key(&self, rights: &[&str]) -> Client {
        let key = json!({ "name": "a machine", "rights": rights, "everywhere": true });
        let made = self.post("/api/v1/keys", &key).expect(201);
        self.guest().with("x-api-key", made["secret"].as_str().unwrap())
    }

    /// Works on its database, beside the daemon. What is sealed there does not open.
    pub(crate) fn with_store(&self, work: impl AsyncFnOnce(&Store)) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cluster = Cluster::start(&self.data(), &Supervisor::new(clock)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::in_cluster(&cluster, Sealer::new([7; 32]), 1);
            work(&store).await;
            store.close().await;
        });
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("rollcall.toml")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        self.daemon.lock().unwrap().as_ref().unwrap().signal(signal);
    }

    /// The next line of its log that is as wished.
    #[track_caller]
    pub(crate) fn wait_for(&self, wished: impl Fn(&Value) -> bool) -> Value {
        self.daemon.lock().unwrap().as_ref().unwrap().wait_for(wished)
    }
}

/// Makes an admin with the password of everybody.
pub(crate) fn make_admin(data: &Path, config: &Path, login: &str) {
    let mut command = rollcall(data);
    command.args(["admin", "create", "--login", login, "--password-stdin", "--config"]).arg(config);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
}

/// Removes what earlier test binaries left: what is static outlives them.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let owner = std::fs::read_to_string(entry.path().join("owner")).ok();
        if entry.file_name().to_string_lossy().starts_with("rollcall-site")
            && owner.is_some_and(|pid| !Path::new("/proc").join(pid.trim()).exists())
        {
            // Two binaries may sweep at once.
            std::fs::remove_dir_all(entry.path()).unwrap_or_default();
        }
    }
}

/// Speaks with a daemon as somebody.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    headers: Vec<(String, String)>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null if it is not JSON.
    pub(crate) json: Value,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    asked: String,
}

impl Answer {
    /// Its JSON, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, String::from_utf8_lossy(&self.body));
        self.json
    }

    /// One of its headers, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Client {
    /// Somebody without a token.
    pub(crate) fn new(address: &str) -> Self {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        Self { agent, base: format!("http://{address}"), headers: Vec::new() }
    }

    /// The same with one more header.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same as somebody who logged in.
    pub(crate) fn log_in(&self, login: &str) -> Self {
        let told = self.post("/api/v1/auth/login", &json!({ "login": login, "password": PASSWORD })).expect(200);
        self.with("authorization", &format!("Bearer {}", told["access_token"].as_str().unwrap()))
    }

    /// The token it carries.
    pub(crate) fn token(&self) -> &str {
        self.carried("authorization").trim_start_matches("Bearer ")
    }

    /// The key it carries.
    pub(crate) fn key(&self) -> &str {
        self.carried("x-api-key")
    }

    fn carried(&self, name: &str) -> &str {
        self.headers.iter().rev().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Asks until the answer is as wished.
    #[track_caller]
    pub(crate) fn until(&self, path: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let begun = SystemClock.mono();
        loop {
            let answer = self.get(path).expect(200);
            if wished(&answer) {
                return answer;
            }
            assert!(SystemClock.mono().since(begun) < PATIENCE, "{path} is not as wished: {answer}");
        }
    }

    /// What was done to something, the latest first: action, before and after.
    pub(crate) fn log(&self, query: &str) -> Vec<(String, Value, Value)> {
        let log = self.get(&format!("/api/v1/audit?{query}")).expect(200);
        let entry = |e: &Value| (e["action"].as_str().unwrap().to_owned(), e["before"].clone(), e["after"].clone());
        log["items"].as_array().unwrap().iter().map(entry).collect()
    }

    /// What `/metrics` says of a series at this moment.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = String::from_utf8(self.get("/metrics").body).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, &[], body)
    }

    /// Over the version that is there, whichever it is.
    pub(crate) fn post_over(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, &[("if-match", "*")], body)
    }

    /// Over the version that is there, whichever it is.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.json("PATCH", path, &[("if-match", "*")], body)
    }

    /// Over the version that is there, where there are versions.
    pub(crate) fn put_over(&self, path: &str, body: &Value) -> Answer {
        self.json("PUT", path, &[("if-match", "*")], body)
    }

    /// The version that is there, whichever it is.
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[("if-match", "*")], b"")
    }

    pub(crate) fn json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json"));
        self.send(method, path, &headers, body.to_string().as_bytes())
    }

    /// Uploads a form: name of the field, name and media type of the file (both empty: a plain field), content.
    pub(crate) fn upload(&self, path: &str, parts: &[(&str, &str, &str, &[u8])]) -> Answer {
        self.upload_parted("~~rollcall~~", path, parts)
    }

    /// The same with this between the fields.
    pub(crate) fn upload_parted(&self, boundary: &str, path: &str, parts: &[(&str, &str, &str, &[u8])]) -> Answer {
        let mut body = Vec::new();
        for (field, file, media_type, content) in parts {
            write!(body, "--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"").unwrap();
            if !file.is_empty() {
                write!(body, "; filename=\"{file}\"").unwrap();
            }
            if !media_type.is_empty() {
                write!(body, "\r\ncontent-type: {media_type}").unwrap();
            }
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        write!(body, "--{boundary}--\r\n").unwrap();
        self.send("POST", path, &[("content-type", &format!("multipart/form-data; boundary={boundary}"))], &body)
    }

    /// An answer that goes on: status, and its lines as they come. One that neither goes on nor ends is a failure.
    pub(crate) fn follow(&self, path: &str, headers: &[(&str, &str)]) -> (u16, impl Iterator<Item = String> + use<>) {
        let mut request = ureq::http::Request::builder().method("GET").uri(format!("{}{path}", self.base));
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let answer = self.agent.run(request.body(()).unwrap()).unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = answer.status().as_u16();
        (status, BufReader::new(answer.into_body().into_reader()).lines().map(Result::unwrap))
    }

    /// Anything.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let answer = if body.is_empty() {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let headers = answer.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status, json, headers, body, asked: format!("{method} {path}") }
    }
}
