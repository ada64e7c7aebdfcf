"""Does what there is in CompreFace's own SDK for Python with the running API, in an installation where nobody is known.

    .venv/bin/python tests/clients/compreface_sdk.py http://HOST:PORT KEY FOLDER_OF_PICTURES
"""

import pathlib
import sys

from compreface import CompreFace

# Every plugin that the SDK lets through.
OPTIONS = {
    "limit": 0, "det_prob_threshold": 0.6, "prediction_count": 2, "status": "true",
    "face_plugins": "calculator,landmarks,age,gender,mask",
}


def main(base: str, key: str, pictures: pathlib.Path) -> None:
    scheme, host, port = base.split(":")
    server = CompreFace(f"{scheme}:{host}", port, OPTIONS)
    recognition = server.init_face_recognition(key)
    subjects, faces = recognition.get_subjects(), recognition.get_face_collection()
    first, second, third = (str(pictures / name) for name in ("obama.jpg", "obama2.jpg", "obama3.jpg"))

    assert subjects.add("Barack") == {"subject": "Barack"}
    saved = faces.add(image_path=first, subject="Barack")
    assert saved["subject"] == "Barack", saved
    # Pictures may also be bytes, and a face makes its subject.
    other = faces.add(image_path=(pictures / "biden.jpg").read_bytes(), subject="Joe")
    assert subjects.list() == {"subjects": ["Barack", "Joe"]}
    listed = faces.list()
    assert listed["faces"] == [saved, other] and listed["total_elements"] == 2, listed

    # The gallery has the face within a second of its enrolment.
    for _ in range(100):
        known = recognition.recognize(image_path=second)["result"][0]
        if known["subjects"]:
            break
    assert known["subjects"][0]["subject"] == "Barack" and known["subjects"][0]["similarity"] > 0.9, known["subjects"]
    assert len(known["embedding"]) == 128 and len(known["landmarks"]) == 5, known
    brief = recognition.recognize(image_path=second, options={"limit": 1, "prediction_count": 1})["result"][0]
    assert len(brief["subjects"]) == 1 and "embedding" not in brief, brief
    same = faces.verify(image_path=third, image_id=saved["image_id"])["result"][0]
    assert same["subject"] == "Barack" and same["similarity"] > 0.8, same

    found = server.init_face_detection(key).detect(image_path=third)["result"]
    assert len(found) == 1 and found[0]["box"]["x_max"] > found[0]["box"]["x_min"], found
    pair = server.init_face_verification(key).verify(source_image_path=third, target_image_path=second)["result"][0]
    assert pair["face_matches"][0]["similarity"] > 0.9 and pair["source_image_face"]["box"], pair

    assert subjects.update("Barack", "Barack Obama") == {"updated": True}
    assert faces.delete(saved["image_id"]) == {**saved, "subject": "Barack Obama"}
    assert faces.delete_all("Joe") == {"deleted": 1}
    assert subjects.delete("Joe") == {"subject": "Joe"}
    # Nothing erases everybody, and the SDK's caller is told so.
    assert set(subjects.delete_all()) == {"message", "code"}
    assert subjects.list() == {"subjects": ["Barack Obama"]}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))
