#!/usr/bin/env python3
"""Peer: OpenCV's detector and recogniser with a tracker between them, so that each track is embedded once.

What somebody writes who has noticed that embedding every face of every frame is the cost: boxes are followed by overlap, and a
track is embedded, and named or not, at its first view of 40 pixels. Needs opencv-python 4.8 or later.
"""
import cv2

import door

MIN_OVERLAP = 0.25
LOST_AFTER = 15  # frames
EMBED_FROM = 40  # pixels


def overlap(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (a[2] * a[3] + b[2] * b[3] - common + 1e-9)


class Track:
    def __init__(self, number):
        self.number, self.box, self.seen, self.embedded, self.person = number, None, 0, False, ""


def main():
    options = door.arguments(__doc__)
    cv2.setNumThreads(1)
    recogniser = cv2.FaceRecognizerSF.create(options.sface, "")

    def feature(image, face):
        return door.unit(recogniser.feature(recogniser.alignCrop(image, face)).ravel())

    def enrol(path):
        image = cv2.imread(str(path))
        if image is None:
            return None
        detector = cv2.FaceDetectorYN.create(options.yunet, "", image.shape[1::-1], options.score, 0.3, 500)
        faces = detector.detect(image)[1]
        return None if faces is None else feature(image, max(faces, key=lambda face: face[2] * face[3]))

    rows, names = door.gallery(options.people, enrol)
    video = cv2.VideoCapture(options.video)
    width, height = int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    scale = min(1.0, options.width / width)
    size = (round(width * scale), round(height * scale / 2) * 2)
    detector = cv2.FaceDetectorYN.create(options.yunet, "", size, options.score, 0.3, 500)
    tracks, born = [], 0
    report = door.Report(options)
    while True:
        ok, image = video.read()
        if not ok:
            break
        report.analysed += 1
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        found = detector.detect(small)[1]
        tracks = [track for track in tracks if report.analysed - track.seen <= LOST_AFTER]
        for face in found if found is not None else []:
            face = face.copy()
            face[:14] /= scale
            report.faces += 1
            free = [track for track in tracks if track.seen < report.analysed]
            best = max(free, key=lambda track: overlap(track.box, face), default=None)
            if best is None or overlap(best.box, face) < MIN_OVERLAP:
                born += 1
                best = Track(born)
                tracks.append(best)
            best.box, best.seen = face[:4], report.analysed
            if not best.embedded and face[2] >= EMBED_FROM:
                best.embedded = True
                report.embedded += 1
                similar = rows @ feature(image, face)
                if similar.max() >= door.SAME:
                    best.person = names[int(similar.argmax())]
                    report.named(best.number, best.person)
            report.tracks.append([report.analysed, best.number, *(f"{v:.1f}" for v in face[:4]), f"{face[14]:.3f}", best.person])
    report.print()


main()
