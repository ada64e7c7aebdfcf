"""Tries the running API against its own OpenAPI document: a daemon of its own, a site with something in it, all checks.

    .venv/bin/python tests/schemathesis/run.py PATH_TO_ROLLCALL [ARGUMENT OF schemathesis …]
"""

import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import requests

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PASSWORD = "correct horse battery staple"
CONFIG = f"""
[models]
dir = "{ROOT / 'models/cache'}"

[server]
listen = "127.0.0.1:0"
# What is tried here is not patience.
rate_per_minute = 0
address_rate_per_minute = 0
login_rate_per_minute = 100000

[log]
format = "json"
"""


def start(rollcall: str, home: pathlib.Path) -> tuple[subprocess.Popen, str]:
    """Starts a daemon with an administrator; returns it and its address."""
    config = home / "rollcall.toml"
    config.write_text(CONFIG)
    environment = {**os.environ, "ROLLCALL_DATA_DIR": str(home / "data")}
    log = open(home / "daemon.log", "w+", encoding="utf-8")
    daemon = subprocess.Popen([rollcall, "run", "--config", config], env=environment, stderr=log, stdout=subprocess.DEVNULL)
    with open(home / "daemon.log", encoding="utf-8") as lines:
        while True:
            line = lines.readline()
            if not line:
                if daemon.poll() is not None:
                    sys.exit(f"the daemon ended: {pathlib.Path(home / 'daemon.log').read_text()}")
                try:
                    daemon.wait(0.05)
                except subprocess.TimeoutExpired:
                    pass
                continue
            told = json.loads(line) if line.startswith("{") else {}
            if str(told.get("message", "")).startswith("serving"):
                break
    subprocess.run(
        [rollcall, "admin", "create", "--config", config, "--login", "admin", "--name", "Admin", "--password-stdin"],
        env=environment, input=PASSWORD, text=True, check=True, stdout=subprocess.DEVNULL,
    )
    return daemon, f"http://{told['address']}"


class Client:
    """Speaks JSON with the daemon; what is refused ends the run."""

    def __init__(self, base: str):
        self.base, self.session = base, requests.Session()

    def ask(self, method: str, path: str, body: object = None, **more: object) -> dict:
        answer = self.session.request(method, f"{self.base}{path}", json=body, timeout=60, **more)
        if not answer.ok:
            sys.exit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def post(self, path: str, body: object) -> dict:
        return self.ask("POST", f"/api/v1/{path}", body)


def seed(base: str) -> tuple[str, dict[str, str]]:
    """Makes one of everything, so that not every answer is 404. Returns a key for all of it, and the ids by noun."""
    admin = Client(base)
    told = admin.post("auth/login", {"login": "admin", "password": PASSWORD})
    admin.session.headers["authorization"] = f"Bearer {told['access_token']}"
    rights = admin.ask("GET", "/api/v1/auth/me")["rights"]
    # A key outlives the run, whatever becomes of the administrator.
    key = admin.post("keys", {"name": "schemathesis", "rights": rights, "everywhere": True})["secret"]
    spare = admin.post("keys", {"name": "spare", "rights": rights[:1], "everywhere": True})["key"]["id"]
    account = admin.post("accounts", {"login": "teacher", "name": "Teacher", "role": "teacher", "everywhere": True})
    admin.post("sites", {"id": "school", "name": "School", "time_zone": "Europe/Berlin"})
    admin.post("rooms", {"id": "hall", "site_id": "school"})
    camera = {"id": "door", "room_id": "hall", "enabled": False, "settings": {"streams": {"detect": "rtsp://127.0.0.1:9/door"}}}
    admin.post("cameras", camera)
    person = admin.post("people", {"name": "Ada", "external_id": "1"})["id"]
    admin.post(f"people/{person}/consents", {"text_version": "1", "given_by": "Ada"})
    group = admin.post("groups", {"name": "3b"})["id"]
    course = admin.post("courses", {"site_id": "school", "name": "Mathematics"})["id"]
    admin.ask("PUT", f"/api/v1/courses/{course}/enrolments", {"people": [{"person_id": person}]}, headers={"if-match": "*"})
    line = {"room_id": "hall", "weekdays": [1, 2, 3, 4, 5], "starts": "08:00", "ends": "09:00"}
    entry = admin.post(f"courses/{course}/timetable", line)["id"]
    now = datetime.datetime.now(datetime.UTC)
    hour = datetime.timedelta(hours=1)
    times = {"starts_at": (now - hour).isoformat(), "ends_at": (now + hour).isoformat()}
    session = admin.post("sessions", {"room_id": "hall", "course_id": course, **times})["id"]
    mark = {"kind": "present", "person_id": person, "session_id": session, "reason": "seen"}
    admin.ask("POST", "/api/v1/attendance/corrections", mark, headers={"if-match": "*"})
    made = {"accounts": account["account"]["id"], "keys": spare, "sites": "school", "rooms": "hall", "cameras": "door"}
    made |= {"people": person, "groups": group, "courses": course, "timetable": entry, "sessions": session}
    return key, made


def configured(made: dict[str, str]) -> str:
    """How it is tried, with the ids that are there and an If-Match that always fits; nothing of it is for DELETE."""
    lines = ["[dictionaries.any]", 'values = ["*"]']
    for noun, made_id in made.items():
        lines += [f"[dictionaries.{noun}]", f"values = [{json.dumps(made_id)}]"]
    for noun in made:
        lines += [
            "[[operations]]", f'include-path-regex = "^/api/v1/{noun}/\\\\{{id"', 'exclude-method = "DELETE"',
            f'parameters."path.id" = {{ dictionary = "{noun}", probability = 0.7 }}',
            'parameters."header.If-Match" = { dictionary = "any", probability = 0.7 }',
        ]
    return "\n".join([(HERE / "schemathesis.toml").read_text(encoding="utf-8"), *lines])


def main() -> int:
    rollcall, arguments = sys.argv[1], sys.argv[2:]
    # World-readable on the way down: root hands the database to another user.
    with tempfile.TemporaryDirectory(prefix="rollcall-schemathesis-") as directory:
        home = pathlib.Path(directory)
        home.chmod(0o755)
        daemon, base = start(rollcall, home)
        try:
            key, made = seed(base)
            config = home / "schemathesis.toml"
            config.write_text(configured(made), encoding="utf-8")
            tried = subprocess.run(
                [pathlib.Path(sys.executable).with_name("schemathesis"), "--config-file", config,
                 "run", f"{base}/api/openapi.json", *arguments],
                cwd=home, check=False, env={**os.environ, "ROLLCALL_KEY": key},
            ).returncode
            alive = daemon.poll() is None
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)
        log = (home / "daemon.log").read_text(encoding="utf-8")
        faults = [line for line in log.splitlines() if re.search(r'"level":"ERROR"', line)]
        for line in faults[:20]:
            print(line, file=sys.stderr)
        if not alive:
            print("error: the daemon died meanwhile", file=sys.stderr)
        return tried or int(bool(faults)) or int(not alive)


if __name__ == "__main__":
    sys.exit(main())
