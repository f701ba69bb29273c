"""What an audit says of photos by themselves, and of pairs of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from maskwise.audit import photos as looking
from maskwise.audit.findings import Finding, Fix
from maskwise.audit.pairs import pair_findings
from maskwise.audit.photos import look_at_photos, photo_findings
from maskwise.data.corrections import DELETED
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.frames import PhotoRef
from maskwise.data.manifest import manifest_from_rows
from maskwise.transforms.decode import decode_photo
from people import person, scenery


def texture(seed: int = 0, side: int = 256) -> NDArray[np.uint8]:
    """Return a photo of large and small structure."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 210, (8, 8, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    return (image + rng.integers(-25, 25, image.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., PhotoRef]:
    def write(name: str, pixels: NDArray[np.uint8]) -> PhotoRef:
        Image.fromarray(pixels).save(tmp_path / name)
        return PhotoRef(str(tmp_path / name))

    return write


def found_in(photos: list[PhotoRef]) -> dict[int, list[Finding]]:
    """Return row -> its findings."""
    findings: dict[int, list[Finding]] = {}
    for found in photo_findings(photos, look_at_photos(photos, "none", 0)[0]):
        findings.setdefault(found.rows[0], []).append(found)
    return findings


def test_each_fault_of_a_photo_is_told_and_good_ones_are_not(
    save: Callable[..., PhotoRef], tmp_path: Path
) -> None:
    good = [save(f"good{number}.png", texture(number)) for number in range(5)]
    soft = Image.fromarray(texture(7)).filter(ImageFilter.GaussianBlur(12))
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    photos = [
        *good,
        save("blank.png", np.full((80, 80, 3), 77, np.uint8)),
        save("dark.png", (texture(8) // 12)),
        save("bright.png", (255 - texture(9) // 12)),
        save("soft.png", np.asarray(soft)),
        save("tiny.png", texture(10, 40)),
        save("long.png", texture(11, 300)[:90]),
        PhotoRef(str(tmp_path / "cut.jpg")),
        PhotoRef(str(tmp_path / "gone.jpg")),
    ]
    found = found_in(photos)
    assert {row: [each.kind for each in several] for row, several in found.items()} == {
        5: ["blank"], 6: ["dark"], 7: ["bright"], 8: ["blurred"], 9: ["odd_size"],
        10: ["odd_size"], 11: ["unreadable"], 12: ["unreadable"],
    }  # fmt: skip
    assert found[10][0].reason == "300x90 pixels"
    assert "gone.jpg" in found[12][0].reason
    for row in (5, 11, 12):
        assert [(fix.row, fix.field, fix.value) for fix in found[row][0].fixes] == [
            (row, "photo", "")
        ]


def test_a_box_is_what_is_measured(save: Callable[..., PhotoRef]) -> None:
    pixels = texture(0, 200)
    pixels[100:, 100:] = 9
    photo = save("half.png", pixels)
    boxed = PhotoRef(photo.path, (100, 100, 200, 200))
    (part, whole), _ = look_at_photos([boxed, photo], "none", 0)
    assert (part.width, part.height, part.contrast) == (100, 100, 0.0)
    assert whole.contrast > 20


def test_faces_are_counted(save: Callable[..., PhotoRef]) -> None:
    one, other = (np.asarray(person(number)) for number in (0, 1))
    photos = [
        save("one.png", one),
        save("two.png", np.hstack([one, other])),
        save("none.png", np.asarray(scenery(0))),
    ]
    facts, _ = look_at_photos(photos, "yunet", 0)
    assert [fact.faces for fact in facts] == [1, 2, 0]
    kinds = [(found.kind, found.rows) for found in photo_findings(photos, facts)]
    assert ("several_faces", (1,)) in kinds
    assert ("no_face", (2,)) in kinds
    boxed = [PhotoRef(photos[1].path, (0, 0, 60, 60))]
    assert "several_faces" not in {found.kind for found in photo_findings(boxed, [facts[1]])}


def test_pairs_tell_what_is_wrong_with_them(save: Callable[..., PhotoRef]) -> None:
    first = texture(1)
    near = np.asarray(Image.fromarray(first).filter(ImageFilter.GaussianBlur(1)))
    photos = [
        save("a.png", first), save("b.png", first), save("c.png", near), save("d.png", texture(2)),
    ]  # fmt: skip
    rows = [
        {"photo": photo.path, "person": person, "gender": gender, "source": "made", "fold": fold}
        for photo, person, gender, fold in zip(
            photos, "xxyz", ("male", "male", "female", "male"), ("0", "0", "1", "1"), strict=True)
    ]  # fmt: skip
    frame = manifest_from_rows(rows)
    findings = pairs_of(frame)
    assert {found.kind for found in findings if set(found.rows) == {0, 1}} == {"duplicate"}
    copy = next(found for found in findings if found.kind == "duplicate")
    assert copy.fixes == (Fix(1, DELETED, ""),)
    twin = next(found for found in findings if set(found.rows) == {0, 2})
    assert twin.kind == "twin"
    assert twin.fixes == ()
    assert "under two persons, x and y" in twin.reason
    assert "in two folds, 0 and 1" in twin.reason
    assert "labels differ: gender male and female" in twin.reason
    assert not any(3 in found.rows for found in findings)


def test_of_two_copies_the_one_that_says_no_more_may_go(save: Callable[..., PhotoRef]) -> None:
    first, second = (save(f"{number}.png", texture(3)).path for number in (1, 2))

    def spare(one: dict[str, str], other: dict[str, str]) -> list[int]:
        rows = [{"photo": first, "person": "p", "source": "made", **one},
                {"photo": second, "person": "p", "source": "made", **other}]  # fmt: skip
        (found,) = pairs_of(manifest_from_rows(rows))
        assert found.kind == "duplicate"
        return [fix.row for fix in found.fixes]

    assert spare({"mask": "wear"}, {"mask": "wear"}) == [1]
    assert spare({}, {"mask": "wear"}) == [0]
    assert spare({"mask": "wear"}, {"gender": "male"}) == []
    assert spare({"person": "x"}, {}) == []
    assert spare({"box": "0 0 9 9"}, {"box": "20 20 60 60"}) == []


def test_a_box_outside_its_photo_is_told(save: Callable[..., PhotoRef]) -> None:
    photo = PhotoRef(save("a.png", texture()).path, (9000.0, 9000.0, 9100.0, 9100.0))
    (found,) = found_in([photo])[0]
    assert found.kind == "unreadable"
    assert found.reason == "the box 9000 9000 9100 9100 lies outside the photo of 256x256 pixels"


def test_two_faces_of_one_file_are_no_pair(save: Callable[..., PhotoRef]) -> None:
    photo = save("two.png", texture(3)).path
    boxes = ("0 0 40 40", "50 50 90 90")
    rows = [{"photo": photo, "person": box, "box": box, "source": "made"} for box in boxes]
    assert pairs_of(manifest_from_rows(rows)) == []


def test_photos_are_decoded_once_for_facts_and_fingerprints(
    save: Callable[..., PhotoRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def decode(path: str) -> Image.Image:
        opened.append(path)
        return decode_photo(path)

    monkeypatch.setattr(looking, "decode_photo", decode)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    photos = [save(f"{number}.png", texture(number)) for number in range(3)]
    photos.insert(1, PhotoRef(str(tmp_path / "cut.jpg")))
    facts, prints = look_at_photos(photos, "none", 0)
    assert opened == [photo.path for photo in photos]
    assert [bool(fact.problem) for fact in facts] == [False, True, False, False]
    wanted = fingerprint_photos(opened, 0)
    assert prints.digests == wanted.digests
    np.testing.assert_array_equal(prints.hashes, wanted.hashes)
    np.testing.assert_array_equal(prints.thumbnails, wanted.thumbnails)


def pairs_of(frame: pl.DataFrame) -> list[Finding]:
    prints = fingerprint_photos(frame["photo"].to_list(), 0)
    return list(pair_findings(frame, find_twins(prints)))
