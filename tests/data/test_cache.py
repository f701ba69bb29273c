"""The cache of frames: right pixels, nothing decoded twice, and recovery from every damage."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskwise.config import CacheSettings, PreprocessSettings
from maskwise.data import cache
from maskwise.data.cache import CachedFrames, open_frames
from maskwise.data.frames import FrameSource, PhotoRef, StreamedFrames
from maskwise.data.framing import Framer
from maskwise.errors import ManifestError, StorageError
from maskwise.transforms.preprocess import Box, Preprocess

PREPROCESS = Preprocess.from_settings(
    PreprocessSettings(height=32, width=24, detector="none"), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
)
FRAMER = Framer(PREPROCESS)
FRAME_BYTES = 32 * 24 * 3


def write_photos(folder: Path, count: int, seed: int = 0) -> list[PhotoRef]:
    folder.mkdir(parents=True, exist_ok=True)
    refs = []
    for number in range(count):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (40, 40, 3), np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        refs.append(PhotoRef(str(path)))
    return refs


def settings(tmp_path: Path, **more: Any) -> CacheSettings:
    return CacheSettings(**({"folder": tmp_path / "cache", "workers": 0} | more))


def frames_file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / PREPROCESS.frame_key / "frames.u8"


def index_file(tmp_path: Path) -> Path:
    return frames_file(tmp_path).with_name("index.sqlite")


def read_all(source: FrameSource) -> NDArray[np.uint8]:
    return np.concatenate(list(source.batches([np.arange(len(source))])))


def truth(refs: Sequence[PhotoRef]) -> NDArray[np.uint8]:
    return np.stack([PREPROCESS.frame(Path(ref.path).read_bytes(), ref.box) for ref in refs])


def check_open(refs: Sequence[PhotoRef], options: CacheSettings) -> CachedFrames:
    source = open_frames(refs, FRAMER, options)
    assert isinstance(source, CachedFrames)
    np.testing.assert_array_equal(read_all(source), truth(refs))
    return source


class Counter:
    """Counts the photos that are decoded in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = Preprocess.frame

        def counted(*inputs: Any) -> Any:
            self.count += 1
            return real(*inputs)

        monkeypatch.setattr(Preprocess, "frame", counted)

    def of(self, refs: Sequence[PhotoRef], options: CacheSettings) -> int:
        before = self.count
        open_frames(refs, FRAMER, options)
        return self.count - before


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Counter:
    return Counter(monkeypatch)


@pytest.mark.parametrize("workers", [0, 2])
def test_cached_and_streamed_pixels_are_the_same(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_COMMIT_EVERY", 4)  # so that few photos go through workers
    refs = write_photos(tmp_path / "photos", 20)
    refs[5:5] = [PhotoRef(refs[0].path, (3.5, -4, 20, 30)), refs[2], refs[0]]
    cached = open_frames(refs, FRAMER, settings(tmp_path, workers=workers))
    streamed = open_frames(refs, FRAMER, settings(tmp_path, workers=workers, limit_gb=0))
    assert (type(cached), type(streamed)) == (CachedFrames, StreamedFrames)
    expected = truth(refs)
    order = [np.array([7, 7, 0]), np.arange(23)[::-1], *np.split(np.arange(22), 11)]
    for source in (cached, streamed):
        assert len(source) == 23
        for rows, frames in zip(order, source.batches(order), strict=True):
            assert frames.dtype == np.uint8
            np.testing.assert_array_equal(frames, expected[rows])


def test_second_open_decodes_nothing(tmp_path: Path, decodes: Counter) -> None:
    refs = write_photos(tmp_path / "photos", 9)
    assert decodes.of(refs, settings(tmp_path)) == 9
    assert decodes.of(refs, settings(tmp_path)) == 0
    assert decodes.of([refs[3], refs[3], refs[1]], settings(tmp_path)) == 0
    check_open(refs[::-1], settings(tmp_path))


def test_progress_counts_every_photo_once(tmp_path: Path) -> None:
    refs = write_photos(tmp_path / "photos", 6)
    for part in (refs[:4], refs, refs):
        told: list[int] = []
        open_frames(part, FRAMER, settings(tmp_path), told.append)
        assert sum(told) == len(part)


def test_changed_photo_is_read_again(tmp_path: Path, decodes: Counter) -> None:
    refs = write_photos(tmp_path / "photos", 5)
    check_open(refs, settings(tmp_path))
    path = Path(refs[2].path)
    before = path.stat()
    Image.new("RGB", (40, 40), "teal").save(path)
    # the same size: only the time of change tells
    path.write_bytes(path.read_bytes().ljust(before.st_size, b"\0"))
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert decodes.of(refs, settings(tmp_path)) == 1
    check_open(refs, settings(tmp_path))


def test_moved_or_copied_photo_is_not_stored_twice(tmp_path: Path, decodes: Counter) -> None:
    refs = write_photos(tmp_path / "photos", 5)
    first = check_open(refs, settings(tmp_path))
    copy = tmp_path / "copy.png"
    shutil.copy(refs[1].path, copy)
    moved = Path(refs[0].path).rename(tmp_path / "moved.png")
    again = [PhotoRef(str(moved)), *refs[1:], PhotoRef(str(copy))]
    second = check_open(again, settings(tmp_path))
    assert frames_file(tmp_path).stat().st_size == 5 * FRAME_BYTES
    assert second.digests == [*first.digests, first.digests[1]]
    assert decodes.of(again, settings(tmp_path)) == 0


def test_boxes_of_one_photo_have_frames_of_their_own(tmp_path: Path, decodes: Counter) -> None:
    path = write_photos(tmp_path / "photos", 1)[0].path
    boxes: list[Box | None] = [None, (2, 2, 20, 20), (2, 2, 20.5, 20), (12, 9, 33, 39)]
    refs = [PhotoRef(path, box) for box in boxes]
    check_open(refs[:2], settings(tmp_path))
    assert decodes.of(refs, settings(tmp_path)) == 2
    check_open(refs, settings(tmp_path))
    assert len(np.unique(truth(refs), axis=0)) == 4


def test_other_preprocessing_has_other_frames(tmp_path: Path) -> None:
    refs = write_photos(tmp_path / "photos", 3)
    check_open(refs, settings(tmp_path))
    other = PREPROCESS.model_copy(update={"fit": "contain"})
    frames = read_all(open_frames(refs, Framer(other), settings(tmp_path)))
    np.testing.assert_array_equal(frames, np.stack([other.frame(ref.path) for ref in refs]))
    check_open(refs, settings(tmp_path))


def test_set_past_the_limit_is_streamed_and_leaves_no_cache(tmp_path: Path) -> None:
    refs = write_photos(tmp_path / "photos", 4)
    just = 4 * FRAME_BYTES / 1e9
    for limit in (0, just * 0.99):
        source = open_frames(refs, FRAMER, settings(tmp_path, limit_gb=limit))
        assert isinstance(source, StreamedFrames)
        np.testing.assert_array_equal(read_all(source), truth(refs))
    assert not (tmp_path / "cache").exists()
    check_open(refs, settings(tmp_path, limit_gb=just))


def test_no_photos_at_all(tmp_path: Path) -> None:
    source = open_frames([], FRAMER, settings(tmp_path))
    assert len(source) == 0
    assert [part.shape for part in source.batches([np.arange(0)])] == [(0, 32, 24, 3)]


def bad_refs(tmp_path: Path) -> tuple[list[PhotoRef], list[str]]:
    refs = write_photos(tmp_path / "photos", 6)
    Path(refs[1].path).write_bytes(b"")
    Path(refs[3].path).write_bytes(Path(refs[3].path).read_bytes()[:300])
    Path(refs[4].path).unlink()
    refs[5] = PhotoRef(refs[5].path, (50, 50, 60, 60))
    return refs, [refs[row].path for row in (1, 3, 4, 5)]


@pytest.mark.parametrize("limit_gb", [0, 1])
def test_unreadable_photos_are_all_named_at_once(limit_gb: float, tmp_path: Path) -> None:
    refs, bad = bad_refs(tmp_path)
    with pytest.raises(ManifestError, match=r"4 photo\(s\) cannot be used") as raised:
        read_all(open_frames(refs, FRAMER, settings(tmp_path, limit_gb=limit_gb)))
    assert [path for path in bad if path not in str(raised.value)] == []
    assert refs[0].path not in str(raised.value)


def test_good_photos_beside_bad_ones_are_kept(tmp_path: Path, decodes: Counter) -> None:
    refs, _ = bad_refs(tmp_path)
    with pytest.raises(ManifestError):
        open_frames(refs, FRAMER, settings(tmp_path))
    assert decodes.of([refs[0], refs[2]], settings(tmp_path)) == 0
    check_open([refs[2], refs[0]], settings(tmp_path))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_interrupted_build_goes_on(
    stop: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    decodes: Counter,
) -> None:
    monkeypatch.setattr(cache, "_COMMIT_EVERY", 4)
    refs = write_photos(tmp_path / "photos", 20)

    def progress(_photos: int) -> None:
        if decodes.count == 11:
            raise stop

    with pytest.raises(stop):
        open_frames(refs, FRAMER, settings(tmp_path), progress)
    assert decodes.of(refs, settings(tmp_path)) <= 20 - 8
    check_open(refs, settings(tmp_path))
    assert frames_file(tmp_path).stat().st_size == 20 * FRAME_BYTES


KILLED = """
import sys, time
from pathlib import Path
from maskwise.config import CacheSettings
from maskwise.data import cache
from maskwise.data.frames import PhotoRef
from maskwise.data.framing import Framer
from maskwise.transforms.preprocess import Preprocess
cache._COMMIT_EVERY = 4
folder, count, preprocess = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
refs = [PhotoRef(str(folder / "photos" / f"{number}.png")) for number in range(count)]
def progress(photos):
    print(photos, flush=True)
    time.sleep(0.02 if photos else 0)
settings = CacheSettings(folder=folder / "cache", workers=0)
cache.open_frames(refs, Framer(Preprocess.model_validate_json(preprocess)), settings, progress)
"""


def test_killed_build_goes_on_without_what_was_finished(tmp_path: Path, decodes: Counter) -> None:
    refs = write_photos(tmp_path / "photos", 60)
    words = [sys.executable, "-c", KILLED, str(tmp_path), "60", PREPROCESS.model_dump_json()]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):  # the first line is 0: what was there
            assert line in ("0\n", "1\n")
            if number == 14:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    left = decodes.of(refs, settings(tmp_path))
    assert 0 < left <= 60 - 12
    check_open(refs, settings(tmp_path))
    assert frames_file(tmp_path).stat().st_size == 60 * FRAME_BYTES


def shorten(path: Path, frames: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(frames * FRAME_BYTES))


@pytest.mark.parametrize("held", [0, 3, 3.5, 9.9])
def test_shortened_frames_file_recovers(held: float, tmp_path: Path, decodes: Counter) -> None:
    refs = write_photos(tmp_path / "photos", 10)
    open_frames(refs, FRAMER, settings(tmp_path))
    shorten(frames_file(tmp_path), held)
    assert decodes.of(refs, settings(tmp_path)) == 10 - int(held)
    check_open(refs, settings(tmp_path))


@pytest.mark.parametrize("held", [None, 0, 5, 7])
def test_frames_of_another_set_never_stand_in(held: int | None, tmp_path: Path) -> None:
    """What a shortened file lost must not be taken for what was written there since."""
    sets = [write_photos(tmp_path / f"set{seed}", 5, seed) for seed in range(3)]
    for refs in sets[:2]:
        check_open(refs, settings(tmp_path))
    if held is None:
        frames_file(tmp_path).unlink()
    else:
        shorten(frames_file(tmp_path), held)
    for refs in (sets[2], sets[1], sets[0], sets[2]):
        check_open(refs, settings(tmp_path))


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "pages":
        content[4096:] = b"\x5a" * (len(content) - 4096)
    elif kind == "cut":
        del content[len(content) // 2 :]
    path.write_bytes({"garbage": b"garbage" * 900, "empty": b""}.get(kind, bytes(content)))


@pytest.mark.parametrize("kind", ["garbage", "empty", "pages", "cut", "gone"])
def test_damaged_index_recovers(kind: str, tmp_path: Path, decodes: Counter) -> None:
    refs = write_photos(tmp_path / "photos", 60)
    open_frames(refs, FRAMER, settings(tmp_path))
    if kind == "gone":
        index_file(tmp_path).unlink()
    else:
        damage(index_file(tmp_path), kind)
    check_open(refs[::-1], settings(tmp_path))
    assert decodes.of(refs, settings(tmp_path)) == 0
    check_open(refs, settings(tmp_path))


def test_full_disk_says_so_and_keeps_what_fits(tmp_path: Path) -> None:
    refs = write_photos(tmp_path / "photos", 40)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30 * FRAME_BYTES, hard))
    try:
        with pytest.raises(StorageError, match="the disk is full"):
            open_frames(refs, FRAMER, settings(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check_open(refs, settings(tmp_path))


def test_default_folder_follows_the_users_wish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    open_frames(write_photos(tmp_path / "photos", 1), FRAMER, CacheSettings(workers=0))
    assert (tmp_path / "mine" / "maskwise" / "frames" / PREPROCESS.frame_key).is_dir()
