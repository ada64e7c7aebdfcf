"""Tries the running API against its own OpenAPI document: a daemon of its own, a site with something in it, all checks.

    .venv/bin/python tests/schemathesis/run.py PATH_TO_ROLLCALL [ARGUMENT OF schemathesis …]
"""

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
PASSWORD = "correct horse battery staple"
CONFIG = """
[server]
listen = "127.0.0.1:0"
# What is tried here is not patience.
rate_per_minute = 1000000

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


def log_in(base: str) -> str:
    answer = requests.post(f"{base}/api/v1/auth/login", json={"login": "admin", "password": PASSWORD}, timeout=30)
    answer.raise_for_status()
    return answer.json()["access_token"]


def make_key(base: str, token: str) -> str:
    """A key outlives the run, whatever becomes of the administrator."""
    document = requests.get(f"{base}/api/openapi.json", timeout=30).json()
    rights = document["components"]["schemas"]["Right"]["enum"]
    answer = requests.post(
        f"{base}/api/v1/keys", headers={"Authorization": f"Bearer {token}"}, timeout=30,
        json={"name": "schemathesis", "rights": rights, "everywhere": True},
    )
    answer.raise_for_status()
    return answer.json()["key"]


def main() -> int:
    rollcall, arguments = sys.argv[1], sys.argv[2:]
    # World-readable on the way down: root hands the database to another user.
    with tempfile.TemporaryDirectory(prefix="rollcall-schemathesis-") as directory:
        home = pathlib.Path(directory)
        home.chmod(0o755)
        daemon, base = start(rollcall, home)
        try:
            key = make_key(base, log_in(base))
            tried = subprocess.run(
                [pathlib.Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "schemathesis.toml",
                 "run", f"{base}/api/openapi.json", "--header", f"x-api-key: {key}", *arguments],
                cwd=home, check=False,
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
