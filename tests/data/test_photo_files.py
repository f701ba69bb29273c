"""Which files are photos, what is passed over, and how names are matched."""

import os
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from maskwise.data.options import ImportOptions
from maskwise.data.photo_files import PHOTO_SUFFIXES, photo_at, photos_in
from maskwise.data.sources import import_source
from maskwise.errors import ManifestError
from maskwise.transforms.decode import decode_photo
from people import person


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found(folder: Path, counts: Counter[str] | None = None) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in photos_in(folder, counts)]


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.jpg", "deep/b.png")
    touch(tmp_path / "set", "c.jpg")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "set")
    counts: Counter[str] = Counter()
    assert found(tmp_path / "set", counts) == ["c.jpg", "linked/a.jpg", "linked/deep/b.png"]
    assert counts == {"links to folders that are read elsewhere": 1}


def test_links_within_a_set_change_no_label(tmp_path: Path) -> None:
    touch(tmp_path, "wear/a.jpg", "not_wear/b.jpg")
    (tmp_path / "wear" / "up").symlink_to(tmp_path)
    (tmp_path / "wear" / "other").symlink_to(tmp_path / "not_wear")
    (tmp_path / "with_mask").symlink_to(tmp_path / "wear")
    options = ImportOptions("s")
    frame = import_source(tmp_path, options)
    found = [(Path(photo).name, mask) for photo, mask in frame.select("photo", "mask").rows()]
    assert sorted(found) == [("a.jpg", "wear"), ("b.jpg", "not_wear")]
    assert options.passed_over["links to folders that are read elsewhere"] == 3
    store = tmp_path / ".store" / "more"
    touch(store, "c.jpg")
    (tmp_path / "wear" / "more").symlink_to(store)
    assert len(import_source(tmp_path, ImportOptions("s"))) == 3


def test_what_is_no_photo_is_counted(tmp_path: Path) -> None:
    touch(
        tmp_path, "a.JPG", "b.heic", "c.heic", ".hidden.jpg", "notes.txt", "alice.jpg/d.jpeg", "e"
    )
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    counts: Counter[str] = Counter()
    assert found(tmp_path, counts) == ["a.JPG", "alice.jpg/d.jpeg"]
    assert counts == {
        "files ending in .heic": 2,
        "files ending in nothing": 1,
        "hidden files and folders": 1,
        "names of photos that lead to no file": 2,
    }


@pytest.mark.parametrize("suffix", sorted(PHOTO_SUFFIXES))
def test_every_suffix_is_decoded(tmp_path: Path, suffix: str) -> None:
    formats = {".jfif": "JPEG", ".jpe": "JPEG", ".mpo": "MPO", ".j2k": "JPEG2000", ".pgm": "PPM"}
    path = tmp_path / f"photo{suffix}"
    photo = decode_photo(person(1))
    photo = photo.convert("L") if suffix == ".pgm" else photo
    photo.save(path, format=formats.get(suffix))
    assert decode_photo(path).size == photo.size


def test_names_match_in_any_form(tmp_path: Path) -> None:
    korean = "\uae40\ubbfc\uc218.jpg"
    touch(tmp_path, unicodedata.normalize("NFD", korean), "a/b.jpg")
    assert photo_at(tmp_path, korean).is_file()
    assert photo_at(tmp_path, "a\\b.jpg") == tmp_path / "a" / "b.jpg"
    assert photo_at(tmp_path, "none.jpg") == tmp_path / "none.jpg"
    table = tmp_path / "labels.csv"
    table.write_text(f"path,mask\n{korean},wear\na\\b.jpg,wear\n")
    frame = import_source(table, ImportOptions("s"))
    assert all(Path(photo).is_file() for photo in frame["photo"])


def test_photos_beside_the_folders_of_labels_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "with_mask/a.jpg", "without_mask/b.jpg", "c.jpg")
    with pytest.raises(
        ManifestError, match="1 photos beside the folders of mask states, such as c"
    ):
        import_source(tmp_path, ImportOptions("s"))
    options = ImportOptions("s", skip_bad=True)
    assert len(import_source(tmp_path, options)) == 2
    assert "1 photos beside" in options.skipped[0]
