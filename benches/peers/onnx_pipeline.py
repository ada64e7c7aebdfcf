#!/usr/bin/env python3
"""Peer: a pipeline in the manner of InsightFace's Python package, with the project's two models.

`FaceAnalysis.get()` of that package, in short: OpenCV decodes, ONNX Runtime detects in every frame, every face is aligned with
OpenCV and embedded, every embedding is compared. (Its own models may not be used commercially, so these are YuNet and SFace.)
Needs opencv-python, numpy and onnxruntime.
"""
import cv2
import numpy as np
import onnxruntime

import door

TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


class Model:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = [output.name for output in self.session.get_outputs()]

    def __call__(self, tensor):
        return dict(zip(self.outputs, self.session.run(None, {self.input: tensor})))


def detect(model, image, score):
    """Boxes, scores and landmarks of a picture."""
    height, width = image.shape[:2]
    tensor = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
    tensor[0, :, :height, :width] = image.transpose(2, 0, 1)
    answer = model(tensor)
    boxes, scores, points = [], [], []
    for stride in (8, 16, 32):
        columns = tensor.shape[3] // stride
        value = np.sqrt(np.clip(answer[f"cls_{stride}"], 0, 1) * np.clip(answer[f"obj_{stride}"], 0, 1)).ravel()
        at = np.flatnonzero(value >= score)
        cell = np.stack([at % columns, at // columns], 1)
        box, landmarks = answer[f"bbox_{stride}"].reshape(-1, 4)[at], answer[f"kps_{stride}"].reshape(-1, 5, 2)[at]
        middle, size = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
        boxes.append(np.hstack([middle - size / 2, size]))
        points.append((landmarks + cell[:, None]) * stride)
        scores.append(value[at])
    boxes, scores, points = np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)
    kept = np.array(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), score, 0.3), dtype=int).ravel()
    return boxes[kept], scores[kept], points[kept]


def align(image, points):
    """The least-squares similarity onto the template (Umeyama 1991), and the warp."""
    from_mean, to_mean = points.mean(0), TEMPLATE.mean(0)
    source, target = points - from_mean, TEMPLATE - to_mean
    u, s, vt = np.linalg.svd(target.T @ source)
    sign = np.diag([1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ sign @ vt * (s * np.diag(sign)).sum() / (source ** 2).sum()
    return cv2.warpAffine(image, np.column_stack([turn, to_mean - turn @ from_mean]), (112, 112))


def main():
    options = door.arguments(__doc__)
    cv2.setNumThreads(1)
    yunet, sface = Model(options.yunet), Model(options.sface)

    def embed(chips):
        tensor = np.stack([chip[:, :, ::-1].transpose(2, 0, 1) for chip in chips]).astype(np.float32)
        rows = sface(tensor)[sface.outputs[0]]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def enrol(path):
        image = cv2.imread(str(path))
        boxes, _, points = ([], [], []) if image is None else detect(yunet, image, options.score)
        return embed([align(image, points[(boxes[:, 2] * boxes[:, 3]).argmax()])])[0] if len(boxes) else None

    rows, names = door.gallery(options.people, enrol)
    video = cv2.VideoCapture(options.video)
    width, height = int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    scale = min(1.0, options.width / width)
    size = (round(width * scale), round(height * scale / 2) * 2)
    report = door.Report(options)
    while True:
        ok, image = video.read()
        if not ok:
            break
        report.analysed += 1
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        boxes, scores, points = detect(yunet, small, options.score)
        report.faces += len(boxes)
        if not len(boxes):
            continue
        report.embedded += len(boxes)
        similar = embed([align(image, p / scale) for p in points]) @ rows.T
        for number, (box, score, row) in enumerate(zip(boxes / scale, scores, similar)):
            person = names[int(row.argmax())] if row.max() >= door.SAME else ""
            report.tracks.append([report.analysed, number, *(f"{v:.1f}" for v in box), f"{score:.3f}", person])
    report.print()


main()
