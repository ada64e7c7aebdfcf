#!/usr/bin/env python3
"""`rollcall replay` beside what a user would write or pick: the same clip, the same models, every frame, in turn.

usage: benches/peers/compare.py [--rollcall FILE] [--rounds N] [--clip FILE]

Clip and first peer are not part of this project. They are read from the folder ROLLCALL_EVAL_DATA (default ../shared/data:
chokepoint/P2E_S5_C1.1_part.mp4) and its sibling `peers` (opencv_door.py); where they are not, this says so and ends well.
ROLLCALL_DOOR_CASE names a folder with probe.mp4, people/, truth.csv and enrolled.txt: it is the clip then, and who is named
rightly is counted. ROLLCALL_PEER_PYTHON is a Python that can import cv2 (opencv-python 4.8 or later) and, for the others,
onnxruntime and face_recognition. Without a clip of faces the demo's is used, and nobody is counted.
"""
import argparse
import collections
import csv
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import measure

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / "models" / "cache"
# A side that takes longer than so many seconds is run once, lest the whole takes for ever.
SLOW = 60
# Somebody has to be enrolled; who it is makes no difference to the cost.
PEOPLE = ["audrey.jpg", "biden.jpg", "cage.jpg", "franck_01829.jpg", "obama.jpg"]
OURS = "rollcall replay"
IN_32_BITS = "rollcall replay, all in 32 bits"


class Side:
    """A program under comparison."""

    def __init__(self, name, command, names_people=False):
        self.name, self.command, self.names_people = name, command, names_people
        self.rounds, self.who, self.seconds = [], None, 0.0


def overlap(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (a[2] * a[3] + b[2] * b[3] - common + 1e-9)


def box(row):
    return [float(row[side]) for side in "xywh"]


def identified(case, events, tracks):
    """Of the enrolled: how many got their own name. And how many names went to somebody else."""
    truth = collections.defaultdict(list)
    for row in csv.DictReader((case / "truth.csv").open()):
        truth[int(row["frame"])].append((row["id"], box(row)))
    enrolled = set((case / "enrolled.txt").read_text().split())
    under, named_at = collections.defaultdict(collections.Counter), {}
    for row in csv.DictReader(tracks.open()):
        frame, track = int(row["frame"]), row["id"]
        if row["person"]:
            named_at.setdefault((track, row["person"]), frame)
        best = max(truth[frame], key=lambda known: overlap(known[1], box(row)), default=None)
        if best and overlap(best[1], box(row)) >= 0.35:
            under[track][frame] = best[0]
    right, wrong = set(), 0
    for event in map(json.loads, events.read_text().splitlines()):
        if event["kind"] not in ("recorded", "debounced", "off_roster", "off_schedule") or not event.get("person"):
            continue
        person, track = str(event["person"]), str(event["track_id"])
        # Whose face the track was on when it got the name.
        at = named_at.get((track, person), max(under[track], default=0))
        near = collections.Counter(who for frame, who in under[track].items() if at - 9 <= frame <= at + 1)
        if near and near.most_common(1)[0][0] == person:
            right.add(person)
        else:
            wrong += 1
    return len(right & enrolled), len(enrolled), wrong


def sides(options, python, data, people, folder):
    """Everybody who can be compared here; who cannot is told of."""
    models = ["--yunet", CACHE / "yunet-2023mar.onnx", "--sface", CACHE / "sface-2021dec.onnx"]
    files = ["--people", people, "--events", folder / "events.jsonl", "--tracks", folder / "tracks.csv"]
    for name, precision in ((OURS, "auto"), (IN_32_BITS, "full")):
        config = folder / f"{precision}.toml"
        config.write_text(f'[models]\nprecision = "{precision}"\n')
        ours = [options.rollcall, "--config", config, "--data-dir", folder / "data"]
        yield Side(name, [*ours, "replay", options.clip, *files, "--json"], names_people=True)
    if not measure.imports(python, "cv2"):
        print(f"- the peers are not measured: {python} cannot import cv2; name one that can in ROLLCALL_PEER_PYTHON")
        return
    peer = data.parent / "peers/opencv_door.py"
    if peer.is_file():
        yield Side("OpenCV, every face of every frame", [python, peer, "--video", options.clip, *models])
    else:
        print(f"- opencv_door.py is not measured: {peer} is not there (it is private: see the top of benches/peers/compare.py)")
    own = [python, HERE / "opencv_tracking.py", "--video", options.clip, *models, *files]
    yield Side("OpenCV with a tracker, once a track", own, names_people=True)
    if measure.imports(python, "onnxruntime"):
        own = [python, HERE / "onnx_pipeline.py", "--video", options.clip, *models, "--people", people]
        yield Side("ONNX Runtime in Python, every face of every frame", own)
    else:
        print(f"- onnx_pipeline.py is not measured: {python} cannot import onnxruntime")
    if measure.imports(python, "face_recognition"):
        own = [python, HERE / "face_recognition_door.py", "--video", options.clip, "--people", people]
        yield Side("face_recognition (dlib), every face of every frame", own)
    else:
        print(f"- face_recognition is not measured: {python} cannot import it")


def compare(options, case, python, data):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if case:
            people = case / "people"
        else:
            people = folder / "people"
            people.mkdir()
            for name in PEOPLE:
                shutil.copy(CACHE / "demo" / name, people)
        compared = list(sides(options, python, data, people, folder))
        for _ in range(options.rounds):
            for side in compared:
                if side.seconds > SLOW:
                    continue
                began = time.monotonic()
                run = measure.run(side.command)
                side.seconds = time.monotonic() - began
                figures = run.figures()
                analysed = figures.get("frames_analysed", figures.get("analysed"))
                searched = figures.get("pictures_searched", analysed)
                pace = figures.get("analysed_per_cpu_second", figures.get("analysed_per_cpu_s"))
                side.rounds.append((analysed, searched, figures["faces"], pace, run.cpu, run.rss))
                if case and side.names_people:
                    side.who = identified(case, folder / "events.jsonl", folder / "tracks.csv")
    table(options, compared)


def table(options, compared):
    print(f"\n{options.clip.name}, every frame, detector at 640 pixels, one thread, medians of {options.rounds} rounds in turn:\n")
    print("| | analysed frames | searched, in whole frames | faces | named rightly / wrongly | frames a CPU second, without start-up | with start-up "
          "| most memory, MB | rollcall does | in 32 bits |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    ours, kept = {}, []
    for side in compared:
        frames, searched, faces, pace, cpu, rss = (statistics.median(column) for column in zip(*side.rounds))
        is_ours = side.name in (OURS, IN_32_BITS)
        if is_ours:
            ours[side.name] = pace
        who = f"{side.who[0]} of {side.who[1]} / {side.who[2]}" if side.who else "–"
        times = " | " if is_ours else " | ".join(f"{own / pace:.1f} ×" for own in ours.values())
        name = side.name if len(side.rounds) == options.rounds else f"{side.name} (one round)"
        print(f"| {name} | {frames:.0f} | {searched:.0f} | {faces:.0f} | {who} | {pace:.1f} | {frames / cpu:.1f} | {rss:.0f} | {times} |")
        kept.append({"name": side.name, "pace": pace, "rounds": [r[3] for r in side.rounds]})
    print("\nOf each frame the lane searches what changed and where faces were; all of it every two seconds.")
    measure.keep("peers", {"clip": options.clip.name, "sides": kept})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollcall", type=pathlib.Path, default=ROOT / "target/release/rollcall")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clip", type=pathlib.Path)
    options = parser.parse_args()
    data = pathlib.Path(os.environ.get("ROLLCALL_EVAL_DATA") or ROOT.parent / "shared/data").resolve()
    case = os.environ.get("ROLLCALL_DOOR_CASE")
    case = pathlib.Path(case).resolve() if case and not options.clip else None
    if case and not all((case / name).exists() for name in ("probe.mp4", "people", "truth.csv", "enrolled.txt")):
        print(f"- {case} lacks probe.mp4, people/, truth.csv or enrolled.txt: nobody is counted")
        case = None
    door, demo = data / "chokepoint/P2E_S5_C1.1_part.mp4", CACHE / "demo/franck.mp4"
    options.clip = options.clip or (case and case / "probe.mp4") or (door if door.is_file() else demo)
    if not options.rollcall.is_file():
        sys.exit(f"{options.rollcall} is not there: cargo build --release")
    if not options.clip.is_file():
        sys.exit(f"{options.clip} is not there: run `make setup`, or name a clip with --clip")
    compare(options, case, os.environ.get("ROLLCALL_PEER_PYTHON", "python3"), data)


main()
