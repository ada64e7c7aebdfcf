"""Runs programs and says what they cost: CPU seconds, memory, and CPU seconds of each thread."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


class Run:
    """What a program printed and what it cost."""

    def __init__(self, text, cpu, rss, threads):
        self.text, self.cpu, self.rss, self.threads = text, cpu, rss, threads

    def figures(self):
        """The output as JSON: all of it, or its last line."""
        text = self.text.strip()
        return json.loads(text if text.startswith("{") and "\n" in text else text.splitlines()[-1])


def run(command, threads=False):
    """Runs to the end; a failure ends this program with what the other one had to say."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        words = [str(word) for word in command]
        process = subprocess.Popen(words, stdout=out, stderr=err, env={**os.environ, **ONE_THREAD})
        seen = {}
        while threads and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            look(process.pid, seen)
            time.sleep(0.02)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        text, complaint = out.read().decode(), err.read().decode()
    if process.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{complaint[-2000:]}")
    by_name = {}
    for name, seconds in seen.values():
        by_name[name] = by_name.get(name, 0.0) + seconds
    return Run(text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, by_name)


def look(pid, seen):
    """Notes how long each thread has run; the kernel forgets it when the thread ends."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            seen[task.name] = (name, int((task / "schedstat").read_text().split()[0]) / 1e9)
        except (OSError, ValueError, IndexError):
            continue  # it ended just now


def imports(python, module):
    """Whether a Python can import a module."""
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def keep(name, data):
    """Keeps figures for the pictures (see src/bin/charts.rs)."""
    folder = pathlib.Path(os.environ.get("ROLLCALL_BENCH_DIR", "target/bench"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
