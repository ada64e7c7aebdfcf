"""What the peers of this folder share: their arguments, their gallery, and the files that they write."""
import argparse
import csv
import json
import pathlib
import resource
import time

import numpy as np

# OpenCV's own threshold for SFace.
SAME = 0.363


def arguments(what):
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--video", required=True)
    parser.add_argument("--yunet", required=True)
    parser.add_argument("--sface", required=True)
    parser.add_argument("--people", type=pathlib.Path, help="people/Name.jpg or people/Name/*.jpg; without it 500 random faces")
    parser.add_argument("--width", type=int, default=640, help="width of the detector's input")
    parser.add_argument("--score", type=float, default=0.7)
    parser.add_argument("--events", type=pathlib.Path, help="who was named, as JSON lines")
    parser.add_argument("--tracks", type=pathlib.Path, help="where everybody was, as CSV")
    return parser.parse_args()


def unit(vector):
    return vector / np.linalg.norm(vector)


def gallery(folder, embed):
    """Templates and their names; `embed` makes one of a picture file, or None."""
    if folder is None:
        random = np.random.default_rng(0).standard_normal((500, 128)).astype(np.float32)
        return random / np.linalg.norm(random, axis=1, keepdims=True), [f"nobody {i}" for i in range(500)]
    rows, names = [], []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        row = embed(path)
        if row is not None:
            rows.append(row)
            names.append(path.stem if path.parent == folder else path.parent.name)
    return np.array(rows, dtype=np.float32), names


class Report:
    """Counts, clocks and files of a run. The clocks start here: loading and enrolling are over."""

    def __init__(self, options):
        self.options, self.events, self.tracks = options, [], []
        self.analysed = self.faces = self.embedded = 0
        self.wall, self.cpu = time.time(), time.process_time()

    def named(self, track, person):
        self.events.append({"kind": "recorded", "person": person, "track_id": track})

    def print(self):
        wall, cpu = time.time() - self.wall, time.process_time() - self.cpu
        if self.options.events:
            self.options.events.write_text("".join(json.dumps(e) + "\n" for e in self.events))
        if self.options.tracks:
            with self.options.tracks.open("w", newline="") as file:
                out = csv.writer(file)
                out.writerow(["frame", "id", "x", "y", "w", "h", "conf", "person"])
                out.writerows(self.tracks)
        print(json.dumps({
            "analysed": self.analysed, "faces": self.faces, "embedded": self.embedded,
            "wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "analysed_per_cpu_s": round(self.analysed / cpu, 2),
            "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }))
