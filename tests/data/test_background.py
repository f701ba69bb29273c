"""Backgrounds: mattes from the real rembg with a stand-in for its model, and what is made of them.

One test runs rembg's own class on a model of a few bytes, and one its real model, where that is.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from maskwise.cli import main
from maskwise.data.background import (
    BackgroundStep,
    Replacement,
    doubt,
    open_remover,
    replace_background,
)
from maskwise.data.derived import DerivedSet, derive_set
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.data.mattes import MATTES, find_matte, matte_path, save_matte
from maskwise.data.samples import write_samples
from maskwise.errors import BackgroundError, PhotoError, SettingsError
from maskwise.storage import file_digest
from maskwise.transforms.decode import decode_photo

MODEL = "u2net_human_seg"
SIZE = (64, 80)
PERSON = (slice(20, 70), slice(16, 48))
"""Rows and columns of the person in a photo of `photo_of`."""


def photo_of(seed: int, person: bool = True) -> Image.Image:
    """Return a photo, 64 x 80, of a red person before blue noise."""
    pixels = np.random.default_rng(seed).integers(0, 90, (SIZE[1], SIZE[0], 3), np.uint8)
    pixels[:, :, 2] += 120
    if person:
        pixels[PERSON] = (230, 70 + seed, 40)
    return Image.fromarray(pixels)


def known_matte(image: Image.Image) -> Image.Image:
    """Return 255 where a photo is red."""
    return image.getchannel("R").point(lambda red: 255 * (red > 128))


def person_matte(kept: int = 255) -> Image.Image:
    pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    pixels[PERSON] = kept
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def rembg() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        # without this the first import compiles for half a minute what no test here calls
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        yield pytest.importorskip("rembg")


@dataclass
class StandIn:
    """A model that is known to rembg and answers what a test wants."""

    name: str = "stand-in"
    opened: int = 0
    asked: int = 0
    answer: Callable[[Image.Image], list[Image.Image]] = lambda image: [known_matte(image)]


@pytest.fixture
def stand_in(rembg: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    from rembg import session_factory
    from rembg.sessions import sessions
    from rembg.sessions.base import BaseSession

    state = StandIn()

    class Session(BaseSession):
        def __init__(self, model_name: str, *_: Any, **__: Any) -> None:
            self.model_name = model_name
            state.opened += 1

        def predict(self, img: Image.Image, *_: Any, **__: Any) -> list[Image.Image]:
            state.asked += 1
            return state.answer(img)

        @classmethod
        def name(cls, *_: Any, **__: Any) -> str:
            return state.name

    monkeypatch.setitem(sessions, state.name, Session)
    monkeypatch.setattr(session_factory, "sessions_class", [*sessions.values()])
    open_remover.cache_clear()
    yield state
    open_remover.cache_clear()


@pytest.fixture
def models(rembg: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of models, and no network."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "models"))
    open_remover.cache_clear()
    yield tmp_path / "models"
    open_remover.cache_clear()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Six photos: turned by EXIF, with two faces (two rows), without a person, one of them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows: list[dict[str, object]] = []
    for number in range(6):
        path = folder / f"{number}.png"
        photo = photo_of(number, person=number != 4)
        exif = Image.Exif()
        if number == 1:
            exif[0x112] = 6  # a viewer turns it right, so it lies on its left side in the file
            photo = photo.transpose(Image.Transpose.ROTATE_90)
        photo.save(path, exif=exif)
        rows.append(
            {"photo": str(path), "person": f"p{number}", "mask": "incorrect", "gender": "male",
             "age": 30 + number, "source": "made", "fold": "train" if number < 4 else "val"}
        )  # fmt: skip
    rows[3]["box"] = "20 24 44 60"
    rows.append(rows[3] | {"box": "48 0 64 16", "mask": "wear"})
    write_manifest(manifest_from_rows(rows), tmp_path / "manifest.csv")
    return tmp_path / "manifest.csv"


def made_set(manifest: Path, out: Path, **options: Any) -> DerivedSet:
    return derive_set(read_manifest(manifest), out, BackgroundStep("stand-in", **options), 0)


# ---- the model ----


def test_matte_comes_through_rembg(stand_in: StandIn) -> None:
    photo = photo_of(3)
    matte = open_remover("stand-in").matte(photo)
    assert (matte.mode, matte.size) == ("L", SIZE)
    np.testing.assert_array_equal(np.asarray(matte), np.asarray(person_matte()))
    np.testing.assert_array_equal(np.asarray(photo), np.asarray(photo_of(3)))
    open_remover("stand-in").matte(photo)
    assert (stand_in.opened, stand_in.asked) == (1, 2)


def test_soft_mattes_stay_soft(stand_in: StandIn) -> None:
    stand_in.answer = lambda _: [person_matte(100)]
    assert open_remover("stand-in").matte(photo_of(0)).getextrema() == (0, 100)


def fail(image: Image.Image) -> list[Image.Image]:
    raise RuntimeError("out of memory\nat line 5 of a kernel")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda image: [known_matte(image)] * 3, "gives no matte of a photo"),
        (lambda image: [known_matte(image).resize((9, 9))], "gives no matte of a photo"),
        (fail, "the model stand-in of rembg failed: out of memory$"),
    ],
    ids=["three", "small", "fails"],
)
def test_model_that_gives_no_matte_is_told(answer: Any, words: str, stand_in: StandIn) -> None:
    stand_in.answer = answer
    with pytest.raises(BackgroundError, match=words):
        open_remover("stand-in").matte(photo_of(0))


@pytest.mark.parametrize("model", ["u3net", "withoutbg", "sam", "u2net_custom", ""])
def test_unknown_and_unfit_models_are_refused(model: str, stand_in: StandIn) -> None:
    with pytest.raises(BackgroundError, match=f"no model '{model}'") as raised:
        open_remover(model)
    known = str(raised.value).split("expected one of: ")[1].split(", ")
    assert {MODEL, "u2netp", "stand-in"} < set(known)
    assert not {"withoutbg", "atlascloud", "sam", "u2net_custom", "u2net_cloth_seg"} & set(known)


def test_missing_rembg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rembg", None)
    with pytest.raises(BackgroundError, match=r"pip install 'maskwise\[background\]'"):
        open_remover("any")


def test_rembg_that_exits_says_what_to_install(
    rembg: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "rembg"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackgroundError, match=r"onnxruntime is missing.*maskwise\[background\]"):
        open_remover("any")
    assert capsys.readouterr() == ("", "")


def test_old_rembg_says_what_to_install(rembg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rembg.sessions.base import BaseSession

    monkeypatch.delattr(BaseSession, "resolve_existing")
    with pytest.raises(BackgroundError, match=r"it is older than 2.0.80.*maskwise\[background\]"):
        open_remover(MODEL)


def test_model_that_cannot_be_fetched_is_announced_and_told(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = models / "models" / MODEL / f"{MODEL}.onnx"
    with pytest.raises(BackgroundError, match=f"cannot fetch the model {MODEL}: ") as raised:
        open_remover(MODEL)
    message = str(raised.value)
    assert f"put {MODEL}.onnx by hand at {place} or in {models}; U2NET_HOME names" in message
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"rembg downloads its model {MODEL} to {place}"


def test_damaged_model_is_named(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = models / f"{MODEL}.onnx"
    models.mkdir()
    file.write_bytes(b"half a download")
    with pytest.raises(BackgroundError, match=f"cannot open the model {file}: .*remove it and"):
        open_remover(MODEL)
    assert capsys.readouterr().err == ""


def varint(value: int) -> bytes:
    """Return a number below 2**14 as protocol buffers write it."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128, value >> 7])


def field(number: int, value: int | bytes | str) -> bytes:
    """Return one field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    body = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(body)) + body


def tiny_model() -> bytes:
    """Return an ONNX model whose answer, 1x1x320x320, is the mean of the colours."""

    def tensor(name: str, channels: int) -> bytes:
        sizes = b"".join(field(1, field(1, size)) for size in (1, channels, 320, 320))
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, sizes)))

    axes = field(1, "axes") + field(8, 1) + field(20, 7)
    node = field(1, "photo") + field(2, "matte") + field(4, "ReduceMean") + field(5, axes)
    graph = field(1, node) + field(2, "g") + field(11, tensor("photo", 3))
    graph += field(12, tensor("matte", 1))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def test_session_of_rembg_runs_a_model_file(models: Path) -> None:
    """The model takes what is bright for the person, and a grey photo makes rembg divide by 0."""
    models.mkdir()
    (models / f"{MODEL}.onnx").write_bytes(tiny_model())
    photo = Image.composite(
        Image.new("RGB", SIZE, "white"), Image.new("RGB", SIZE, "navy"), person_matte()
    )
    matte = open_remover(MODEL).matte(photo)
    assert (matte.mode, matte.size) == ("L", SIZE)
    difference = np.abs(np.asarray(matte, int) - np.asarray(person_matte(), int))
    assert difference.mean() < 8
    assert difference[25:65, 20:44].max() == 0
    assert doubt(open_remover(MODEL).matte(Image.new("RGB", SIZE, "grey")))


# ---- mattes ----


def test_mattes_are_found_by_digest(tmp_path: Path) -> None:
    digest = "ab12" + "0" * 60
    assert matte_path(tmp_path, digest) == tmp_path / "ab" / f"{digest}.png"
    assert find_matte(tmp_path, digest) is None
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_matte(tmp_path, digest, Image.fromarray(values))
    found = find_matte(tmp_path, digest)
    assert found is not None
    assert found.mode == "L"
    np.testing.assert_array_equal(np.asarray(found), values)
    assert find_matte(tmp_path, digest[::-1]) is None
    path = matte_path(tmp_path, digest)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(PhotoError, match=digest):
        find_matte(tmp_path, digest)


@pytest.mark.parametrize(
    ("share", "box", "words"),
    [
        (0.0, None, "0.0% of photo"),
        (0.0195, None, "2.0% of photo"),
        (0.0205, None, ""),
        (0.994, None, ""),
        (0.996, None, "99.6% of photo"),
        (1.0, None, "100.0% of photo"),
        (0.5, "0 20 100 60", ""),
        (0.5, "0 30 100 68", ""),
        (0.5, "0 34 100 68", "44% of face"),
        (0.5, "0 40 100 140", "0% of face"),
        (0.5, "20 60 80 90", "0% of face"),
        (0.5, "-50.5 -9.5 60.2 40.4", ""),
        (0.5, "130 20 160 40", "0% of face"),
        (0.5, "50 20 50.1 20.1", ""),
        (0.01, "0 0 2 2", "1.0% of photo"),
    ],
)
def test_doubtful_mattes(share: float, box: str | None, words: str) -> None:
    """The upper `share` of the photo is person."""
    pixels = np.zeros((100 if box else 1000, 100), np.uint8)
    pixels.reshape(-1)[: round(share * pixels.size)] = 255
    expected = f"background not found: {words} kept" if words else ""
    assert doubt(Image.fromarray(pixels), box) == expected


# ---- replacing ----


def replaced(
    photo: Image.Image, matte: Image.Image, replacement: Replacement, seed: int = 0
) -> np.ndarray:
    image = replace_background(photo, matte, replacement, np.random.default_rng(seed))
    assert (image.mode, image.size) == ("RGB", photo.size)
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("replacement", ["white", "grey", "blur", "random"])
def test_person_stays_and_only_the_person(replacement: Replacement) -> None:
    photo = photo_of(1)
    pixels, before = replaced(photo, person_matte(), replacement), np.asarray(photo).astype(int)
    np.testing.assert_array_equal(pixels[PERSON], before[PERSON])
    behind = np.asarray(person_matte()) == 0
    assert (np.abs(pixels - before).max(2)[behind] > 0).mean() > 0.9
    np.testing.assert_array_equal(
        np.asarray(photo), np.asarray(photo_of(1))
    )  # the given one is not changed
    whole = replaced(photo, Image.new("L", SIZE, 255), replacement)
    np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize(("replacement", "value"), [("white", 255), ("grey", 128)])
def test_plain_backgrounds_are_laid_by_share(replacement: Replacement, value: int) -> None:
    photo = Image.new("RGB", SIZE, (10, 100, 201))
    pixels = replaced(photo, person_matte(51), replacement)  # a fifth is person
    for channel, colour in enumerate((10, 100, 201)):
        assert (pixels[PERSON][..., channel] == round(0.2 * colour + 0.8 * value)).all()
    assert (pixels[0] == value).all()


@pytest.mark.parametrize("scale", [1, 8], ids=["small", "large"])
def test_blur_holds_nothing_of_the_person(scale: int) -> None:
    size = (SIZE[0] * scale, SIZE[1] * scale)
    matte = person_matte().resize(size, Image.Resampling.NEAREST)
    photo = Image.composite(
        Image.new("RGB", size, (255, 0, 0)), Image.new("RGB", size, (0, 30, 200)), matte
    )
    outside = np.asarray(matte) == 0
    pixels = replaced(photo, matte, "blur")
    assert np.abs(pixels[outside] - (0, 30, 200)).max() <= 1
    soft = matte.resize((16, 20)).resize(size, Image.Resampling.BILINEAR)
    photo = Image.composite(
        Image.new("RGB", size, (255, 0, 0)), Image.new("RGB", size, (0, 30, 200)), soft
    )
    clear = np.asarray(soft) == 0
    assert replaced(photo, soft, "blur")[clear][:, 0].max() < 12  # edge pixels hold some red


def test_blur_is_the_photos_own_background() -> None:
    pixels = np.asarray(photo_of(2)).copy()
    pixels[:, :32, 2] = 20
    made = replaced(Image.fromarray(pixels), person_matte(), "blur")
    assert made[:, :8, 2].mean() < 40
    assert made[:, -8:, 2].mean() > 130
    noise, smooth = pixels[:, 50:, 1].std(), made[:, 50:, 1].std()
    assert smooth < noise / 4
    everything = Image.new("L", SIZE, 0)
    assert replaced(Image.fromarray(pixels), everything, "blur").std() > 0


def test_blur_changes_nothing_where_hardly_any_background_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    matte = np.full((300, 300), 254, np.uint8)
    matte[:, :10] = 0
    made = replaced(Image.fromarray(pixels), Image.fromarray(matte), "blur")
    assert np.abs(made - pixels)[:, 10:].max() <= 1


def test_random_backgrounds_follow_the_generator_and_are_of_three_kinds() -> None:
    nobody = Image.new("L", SIZE, 0)
    kinds = set()
    seen = set()
    for seed in range(24):
        made = replaced(photo_of(0), nobody, "random", seed)
        np.testing.assert_array_equal(made, replaced(photo_of(1), nobody, "random", seed))
        seen.add(made.tobytes())
        turns = np.diff(np.sign(np.diff(made[:, 32].astype(float), axis=0)), axis=0)
        rises = (np.abs(turns) > 1).any()
        kinds.add("plain" if made.std((0, 1)).max() == 0 else "noise" if rises else "gradient")
    assert kinds == {"plain", "gradient", "noise"}
    assert len(seen) == 24


# ---- the set ----


def test_set_keeps_labels_and_saves_mattes(
    stand_in: StandIn, manifest: Path, tmp_path: Path
) -> None:
    made = made_set(manifest, tmp_path / "out", replacement="white")
    source = read_manifest(manifest)
    assert made.frame.drop("photo").equals(source.drop("photo"))
    notes = {Path(photo).name: note for photo, note in made.notes()}
    assert notes == {
        "4.png": "background not found: 0.0% of photo kept",
        "3.png": "background not found: 0% of face kept",  # the second face only
    }
    for row, (old, new) in enumerate(zip(source["photo"], made.frame["photo"], strict=True)):
        before, after = decode_photo(old), decode_photo(new)
        assert (before.size, after.size) == (SIZE, SIZE)
        with Image.open(new) as file:
            assert (file.format, file.getexif().get(0x112, 1)) == ("JPEG", 1)
        kept = row in (4, 6)
        expected = before if kept else Image.composite(
            before, Image.new("RGB", SIZE, "white"), person_matte()
        )  # fmt: skip
        assert np.abs(np.asarray(after).astype(int) - np.asarray(expected)).mean() < 4
        for photo in (old, new):
            matte = find_matte(tmp_path / "out" / MATTES, file_digest(Path(photo)))
            if kept and (photo == new or row == 4):
                assert matte is None
            else:
                assert matte is not None
                np.testing.assert_array_equal(np.asarray(matte), np.asarray(person_matte()))


def test_model_is_asked_once_per_photo(stand_in: StandIn, manifest: Path, tmp_path: Path) -> None:
    made_set(manifest, tmp_path / "out")
    assert stand_in.asked == 6  # of seven rows
    journal = tmp_path / "out" / "derived.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    (tmp_path / "out" / "images" / "3.jpg").unlink()
    made_set(manifest, tmp_path / "out")
    assert stand_in.asked == 7  # again the photo without a person, whose matte was not kept
    assert (tmp_path / "out" / "images" / "3.jpg").exists()


def pictures(made: DerivedSet) -> dict[str, bytes]:
    return {Path(photo).name: Path(photo).read_bytes() for photo in made.frame["photo"]}


def test_draws_follow_from_seed_and_content(
    stand_in: StandIn, manifest: Path, tmp_path: Path
) -> None:
    first = pictures(made_set(manifest, tmp_path / "a", replacement="random", seed=5))
    assert first == pictures(made_set(manifest, tmp_path / "b", replacement="random", seed=5))
    (tmp_path / "photos").rename(tmp_path / "moved")
    moved = pl.col("photo").str.replace("/photos/", "/moved/")
    frame = read_manifest(manifest, check_photos=False).with_columns(moved)
    frame = frame.filter(pl.col("box").is_null()).reverse()
    step = BackgroundStep("stand-in", "random", 5)
    elsewhere = pictures(derive_set(frame, tmp_path / "c", step, 0))
    assert {name: first[name] for name in elsewhere} == elsewhere
    (tmp_path / "moved").rename(tmp_path / "photos")
    backgrounds = {
        decode_photo(tmp_path / "a" / "images" / f"{n}.jpg").getpixel((2, 2)) for n in range(4)
    }
    assert len(backgrounds) == 4  # not the same for every photo
    other = pictures(made_set(manifest, tmp_path / "d", replacement="random", seed=6))
    assert all(other[name] != content for name, content in first.items() if name[0] in "0125")


def test_processes_open_the_model_themselves_and_make_the_same_set(
    models: Path, tmp_path: Path
) -> None:
    models.mkdir()
    (models / f"{MODEL}.onnx").write_bytes(tiny_model())
    rows = []
    for number in range(8):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        photo_of(number).point(lambda value: value + 20).save(path)
        rows.append({"photo": str(path), "person": str(number), "source": "made"})
    sets = []
    for workers in (0, 2):
        out = tmp_path / f"out{workers}"
        made = derive_set(
            manifest_from_rows(rows), out, BackgroundStep(replacement="random"), workers
        )
        assert made.notes() == []
        sets.append({str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.*g")})
    assert sets[0] == sets[1]
    assert len(sets[0]) == 8 + 16


def test_options_of_the_step_are_checked_and_complete() -> None:
    step = BackgroundStep("m", "blur", 3)
    assert (step.name, step.options()) == (
        "background",
        {"model": "m", "replacement": "blur", "seed": 3},
    )
    with pytest.raises(SettingsError, match="no replacement 'pink'; take white, grey, blur, rand"):
        BackgroundStep(replacement="pink")
    with pytest.raises(SettingsError, match="seed -1"):
        BackgroundStep(seed=-1)


# ---- the command ----


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def background(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    def run(*words: object) -> Result:
        argv = ["maskwise", "data", "background", *map(str, words)]
        monkeypatch.setattr(sys, "argv", argv)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        return Result(int(stopped.value.code or 0), *capsys.readouterr())

    return run


def test_command_makes_a_set_with_sheet_and_notes(
    background: Callable[..., Result], stand_in: StandIn, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = (manifest, "--out", out, "--model", "stand-in", "--replace", "blur", "--seed", 7)
    result = background(*words, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out) == {
        "manifest": str(out / "manifest.csv"),
        "photos": 7,
        "written": 7,
        "noted": 2,
        "failed": 0,
        "notes": str(out / "notes.csv"),
        "sheet": str(out / "sheet.jpg"),
    }
    folder = manifest.parent / "photos"
    assert (out / "notes.csv").read_text().splitlines() == [
        "photo,note",
        f"{folder / '4.png'},background not found: 0.0% of photo kept",
        f"{folder / '3.png'},background not found: 0% of face kept",
    ]
    assert f"background not found: 0.0% of photo kept: {folder / '4.png'}\n" in result.err
    with Image.open(out / "sheet.jpg") as sheet:
        assert sheet.size == (8 * 160, 2 * 174)  # seven pairs, four in a row
    assert json.loads((out / "derived.json").read_text())["seed"] == 7
    assert len(read_manifest(out / "manifest.csv")) == 7
    shown = background(*words)  # a finished set is only told of again
    assert (shown.code, stand_in.asked) == (0, 6)
    assert "written" in shown.out
    assert "noted" in shown.out


def test_command_ends_with_code_2_where_a_photo_cannot_be_read(
    background: Callable[..., Result], stand_in: StandIn, manifest: Path, tmp_path: Path
) -> None:
    broken = manifest.parent / "photos" / "2.png"
    broken.write_bytes(broken.read_bytes()[:99])
    words = (manifest, "--out", tmp_path / "out", "--model", "stand-in", "--json")
    result = background(*words)
    assert result.code == 2
    values = json.loads(result.out)
    assert [values[key] for key in ("photos", "written", "noted", "failed")] == [7, 6, 2, 1]
    assert f"error: {broken}: " in result.err
    assert "error: 1 of 7 photos failed" in result.err
    photo_of(2).save(broken)
    assert background(*words).code == 0
    assert stand_in.asked == 6  # the five that could be read, and now this one


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--replace", "pink"), "no replacement 'pink'; take white, grey, blur, random"),
        (("--seed", "-1"), "--seed"),
        (("--workers", "-1"), "--workers"),
        (("--model", "u3net"), "rembg has no model 'u3net'"),
        (("--model", "withoutbg"), "rembg has no model 'withoutbg'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_command_refuses_before_anything_is_written(
    words: tuple[str, str],
    message: str,
    background: Callable[..., Result],
    stand_in: StandIn,
    manifest: Path,
    tmp_path: Path,
) -> None:
    result = background(manifest, "--out", tmp_path / "out", *words)
    assert (result.code, result.out) == (2, "")
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err
    assert not (tmp_path / "out").exists()


def test_command_without_a_network_leaves_no_folder(
    background: Callable[..., Result], models: Path, manifest: Path, tmp_path: Path
) -> None:
    result = background(manifest, "--out", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    assert "error: cannot fetch the model u2net_human_seg" in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "out").exists()


def test_originals_and_folders_of_others_are_left_alone(
    background: Callable[..., Result], stand_in: StandIn, manifest: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in manifest.parent.rglob("*")}
    for place in (manifest.parent, manifest.parent / "photos"):
        result = background(manifest, "--out", place, "--model", "stand-in")
        assert result.code == 2
        assert "originals are never touched" in result.err
    assert {path: path.stat().st_mtime_ns for path in manifest.parent.rglob("*")} == before


# ---- the real model ----


def test_real_model(
    rembg: Any, background: Callable[..., Result], tmp_path: Path, stand_in: StandIn
) -> None:
    """Drawn people are no photos, so all that is asked is that the matte follows the person."""
    from rembg.sessions import sessions

    if not sessions[MODEL].resolve_existing(f"{MODEL}.onnx"):
        pytest.skip(f"no {MODEL}.onnx where rembg looks: U2NET_HOME, ~/.rembg/models, ~/.u2net")
    write_samples(tmp_path / "people", people=1, seed=0, eval_people=1)
    photos = sorted(map(str, (tmp_path / "people" / "train").rglob("*.*g")))
    rows = manifest_from_rows({"photo": photo, "person": "0", "source": "s"} for photo in photos)
    write_manifest(rows, tmp_path / "manifest.csv")
    result = background(tmp_path / "manifest.csv", "--out", tmp_path / "out", "--json")
    assert json.loads(result.out)["written"] == len(photos) == 7, result.err
    found = [find_matte(tmp_path / "out" / MATTES, file_digest(Path(photo))) for photo in photos]
    mattes = [np.asarray(matte) / 255 for matte in found if matte]
    assert len(mattes) >= 5
    for matte in mattes:
        height, width = matte.shape
        middle = matte[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
        assert middle.mean() > matte[: height // 10].mean() + 0.3
