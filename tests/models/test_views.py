"""Views: what they are, that they follow from the photo alone, and how they are counted."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from commands import invoke
from conftest import TINY, write_set
from maskwise.cli import app
from maskwise.config import AugmentSettings
from maskwise.data.framing import Framer
from maskwise.data.manifest import read_manifest
from maskwise.errors import SettingsError
from maskwise.evaluation.tables import CLASS_COLUMNS
from maskwise.models.ensemble import load_classifier
from maskwise.models.looks import looks_at
from maskwise.models.views import Views, movable_changes

FRAMES = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (5, 20, 16, 3), dtype=np.uint8))
PHOTOS = FRAMES.permute(0, 3, 1, 2).float() / 255


def looks(name: str, frames: torch.Tensor = FRAMES, spare: int = 0) -> list[torch.Tensor]:
    views = Views.named(name)
    found = list(looks_at(frames, views, spare, None))
    assert len(found) == views.count
    return found


def test_fixed_views_are_as_named() -> None:
    assert [len(looks(name)) for name in ("1", "flip", "4", "8")] == [1, 2, 4, 8]
    plain, mirrored = looks("flip")
    torch.testing.assert_close(plain, PHOTOS)
    torch.testing.assert_close(mirrored, PHOTOS.flip(3))
    for name in ("4", "8"):
        found = looks(name)
        torch.testing.assert_close(found[1], found[0].flip(3))
        torch.testing.assert_close(found[3], found[2].flip(3), rtol=1e-3, atol=1e-3)
        assert all(view.shape == PHOTOS.shape for view in found)
        assert not torch.allclose(found[2], found[0], atol=0.05)


def test_a_zoom_shows_the_middle_larger() -> None:
    ramp = torch.arange(21, dtype=torch.uint8).mul(10).view(1, 1, 21, 1).expand(1, 21, 21, 3)
    zoomed = looks("4", ramp.contiguous())[2]
    values = zoomed[0, 0, 10] * 25.5
    expected = 10 + (torch.arange(21) - 10) / 1.1
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-2)


def test_turns_are_of_five_degrees_either_way() -> None:
    found = looks("8")
    left, right = found[4], found[6]
    # turned the other way and mirrored, a mirrored photo is the same
    again = list(looks_at(FRAMES.flip(2).contiguous(), Views.named("8"), 0, None))
    torch.testing.assert_close(again[6], left.flip(3), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(left, right, atol=0.05)


def test_random_views_follow_from_the_photo_alone() -> None:
    alone = looks("random:3", FRAMES[2:3])
    together = looks("random:3")
    torch.testing.assert_close(alone[0], PHOTOS[2:3])
    for one, all_ in zip(alone, together, strict=True):
        torch.testing.assert_close(one[0], all_[2])
    assert not torch.equal(together[1], together[2])
    spared = list(looks_at(FRAMES, Views.named("random:1"), 3, AugmentSettings(enabled=False)))
    assert all(view.shape == (5, 3, 14, 10) for view in spared)


def test_other_names_are_refused() -> None:
    for name in ("3", "random", "random:0", "random:100", "flop"):
        with pytest.raises(SettingsError, match="expected 1, flip, 4, 8, or random:N"):
            Views.named(name)


def test_a_group_of_changes_loses_those_that_need_files(tmp_path: Path) -> None:
    settings = AugmentSettings(
        policy=str(tmp_path / "policy.yaml"), blur=0.5, noise=0.5, grey=0.1,
        one_of=(("policy", "blur"), ("noise", "grey")),
    )  # fmt: skip
    kept = movable_changes(settings)
    assert (kept.policy, kept.one_of) == ("none", (("noise", "grey"),))
    assert AugmentSettings.model_validate(kept.model_dump(mode="json")) == kept
    named = settings.model_copy(update={"policy": "randaugment"})
    assert movable_changes(named).one_of == named.one_of


def test_changes_that_need_files_are_not_kept() -> None:
    changes = AugmentSettings(background=0.5, mattes=Path("m"), policy="found.yaml", blur=0.3,
                              one_of=(("background", "blur"), ("flip", "hue")))  # fmt: skip
    kept = movable_changes(changes)
    assert (kept.background, kept.mattes, kept.policy, kept.blur) == (0, None, "none", 0.3)
    assert kept.one_of == (("flip", "hue"),)
    assert movable_changes(AugmentSettings(policy="trivialaugment")).policy == "trivialaugment"


def test_answers_are_the_mean_or_the_vote_of_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    manifest, run = write_set(tmp_path / "data", train=18, val=12), tmp_path / "run"
    invoke("train", manifest, *TINY, "train.epochs=1", "--out", run)

    def told(*words: str) -> np.ndarray:
        scores = invoke("evaluate", run, manifest, "--out", tmp_path / "e", *words)
        assert scores["views"] == (1 if not words else 2 if words[1] == "flip" else 4)
        return pl.read_csv(tmp_path / "e" / "answers.csv").select(CLASS_COLUMNS).to_numpy()

    model = load_classifier(run)
    key, preprocess = next(iter(model.preprocesses.items()))
    frame = read_manifest(manifest).filter(pl.col("fold") == "val")
    pixels = np.stack([Framer(preprocess).frame(photo).pixels for photo in frame["photo"]])
    plain = model.answer({key: pixels}, Views()).joint
    mirrored = model.answer({key: pixels[:, :, ::-1].copy()}, Views()).joint
    np.testing.assert_allclose(told(), plain, atol=1e-5)
    np.testing.assert_allclose(told("--views", "flip"), (plain + mirrored) / 2, atol=1e-5)
    hard = told("--views", "random:3", "--views-vote", "hard")
    assert set(np.round(hard.max(axis=1) * 4)) <= {1, 2, 3, 4}
    assert not np.allclose(hard, plain, atol=0.05)
    shown = CliRunner().invoke(app, ["evaluate", str(run), str(manifest), "--views", "8"])
    assert "1 network(s) and 8 look(s) at each photo" in shown.stdout
    assert json.loads((run / "best" / "model.json").read_text())["augment"]["rotate"] == 12.0
