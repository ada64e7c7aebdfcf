#!/usr/bin/env python3
"""Peer: the door pipeline of face_recognition's README (dlib: HOG detector, ResNet embeddings), every face of every frame.

Its defaults, but for the picture: scaled to the width of the others' detector. Its models are its own, so compare the cost and
the faces found, not the similarity. Needs face_recognition and opencv-python.
"""
import argparse
import pathlib

import cv2
import face_recognition
import numpy as np

import door

# The package's default.
TOLERANCE = 0.6


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", required=True)
    parser.add_argument("--people", type=pathlib.Path, required=True)
    parser.add_argument("--width", type=int, default=640)
    options = parser.parse_args()
    options.events = options.tracks = None
    cv2.setNumThreads(1)

    def enrol(path):
        return next(iter(face_recognition.face_encodings(face_recognition.load_image_file(path))), None)

    rows, _ = door.gallery(options.people, enrol)
    video = cv2.VideoCapture(options.video)
    report = door.Report(options)
    while True:
        ok, image = video.read()
        if not ok:
            break
        report.analysed += 1
        scale = min(1.0, options.width / image.shape[1])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        rgb = np.ascontiguousarray(small[:, :, ::-1])
        places = face_recognition.face_locations(rgb)
        report.faces += len(places)
        for encoding in face_recognition.face_encodings(rgb, places):
            report.embedded += 1
            face_recognition.compare_faces(rows, encoding, TOLERANCE)
    report.print()


main()
