"""Films and cameras on this machine: who passes, and a film without faces."""

import csv
import errno
import json
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import maskwise
from commands import invoke, refused
from conftest import TINY, write_set
from film import write_film
from maskwise.camera import source as cameras
from maskwise.camera.film import FilmWriter, annotated
from maskwise.camera.source import Frame, film_frames, is_live, live_frames
from maskwise.camera.watching import watch_frames
from maskwise.data.faces import open_detector
from maskwise.errors import CameraError, StorageError
from maskwise.labels import MaskState
from people import person, saved


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One comes with a mask and goes; then two come at once."""
    worn, bare = person(1, MaskState.WEAR), person(2)
    scenes = [(0.5, []), (2, [worn]), (2, []), (2, [bare, worn])]
    return write_film(tmp_path_factory.mktemp("film") / "door.mjpeg", scenes)


def pictures(path: Path) -> list[tuple[float, Image.Image]]:
    with av.open(str(path)) as container:
        return [(float(frame.time), frame.to_image()) for frame in container.decode(video=0)]


def test_passes_are_written_as_they_come(film: Path, tmp_path: Path) -> None:
    told = invoke("camera", film, "--out", tmp_path / "passes.csv")
    assert told["passes"] == 3
    assert told["wear"] == 2
    with (tmp_path / "passes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["1", "2", "3"]
    first = rows[0]
    assert first["state"] == "wear"
    assert 0.5 < float(first["probability"]) <= 1
    assert float(first["ended"]) - float(first["began"]) == pytest.approx(float(first["seconds"]))
    assert float(first["began"]) == pytest.approx(0.6, abs=0.1)
    assert int(first["frames"]) > 10


def test_files_of_passes_are_gone_on_with_only_where_asked(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "passes.jsonl"
    for words in ([], ["--append"]):
        invoke("camera", film, "--out", out, *words)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 6
    assert rows[:3] == rows[3:]
    assert "is there already" in refused("camera", film, "--out", out)
    assert "ends in .csv or .jsonl" in refused("camera", film, "--out", tmp_path / "passes.txt")
    assert len(out.read_text().splitlines()) == 6


def test_nobody_is_recognised_in_the_film(film: Path, tmp_path: Path) -> None:
    invoke("camera", film, "--video", tmp_path / "out.mp4", "--rate", 5)
    made = pictures(tmp_path / "out.mp4")
    assert made[-1][0] == pytest.approx(7.8, abs=0.4)  # as long as what was watched
    detector = open_detector("yunet")
    before = [detector.find(picture) for _, picture in pictures(film)[::6]]
    assert sum(map(len, before)) > 20
    assert [face for _, picture in made for face in detector.find(picture)] == []
    shown = next(picture for seconds, picture in made if 1.5 < seconds < 2)
    colours = {colour for _, colour in shown.getcolors(shown.width * shown.height)}
    assert any(green > red + 50 and green > blue + 20 for red, green, blue in colours)
    assert not list(tmp_path.glob(".*"))


def test_one_who_was_not_found_for_a_moment_is_blurred_too() -> None:
    picture = person(1).resize((384, 512))
    (face,) = open_detector("yunet").find(picture)
    assert open_detector("yunet").find(annotated(picture, [], [face.box])) == []
    assert annotated(picture, [], [(900, 900, 950, 950)]) == picture


def test_ctrl_c_ends_it_and_keeps_what_was_seen(tmp_path: Path) -> None:
    def frames() -> Iterator[Frame]:
        for number in range(8):
            yield Frame(person(1), number / 10)
        raise KeyboardInterrupt

    passes: list[Any] = []
    with FilmWriter(tmp_path / "out.mp4") as film:
        watch_frames(maskwise.load(), frames(), passes.append, film)
    assert len(passes) == 1
    assert len(pictures(tmp_path / "out.mp4")) == 8


def test_a_film_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with FilmWriter(tmp_path / "out.mp4") as film:
            film.write(person(1), 0)
            film.write(person(1).resize((100, 101)), -5)  # another size, a clock that goes back
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_watched_is_told(film: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nonsense" * 100)
    photo = saved(person(1), tmp_path / "sound.wav.png")
    for source, words in (
        (tmp_path / "none.mp4", "no film there, and no camera"),
        (tmp_path / "broken.mp4", "cannot be opened"),
        ("/dev/video77", "cannot be opened"),
        ("rtsp://127.0.0.1:1/door", "cannot be opened"),
    ):
        assert words in refused("camera", source)
    assert "ends in .mp4" in refused("camera", film, "--video", tmp_path / "out.avi")
    assert "there is no model" in refused("camera", film, "--model", tmp_path / "none.onnx")
    assert invoke("camera", photo)["passes"] == 0  # a film of one picture
    assert not (tmp_path / "out.mp4").exists()


def test_what_cannot_be_watched_leaves_no_files_and_nothing_is_written_over(
    film: Path, tmp_path: Path
) -> None:
    asked = ["--out", tmp_path / "passes.csv", "--video", tmp_path / "out.mp4"]
    refused("camera", tmp_path / "none.mp4", *asked)
    assert list(tmp_path.iterdir()) == []
    recording = tmp_path / "recording.mp4"
    recording.write_bytes(film.read_bytes())
    assert "is there already" in refused("camera", recording, "--video", recording)
    assert recording.read_bytes() == film.read_bytes()


def test_passes_of_a_film_without_people_are_a_table_without_rows(tmp_path: Path) -> None:
    empty = write_film(tmp_path / "empty.mjpeg", [(0.5, [])])
    assert invoke("camera", empty, "--out", tmp_path / "passes.csv")["passes"] == 0
    assert (tmp_path / "passes.csv").read_text().startswith("number,state,probability,began")


def test_a_model_that_looks_for_no_faces_cannot_watch(film: Path, tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=18, val=18)
    run = tmp_path / "run"
    invoke("train", manifest, *TINY, "preprocess.detector=none", "train.epochs=1", "--out", run,
           f"cache.folder={tmp_path / 'cache'}")  # fmt: skip
    for words in (["camera", film, "--model", run], ["predict", run, film, "--all-faces"]):
        assert "preprocess.detector=none), so it finds no faces" in refused(*words)


def written(path: Path, pictures: int = 12, size: tuple[int, int] = (240, 320)) -> Path:
    """Write a film of one person."""
    with FilmWriter(path) as film:
        for number in range(pictures):
            film.write(person(1).resize(size), number / 10)
    return path


def test_a_film_that_was_taken_upright_is_watched_upright(tmp_path: Path) -> None:
    upright = person(1).resize((240, 320))
    with FilmWriter(tmp_path / "side.mp4") as film:
        for number in range(8):
            film.write(upright.transpose(Image.Transpose.ROTATE_90), number / 10)
    content = bytearray((tmp_path / "side.mp4").read_bytes())
    matrix = content.find(b"tkhd") + 44  # of a track, as ISO 14496-12 lays it out
    one = 1 << 16
    turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, 240 * one, 0, 1 << 30)
    content[matrix : matrix + len(turned)] = turned
    phone = tmp_path / "phone.mp4"
    phone.write_bytes(content)
    first = next(film_frames(str(phone), 10, print)).image
    assert first.size == (240, 320)
    assert np.abs(np.asarray(first).astype(int) - np.asarray(upright)).mean() < 20
    assert invoke("camera", phone, "--video", tmp_path / "seen.mp4")["passes"] == 1


def test_a_damaged_part_of_a_film_is_skipped_and_told(tmp_path: Path) -> None:
    content = bytearray(written(tmp_path / "whole.mp4", 30).read_bytes())
    first, last = content.find(b"mdat"), content.find(b"moov")
    middle = slice(first + (last - first) * 3 // 10, first + (last - first) * 7 // 10)
    content[middle] = bytes(middle.stop - middle.start)
    spoilt = tmp_path / "spoilt.mp4"
    spoilt.write_bytes(content)
    told: list[str] = []
    seconds = [frame.seconds for frame in film_frames(str(spoilt), 10, told.append)]
    assert 8 < len(seconds) < 25
    assert seconds[-1] == pytest.approx(2.9)  # what comes after it is seen
    assert len(told) == 1
    assert "damaged parts were skipped" in told[0]


def test_joined_recordings_are_watched_to_their_end(tmp_path: Path) -> None:
    def stream(path: Path, pictures: int) -> bytes:
        with av.open(str(path), "w", format="mpegts") as container:
            track = container.add_stream("mpeg4", rate=10)
            track.width, track.height = 240, 320
            for _ in range(pictures):
                frame = av.VideoFrame.from_image(person(1).resize((240, 320)))
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
        return path.read_bytes()

    joined = tmp_path / "joined.ts"
    joined.write_bytes(stream(tmp_path / "a.ts", 30) + stream(tmp_path / "b.ts", 20))
    seconds = [frame.seconds for frame in film_frames(str(joined), 10, print)]
    assert len(seconds) >= 48
    assert seconds == sorted(seconds)


def test_faces_that_are_not_followed_are_blurred(tmp_path: Path) -> None:
    frames = [Frame(person(1).resize((384, 512)), number / 10) for number in range(4)]
    with FilmWriter(tmp_path / "out.mp4") as film:
        watch = watch_frames(maskwise.load(), frames, print, film, faces=0)
    assert watch.people == []
    detector = open_detector("yunet")
    assert detector.find(frames[0].image)
    assert [detector.find(picture) for _, picture in pictures(tmp_path / "out.mp4")] == [[]] * 4


def test_those_in_sight_have_passed_when_a_film_is_lost() -> None:
    def frames() -> Iterator[Frame]:
        for number in range(8):
            yield Frame(person(1), number / 10)
        raise CameraError("gone")

    passes: list[Any] = []
    with pytest.raises(CameraError, match="gone"):
        watch_frames(maskwise.load(), frames(), passes.append)
    assert len(passes) == 1


def test_a_full_disk_is_told_and_leaves_no_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A container on a disk that fills up."""

        def __init__(self, container: Any) -> None:
            self.container = container

        def add_stream(self, *words: Any, **more: Any) -> Any:
            return self.container.add_stream(*words, **more)

        def mux(self, _: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", ".hidden.tmp")

        def close(self) -> None:
            self.container.close()
            raise OSError(errno.ENOSPC, "No space left on device", ".hidden.tmp")

    opened = av.open
    monkeypatch.setattr(av, "open", lambda *words, **more: Full(opened(*words, **more)))
    with pytest.raises(StorageError, match=r"out\.mp4"):
        written(tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_without_a_picture_there_is_no_film(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no picture came"):
        written(tmp_path / "out.mp4", pictures=0)
    assert list(tmp_path.iterdir()) == []


def test_films_are_looked_at_as_often_as_asked(film: Path) -> None:
    for rate in (2.0, 10.0):
        times = [frame.seconds for frame in film_frames(str(film), rate, print)]
        assert len(times) == pytest.approx(7.8 * rate, abs=2)
        assert times == sorted(times)


def test_cameras_and_films_are_told_apart() -> None:
    assert all(map(is_live, ("0", "/dev/video0", "rtsp://door/1", "http://door/1")))
    assert not any(map(is_live, ("door.mp4", "./rtsp.mp4", "0.mp4")))


@pytest.mark.parametrize(
    "source",
    ["rtsp://door:hunter2@127.0.0.1:1/1", "RTSP://door:hunter2@127.0.0.1:1/1",
     "http://127.0.0.1:1/video?user=door&pwd=hunter2", "ftp://door:hunter2@127.0.0.1:1/film.mp4",
     "rtsp://door:hunter2@home@127.0.0.1:1/1", "rtsp://me@home.org:hunter2@127.0.0.1:1/1",
     "rtsp://door:hunter/hunter2@127.0.0.1:1/1", "rtsp://hunter2@127.0.0.1:1/1",
     "rtsp://127.0.0.1:1/user=door_password=hunter2_channel=1", "rtsp://127.0.0.1:1/?loginpas=hunter2"],
)  # fmt: skip
def test_passwords_of_cameras_are_not_printed(source: str) -> None:
    said = refused("camera", source)
    assert "hunter2" not in said
    assert "***" in said
    assert "127.0.0.1:1/" in said


def test_a_camera_that_is_lost_is_sought_again(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(cameras, "_WAITS", (0.05,))
    told: list[str] = []
    handler = partial(Quiet, directory=str(film.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/{film.name}"
        frames = live_frames(address, 50, told.append)
        times = []
        while len(told) < 2:
            times.append(next(frames).seconds)
        frames.close()  # type: ignore[attr-defined]
        server.shutdown()
    assert times == sorted(times)
    assert len(times) >= 3
    assert "the camera ended; trying again in 0.05 s" in told[0]
    with pytest.raises(CameraError, match="cannot be opened"):
        next(live_frames(address, 50, told.append))
