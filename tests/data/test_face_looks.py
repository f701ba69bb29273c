"""The sizes of a photo that a detector looks at."""

import numpy as np
import pytest
from PIL import Image

from maskwise.data import faces
from maskwise.data.detectors import CenterFace, Findings, Pixels
from maskwise.data.faces import Detector, choose_face, open_detector
from people import drawn


@pytest.fixture(scope="module")
def centerface() -> Detector:
    return open_detector("centerface")


class FakeNetwork:
    """Finds one face, a share of the picture in its middle, in pictures up to a size."""

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
        box = np.array([(width * near, height * near, width * far, height * far)] * found)
        points = np.full((found, 5, 2), (width / 2, height / 4), np.float32)
        scores = np.full(found, min(1.0, 100 / width), np.float32)
        return Findings(box.reshape(-1, 4).astype(np.float32), scores, points)


def looking(network: FakeNetwork) -> Detector:
    return faces._NetworkDetector("fake", network)


@pytest.mark.parametrize(
    ("size", "firsts", "last"),
    [
        ((2000, 1000), [(256, 128), (640, 320)], (128, 64)),
        ((300, 400), [(192, 256), (300, 400)], (96, 128)),
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
        width, height = size
        assert face.box == (width / 4, height / 4, width * 3 / 4, height * 3 / 4)
        assert face.points == ((width / 2, height / 4),) * 5


def test_no_last_look_where_the_first_finds_a_face() -> None:
    network = FakeNetwork(largest=640)
    assert len(looking(network).find(Image.new("RGB", (300, 400)))) == 1
    assert network.seen == [(192, 256, 0.7), (300, 400, 0.7)]


def test_a_large_face_needs_no_large_picture_and_has_one_box() -> None:
    network = FakeNetwork(largest=640)
    photo = Image.new("RGB", (301, 400))
    main = looking(network).find_main(photo)
    assert network.seen == [(193, 256, 0.7)]
    (face,) = looking(network).find(photo)
    assert main
    assert face.box == main.box == (301 / 4, 100, 301 * 3 / 4, 300)
    assert face.score == np.float32(100 / 301)  # and points are those of the large picture
    assert face.points == ((150.5, 100),) * 5


def test_a_small_face_is_looked_for_in_the_large_picture() -> None:
    network = FakeNetwork(largest=640, share=0.15)
    main = looking(network).find_main(Image.new("RGB", (400, 400)))
    assert network.seen == [(256, 256, 0.7), (400, 400, 0.7)]
    assert main
    assert main.score == np.float32(0.25)


def test_a_large_face_that_only_the_small_picture_shows_is_kept() -> None:
    network = FakeNetwork(largest=256)
    (face,) = looking(network).find(Image.new("RGB", (400, 400)))
    assert network.seen == [(256, 256, 0.7), (400, 400, 0.7)]
    assert face.box == (100, 100, 300, 300)


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
            round(left + 0.14 * width),
            round(top + 0.14 * height),
            round(right - 0.14 * width),
            round(bottom - 0.14 * height),
        )
    )
    (face,) = centerface.find(tight)
    assert face.box[2] - face.box[0] > 0.8 * tight.width
    monkeypatch.setattr(faces, "_LOOKS", faces._LOOKS[:1])
    monkeypatch.setattr(CenterFace, "thresholds", CenterFace.thresholds[:1])
    assert centerface.find(tight) == []
