#!/usr/bin/env python3
"""`rollcall replay` beside what a user would write with OpenCV: same models, same clip, every frame, in turn.

usage: benches/peers.py [--rollcall FILE] [--rounds N] [--clip FILE]

Clip and peer are not part of this project. They are read from the folder ROLLCALL_EVAL_DATA (default ../shared/data:
chokepoint/P2E_S5_C1.1_part.mp4) and its sibling `peers` (opencv_door.py, faiss_scan.py); where they are not, this says so
and ends well. ROLLCALL_PEER_PYTHON is a Python that can import cv2 (opencv-python 4.8 or later) and, for the search, faiss.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / "models" / "cache"
# Somebody has to be enrolled; who it is makes no difference to the cost.
PEOPLE = ["audrey.jpg", "biden.jpg", "cage.jpg", "franck_01829.jpg", "obama.jpg"]
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def run(command):
    """The last line of the output as JSON, with the CPU seconds and the memory of the whole process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=err, env={**os.environ, **ONE_THREAD})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        text, complaint = out.read().decode(), err.read().decode()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{complaint[-2000:]}")
    figures = json.loads(text if text.lstrip().startswith("{") and "\n" in text.strip() else text.strip().splitlines()[-1])
    return figures, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def imports(python, module):
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def replay(options, python, peer):
    with tempfile.TemporaryDirectory() as folder:
        for name in PEOPLE:
            shutil.copy(CACHE / "demo" / name, folder)
        ours = [options.rollcall, "--data-dir", f"{folder}/data", "replay", options.clip, "--people", folder, "--json"]
        models = ["--yunet", CACHE / "yunet-2023mar.onnx", "--sface", CACHE / "sface-2021dec.onnx"]
        theirs = [python, peer, "--video", options.clip, *models]
        rounds = {"rollcall replay": [], peer.name: []}
        for _ in range(options.rounds):
            figures, cpu, rss = run(ours)
            rounds["rollcall replay"].append((figures["frames_analysed"], figures["faces"], figures["analysed_per_cpu_second"], cpu, rss))
            figures, cpu, rss = run(theirs)
            rounds[peer.name].append((figures["analysed"], figures["faces"], figures["analysed_per_cpu_s"], cpu, rss))
    median = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in rounds.items()}
    print(f"{options.clip.name}, every frame, detector at 640 pixels, medians of {options.rounds} rounds in turn:\n")
    print("| | analysed frames | faces | frames a CPU second, without start-up | with start-up | most memory, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (frames, faces, pace, cpu, rss) in median.items():
        print(f"| {name} | {frames:.0f} | {faces:.0f} | {pace:.1f} | {frames / cpu:.1f} | {rss:.0f} |")
    ours, theirs = median.values()
    print(f"\nrollcall does {ours[2] / theirs[2]:.1f} times the frames a CPU second.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollcall", type=pathlib.Path, default=ROOT / "target/release/rollcall")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clip", type=pathlib.Path)
    options = parser.parse_args()
    data = pathlib.Path(os.environ.get("ROLLCALL_EVAL_DATA", ROOT.parent / "shared/data")).resolve()
    options.clip = options.clip or data / "chokepoint/P2E_S5_C1.1_part.mp4"
    python = os.environ.get("ROLLCALL_PEER_PYTHON", "python3")
    if not options.rollcall.is_file():
        sys.exit(f"{options.rollcall} is not there: cargo build --release")
    peer = data.parent / "peers/opencv_door.py"
    if not options.clip.is_file() or not peer.is_file():
        print(f"not compared: {options.clip} or {peer} is not there (they are private: see the top of benches/peers.py)")
    elif not imports(python, "cv2"):
        print(f"not compared: {python} cannot import cv2; name one that can in ROLLCALL_PEER_PYTHON")
    else:
        replay(options, python, peer)
    scan = data.parent / "peers/faiss_scan.py"
    if scan.is_file() and imports(python, "faiss"):
        print("\nThe peer of the gallery, FAISS IndexFlatIP on one thread:\n", flush=True)
        subprocess.run([python, scan, "--sizes", "50", "1000", "10000", "100000"], env={**os.environ, **ONE_THREAD}, check=True)
    else:
        print(f"\ngallery not compared: {scan} is not there, or {python} cannot import faiss")


main()
