#!/usr/bin/env python3
"""The gallery beside FAISS IndexFlatIP: the best two of each probe, one thread, in turn on the same machine at the same time.

usage: benches/peers/gallery.py --scan FILE [--sizes N …] [--dims N …] [--rounds N]

Run with a Python that can import faiss (PyPI faiss-cpu). Times are CPU time a probe, medians of rounds in turn. FAISS answers
with templates, the gallery with people; here each template is a person of its own. A call of FAISS through Python takes some 10 µs
on a Xeon at 2 GHz whatever it searches: one probe over 50 templates is mostly that, and batches share it.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import faiss
import numpy as np

import measure

BATCHES = [1, 16, 32]
# So long is measured at least, seconds.
LEAST = 0.25
# What both sides hold of one template at the worst moment, in bytes a value.
BYTES_A_VALUE = 18


class Ours:
    """The gallery, in a program that waits for what to measure."""

    def __init__(self, program, dimension, size):
        words = [program, "--dimension", str(dimension), "--templates", str(size)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended: exit status {self.process.wait()}")
        return json.loads(line)

    def microseconds(self, batch):
        self.process.stdin.write(f"{batch}\n")
        self.process.stdin.flush()
        return self.answer()["microseconds_a_probe"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Theirs:
    def __init__(self, dimension, size):
        random = np.random.default_rng(0)
        self.index = faiss.IndexFlatIP(dimension)
        for start in range(0, size, 100_000):
            rows = random.standard_normal((min(100_000, size - start), dimension), dtype=np.float32)
            self.index.add(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        probes = random.standard_normal((max(BATCHES), dimension), dtype=np.float32)
        self.probes = probes / np.linalg.norm(probes, axis=1, keepdims=True)

    def microseconds(self, batch):
        began, took, done, more = time.thread_time(), 0.0, 0, 1
        while took < LEAST:
            for i in range(done, done + more):
                first = i * batch % (len(self.probes) - batch + 1)
                self.index.search(self.probes[first:first + batch], 2)
            done += more
            more = done
            took = time.thread_time() - began
        return took * 1e6 / (done * batch)


def human(microseconds):
    return f"{microseconds:.1f} µs" if microseconds < 1000 else f"{microseconds / 1000:.2f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", required=True, help="the program gallery_scan")
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    print(f"FAISS {faiss.__version__}; CPU time a probe, medians of {options.rounds} rounds in turn, FAISS beside the gallery:\n")
    print("| values × templates | " + " | ".join("one probe" if b == 1 else f"batches of {b}" for b in BATCHES) + " |")
    print("| --- |" + " ---: |" * len(BATCHES))
    kept, left_out = [], []
    for dimension in options.dims:
        for size in options.sizes:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            available = next((int(line.split()[1]) * 1024 for line in open("/proc/meminfo") if line.startswith("MemAvailable")), free)
            if available < dimension * size * BYTES_A_VALUE:
                left_out.append(f"{dimension} × {size:,}")
                continue
            ours, theirs = Ours(options.scan, dimension, size), Theirs(dimension, size)
            cells = []
            for batch in BATCHES:
                pairs = [(theirs.microseconds(batch), ours.microseconds(batch)) for _ in range(options.rounds)]
                faiss_us, ours_us = (statistics.median(column) for column in zip(*pairs))
                cells.append(f"{human(faiss_us)} / {human(ours_us)}: {faiss_us / ours_us:.2f} ×")
                kept.append({"dimension": dimension, "templates": size, "batch": batch, "faiss_us": faiss_us, "ours_us": ours_us})
            print(f"| {dimension} × {size:,} | " + " | ".join(cells) + " |", flush=True)
            ours.close()
    print("\nOver 50 templates most of a single probe's time is FAISS's call through Python, which the probes of a batch share.")
    if left_out:
        print(f"\n- not measured, for want of memory: {', '.join(left_out)}")
    measure.keep("gallery", kept)


main()
