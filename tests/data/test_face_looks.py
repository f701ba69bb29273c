"""The sizes of a photo that a detector looks at."""

import numpy as np
import pytest
from PIL import Image

from maskwise.data import faces
from maskwise.data.detectors import CenterFace, Findings, Pixels
from maskwise.data.faces import Detector, Face, choose_face, open_detector
from people import drawn


@pytest.fixture(scope="module")
def centerface() -> Detector:
    return open_detector("centerface")


class FakeNetwork:
    """Finds one face, a share of the picture, in pictures up to a size.

    It lies a pixel of the picture to the right of the middle: each size tells another place.
    """

    thresholds = (0.7, 0.2)
    upright = False

    def __init__(self, largest: int, share: float = 0.5) -> None:
        self.largest = largest
        self.share = share
        self.seen: list[tuple[int, int, float]] = []

    def find(self, pixels: Pixels, threshold: float) -> Findings:
        height, width = pixels.shape[:2]
        self.seen.append((width, height, threshold))
        found = int(max(width, height) <= self.largest)
        near, far = (1 - self.share) / 2, (1 + self.share) / 2
        box = (width * near + 1, height * near, width * far + 1, height * far)
        boxes = np.array([box] * found, np.float32).reshape(-1, 4)
        points = np.full((found, 5, 2), (width / 2 + 1, height / 4), np.float32)
        scores = np.full(found, min(1.0, 100 / width), np.float32)
        return Findings(boxes, scores, points)


def looking(network: FakeNetwork) -> Detector:
    return faces._NetworkDetector("fake", network)


@pytest.mark.parametrize(
    ("size", "firsts", "last"),
    [
        ((2000, 1000), [(256, 128), (640, 320)], (128, 64)),
        ((384, 512), [(192, 256), (384, 512)], (96, 128)),
        ((300, 400), [(300, 400)], (96, 128)),
        ((50, 100), [(128, 256)], (64, 128)),
    ],
)
def test_the_last_look_is_small_and_takes_lower_scores(
    size: tuple[int, int], firsts: list[tuple[int, int]], last: tuple[int, int]
) -> None:
    for ask in ("find", "find_main"):
        network = FakeNetwork(largest=128)
        found = getattr(looking(network), ask)(Image.new("RGB", size))
        face = found if ask == "find_main" else found[0]
        assert network.seen == [*((*seen, 0.7) for seen in firsts), (*last, 0.2)]
        (width, height), pixel = size, size[0] / last[0]
        box = (width / 4 + pixel, height / 4, width * 3 / 4 + pixel, height * 3 / 4)
        assert face.box == pytest.approx(box)
        assert face.points == ((width / 2 + pixel, height / 4),) * 5


def test_no_last_look_where_the_first_finds_a_face() -> None:
    network = FakeNetwork(largest=640)
    assert len(looking(network).find(Image.new("RGB", (300, 400)))) == 1
    assert network.seen == [(300, 400, 0.7)]


def test_a_large_face_needs_no_large_picture_and_has_one_box() -> None:
    network = FakeNetwork(largest=640)
    photo = Image.new("RGB", (512, 512))
    main = looking(network).find_main(photo)
    assert network.seen == [(256, 256, 0.7)]
    (face,) = looking(network).find(photo)
    assert main
    assert face.box == main.box == (130, 128, 386, 384)
    # score and points of all faces are those of the large picture
    assert face.score == np.float32(100 / 512)
    assert face.points == ((257, 128),) * 5
    assert main.points == ((258, 128),) * 5


def test_a_small_face_is_looked_for_in_the_large_picture() -> None:
    network = FakeNetwork(largest=640, share=0.15)
    main = looking(network).find_main(Image.new("RGB", (500, 500)))
    assert network.seen == [(256, 256, 0.7), (500, 500, 0.7)]
    assert main
    assert main.score == np.float32(0.2)


def test_a_large_face_that_only_the_small_picture_shows_is_kept() -> None:
    network = FakeNetwork(largest=256)
    (face,) = looking(network).find(Image.new("RGB", (512, 512)))
    assert network.seen == [(256, 256, 0.7), (512, 512, 0.7)]
    assert face.box == (130, 128, 386, 384)


def test_a_part_of_a_large_face_is_no_other_face() -> None:
    large = Face((0, 0, 400, 400), 0.9, ((1.0, 1.0),) * 5)
    part = Face((90, 90, 310, 310), 0.8, ((2.0, 2.0),) * 5)
    child = Face((150, 150, 250, 250), 0.7, ((3.0, 3.0),) * 5)
    found = faces._with_boxes([part, child], [large])
    assert [(face.box, face.score) for face in found] == [(large.box, 0.8), (child.box, 0.7)]


def test_one_asked_for_alone_is_the_one_taken_of_all(centerface: Detector) -> None:
    for seed in range(6):
        image, _ = drawn(seed, 6)
        large = image.resize((2 * image.width, 2 * image.height))
        main, first = centerface.find_main(large), choose_face(centerface.find(large), large.size)
        assert main
        assert first
        assert main.box == first.box


def test_a_face_that_fills_the_photo_is_found_at_the_second_look(
    centerface: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = drawn(3, 6)
    left, top, right, bottom = centerface.find(image)[0].box
    width, height = right - left, bottom - top
    tight = image.crop(
        (
            round(left + 0.16 * width),
            round(top + 0.16 * height),
            round(right - 0.16 * width),
            round(bottom - 0.16 * height),
        )
    )
    (face,) = centerface.find(tight)
    assert face.box[2] - face.box[0] > 0.8 * tight.width
    monkeypatch.setattr(faces, "_LOOKS", faces._LOOKS[:1])
    monkeypatch.setattr(CenterFace, "thresholds", CenterFace.thresholds[:1])
    assert centerface.find(tight) == []
