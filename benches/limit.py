#!/usr/bin/env python3
"""The lane beside what nothing can go below: bare decoding, and bare runs of the detector over the same frames.

usage: benches/limit.py [--bin DIR] [--rounds N]

Clips: one without faces, made here with GStreamer; one with people in a door (ROLLCALL_EVAL_DATA, as in peers/compare.py) or
the demo's; and ROLLCALL_BENCH_CLIP, if that names one. All figures are CPU seconds, medians of rounds in turn; start-up (models,
enrolment, plugins) is in none of them.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))
import measure  # noqa: E402

ROOT = HERE.parent
CACHE = ROOT / "models" / "cache"
QUIET_FRAMES = 400
# Threads of the lane, in the order of its stages; whatever else there is belongs to GStreamer.
STAGES = ["detect", "track", "embed", "liveness", "match", "sink"]


def quiet_clip(path):
    """1080p25, in which everything moves and nobody is there: bars that slide, under a little noise."""
    if not path.is_file():
        caps = "video/x-raw,format=I420,width=1920,height=1080,framerate=25/1"
        noise = f"videotestsrc num-buffers={QUIET_FRAMES} pattern=snow ! {caps} ! mix.sink_1"
        bars = f"videotestsrc num-buffers={QUIET_FRAMES} pattern=smpte75 horizontal-speed=6 ! {caps} ! mix.sink_0"
        encode = "x264enc bitrate=4000 key-int-max=50 speed-preset=veryfast ! h264parse ! mp4mux ! filesink"
        part = path.with_suffix(".part")
        line = f"compositor name=mix sink_1::alpha=0.12 ! {caps} ! {encode} location={part} {noise} {bars}"
        subprocess.run(["gst-launch-1.0", "-q", *line.split()], check=True, stdout=subprocess.DEVNULL)
        part.rename(path)
    return path


def play(clip, chain, frames):
    """CPU seconds of a bare pipeline over the first frames; -1 is all."""
    words = f"filesrc location={clip} ! {chain} ! fakesink sync=false num-buffers={frames}".split()
    return measure.run(["gst-launch-1.0", "-q", *words]).cpu


def decoder(clip):
    """H.264 with the decoder and the setting of the lane; for others what GStreamer takes, as the lane does."""
    h264 = "parsebin ! avdec_h264 max-threads=1"
    tried = f"gst-launch-1.0 -q filesrc location={clip} ! {h264} ! fakesink num-buffers=1"
    return h264 if subprocess.run(tried.split(), capture_output=True, check=False).returncode == 0 else "decodebin"


def decode(clip, chain):
    """CPU seconds of decoding alone: all of the clip, less the first frame and all that comes before it."""
    return play(clip, chain, -1) - play(clip, chain, 1)


def lane(options, clip, people, folder):
    run = measure.run(
        [options.bin / "rollcall", "--data-dir", folder / "data", "replay", clip, "--people", people, "--json"], threads=True)
    figures = run.figures()
    parts = {stage: run.threads.get(f"lane-{stage}", 0.0) for stage in STAGES}
    named = {f"lane-{stage}" for stage in STAGES}
    parts["decode"] = sum(cpu for name, cpu in run.threads.items() if name not in named and name != "rollcall")
    parts["other"] = max(0.0, figures["cpu_seconds"] - sum(parts.values()))
    return figures, parts


def measured(options, clip, people, folder):
    rows, parts, chain = [], [], decoder(clip)
    for _ in range(options.rounds):
        bare = decode(clip, chain)
        detector = measure.run([options.bin / "detector_floor", clip]).figures()
        figures, by_part = lane(options, clip, people, folder)
        parts.append(by_part)
        # What the lane does not search is no work of the floor's either.
        searched = figures["pictures_searched"]
        of_detector = detector["cpu_seconds"] * searched / detector["frames"]
        rows.append((detector["frames"], searched, bare, of_detector, figures["cpu_seconds"], figures["faces"]))
    frames, searched, bare, detector, all_of_it, faces = (statistics.median(column) for column in zip(*rows))
    return {
        "clip": clip.name, "frames": frames, "searched": searched, "faces": faces, "decode": bare, "detector": detector, "lane": all_of_it,
        "ratio": all_of_it / (bare + detector), "parts": {k: statistics.median(p[k] for p in parts) for k in parts[0]},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release", help="where rollcall and detector_floor are")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = pathlib.Path(os.environ.get("ROLLCALL_EVAL_DATA") or ROOT.parent / "shared/data").resolve()
    door = data / "chokepoint/P2E_S5_C1.1_part.mp4"
    kept = pathlib.Path(os.environ.get("ROLLCALL_BENCH_DIR", "target/bench"))
    kept.mkdir(parents=True, exist_ok=True)
    clips = [quiet_clip(kept / "nobody.mp4"), door if door.is_file() else CACHE / "demo/franck.mp4"]
    if os.environ.get("ROLLCALL_BENCH_CLIP"):
        clips.append(pathlib.Path(os.environ["ROLLCALL_BENCH_CLIP"]).resolve())
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "people").mkdir()
        shutil.copy(CACHE / "demo/obama.jpg", folder / "people")
        results = [measured(options, clip, folder / "people", folder) for clip in clips]
    print(f"CPU seconds, medians of {options.rounds} rounds in turn; the detector sees 640 pixels of as many frames as the parts that the lane searches add up to:\n")
    print("| clip | frames | searched | faces | bare decode | bare detector | floor | lane | lane ÷ floor |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for r in results:
        floor = r["decode"] + r["detector"]
        print(f"| {r['clip']} | {r['frames']:.0f} | {r['searched']:.0f} | {r['faces']:.0f} | {r['decode']:.2f} | {r['detector']:.2f} | {floor:.2f} "
              f"| {r['lane']:.2f} | {r['ratio']:.2f} |")
    names = list(results[0]["parts"])
    print("\nWhere the lane's go, by thread:\n")
    print("| clip | " + " | ".join(names) + " |")
    print("| --- |" + " ---: |" * len(names))
    for r in results:
        print(f"| {r['clip']} | " + " | ".join(f"{r['parts'][n]:.2f}" for n in names) + " |")
    measure.keep("limit", results)


main()
