"""Averages of weights: the mean, with statistics that are those of the mean."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from commands import invoke, refused
from conftest import write_set
from maskwise.data.manifest import read_manifest, write_manifest
from maskwise.models.averaging import estimate_statistics, mean_weights
from maskwise.training import averaging
from maskwise.transforms.preprocess import Preprocess


def test_means_of_weights_keep_their_kind() -> None:
    one = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3), "h": torch.ones(2).half()}
    two = {"w": torch.tensor([3.0, 6.0]), "n": torch.tensor(9), "h": 2 * torch.ones(2).half()}
    mean = mean_weights([one, two])
    assert mean["w"].tolist() == [2, 4]
    assert mean["n"].item() == 3
    assert (mean["h"].dtype, mean["h"].tolist()) == (torch.float16, [1.5, 1.5])


@pytest.mark.parametrize("training", [False, True])
def test_statistics_are_those_of_all_photos(training: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(0.5))
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean += 7  # type: ignore[operator] # a tensor
    photos = torch.rand(24, 3, 5, 5)
    model.train(training)
    estimate_statistics(model, [photos[:10], photos[10:20], photos[20:]])
    seen = model[0](photos)
    torch.testing.assert_close(norm.running_mean, seen.mean(dim=(0, 2, 3)))
    within = torch.stack([part.var(dim=(0, 2, 3)) for part in seen.split(10)])
    expected = (within * torch.tensor([10, 10, 4])[:, None]).sum(dim=0) / 24
    torch.testing.assert_close(norm.running_var, expected)
    assert norm.momentum == 0.3
    assert [module.training for module in model.modules()] == [training] * 4


def test_statistics_come_from_batches_of_a_mixed_order() -> None:
    asked: list[np.ndarray] = []

    class Told:
        def batches(self, rows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            for batch in rows:
                asked.append(batch)
                yield np.zeros((len(batch), 16, 16, 3), dtype=np.uint8)

    preprocess = Preprocess(height=16, width=16, mean=(0.5,) * 3, std=(0.5,) * 3)
    info = SimpleNamespace(preprocess=preprocess, augment=None)
    photos = averaging.Photos(
        Told(),
        np.arange(1000),
        np.arange(0),
        {},
        info,
        torch.device("cpu"),  # type: ignore[arg-type]
    )
    photos.fit_statistics(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))  # type: ignore[arg-type]
    assert sorted(np.concatenate(asked).tolist()) == list(range(1000))
    # neighbours in a manifest are alike: each batch holds rows from all over it
    assert all(np.ptp(batch) > 800 for batch in asked)


@pytest.fixture
def runs(tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three runs from the same first weights; the last one is spoilt."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    manifest = write_set(tmp_path / "data", train=36, val=18)
    words = ["train", manifest, *tiny[:-1], "train.epochs=5", "optim.lr=1e-2"]
    invoke(*words, "--out", tmp_path / "a")
    start = f"model.pretrained={tmp_path / 'a'}"
    others = [word for word in words if word != "model.pretrained=none"]
    invoke(*others, start, "model.pretrained_heads=true", "--out", tmp_path / "b")
    invoke(*others, start, "augment.enabled=false", "train.seed=1", "--out", tmp_path / "c")
    return [tmp_path / name for name in "abc"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_uniform_average_is_the_mean_of_all(runs: list[Path], tmp_path: Path) -> None:
    manifest, out = tmp_path / "data" / "manifest.csv", tmp_path / "mean"
    found = invoke("average", *runs, "--on", manifest, "--out", out)
    assert found["used"] == [str(run) for run in runs]
    mean, members = weights(out), [weights(run / "best") for run in runs]
    for name in mean:
        values = torch.stack([member[name].double() for member in members]).mean(dim=0)
        if name.endswith(("weight", "bias")):
            torch.testing.assert_close(mean[name].double(), values)
        elif name.endswith("running_mean"):
            assert not torch.allclose(mean[name].double(), values)
    scored = invoke("evaluate", out, manifest)
    assert scored["classes"]["macro_f1"] == pytest.approx(found["metrics"]["macro_f1"])
    for run in runs:
        own = invoke("evaluate", run, manifest, "--out", tmp_path / "e")
        assert own["classes"]["macro_f1"] == pytest.approx(found["members"][str(run)])
    # nothing of the people who validate is in it
    black = tmp_path / "black.png"
    Image.new("RGB", (40, 40)).save(black)
    others = read_manifest(manifest).with_columns(
        photo=pl.when(pl.col("fold") == "val").then(pl.lit(str(black))).otherwise("photo")
    )
    write_manifest(others.unique("photo", maintain_order=True), tmp_path / "others.csv")
    invoke("average", *runs, "--on", tmp_path / "others.csv", "--out", tmp_path / "again")
    for name, value in weights(tmp_path / "again").items():
        torch.testing.assert_close(value, mean[name])


def test_a_greedy_average_leaves_out_what_lowers_the_score(
    runs: list[Path], tmp_path: Path
) -> None:
    manifest, out = tmp_path / "data" / "manifest.csv", tmp_path / "soup"
    path = runs[1] / "best" / "model.safetensors"
    spoilt = {name: -value if value.is_floating_point() and value.ndim > 1 else value
              for name, value in load_file(path).items()}  # fmt: skip
    save_file(spoilt, path)
    found = invoke("average", *runs, "--on", manifest, "--out", out, "--how", "greedy")
    assert str(runs[1]) not in found["used"]
    assert found["used"][0] == max(found["members"], key=found["members"].__getitem__)
    assert found["metrics"]["score"] >= max(found["members"].values())
    assert "is not empty" in refused("average", *runs, "--on", manifest, "--out", out)


def test_models_unlike_each_other_have_no_mean(
    runs: list[Path], tmp_path: Path, tiny: list[str]
) -> None:
    manifest, out = tmp_path / "data" / "manifest.csv", tmp_path / "mean"
    invoke("train", manifest, *tiny[:-1], "train.epochs=1", "model.head=single",
           "preprocess.width=40", "--out", tmp_path / "d")  # fmt: skip
    words = ["average", runs[0], tmp_path / "d", tmp_path / "none", "--out", out]
    message = refused(*words, "--on", manifest)
    assert f"d differs from {runs[0]} in model" in message
    assert f"d differs from {runs[0]} in preprocess" in message
    assert "none is no folder" in message
    assert "two models or more" in refused(*words[:2], "--out", out, "--on", manifest)
    assert "named twice" in refused("average", runs[0], runs[0], "--out", out, "--on", manifest)
    rows = manifest.read_text().replace(",val\n", ",train\n")
    (tmp_path / "data" / "all.csv").write_text(rows)
    message = refused("average", *runs, "--out", out, "--on", tmp_path / "data" / "all.csv")
    assert "needs rows in the fold val" in message
    assert not out.exists()


@pytest.mark.parametrize("head", ["multi", "tasks"])
def test_the_last_epochs_make_one_model(
    tmp_path: Path, tiny: list[str], head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averaging, "shutil", SimpleNamespace(rmtree=lambda *_, **__: None))
    manifest = write_set(tmp_path / "data", train=36, val=9)
    run = tmp_path / "run"
    words = ["train", manifest, *tiny, "train.epochs=3", "train.swa=2", "optim.lr=1e-2",
             "train.ema=0", "train.keep_epochs=[2,3]", f"model.head={head}"]  # fmt: skip
    if head == "multi":  # its variances are training's alone
        words.append("loss.task_weighting=uncertainty")
    invoke(*words, "--out", run)
    mean = weights(run / "swa")
    last = weights(run / "last")
    assert any(not torch.equal(mean[name], last[name]) for name in mean)
    for name, value in weights(run / "epoch-3").items():
        assert torch.equal(value, last[name])
    assert any(
        not torch.equal(value, last[name]) for name, value in weights(run / "epoch-2").items()
    )
    assert not (run / "epoch-1").exists()
    epochs = sorted(run.rglob("epochs"))
    assert len(epochs) == (3 if head == "tasks" else 1)
    for folder in epochs:
        assert sorted(part.name for part in folder.iterdir()) == ["2", "3"]
        mean = weights(folder.parent / "swa")
        parts = [weights(part) for part in folder.iterdir()]
        kept = weights(folder.parent / "epoch-2")
        assert all(torch.equal(value, kept[name]) for name, value in weights(folder / "2").items())
        for name in [name for name in mean if name.endswith("weight")]:
            torch.testing.assert_close(mean[name], (parts[0][name] + parts[1][name]) / 2)
    monkeypatch.undo()
    made = weights(run / "swa")
    if head == "multi":
        (run / "swa" / "model.safetensors").unlink()  # killed while it was written
    invoke("train", manifest, "--resume", "--out", run)
    assert all(torch.equal(value, made[name]) for name, value in weights(run / "swa").items())
    assert not list(run.rglob("epochs"))
    invoke("train", manifest, "--resume", "--out", run)  # what is done is not done again
    scored = invoke("evaluate", run / "swa", manifest, "--set", tiny[-1])
    info = json.loads((run / "swa" / "model.json").read_text())
    assert scored["classes"]["macro_f1"] == pytest.approx(info["metrics"]["macro_f1"])
    assert "a mean is of 2 epochs or more" in refused(
        "train", manifest, *tiny, "train.epochs=3", "train.swa=4", "--out", tmp_path / "x"
    )
    assert "keep_epochs 4: the run ends after 3" in refused(
        "train", manifest, *tiny, "train.epochs=3", "train.keep_epochs=[1,4]", "--out",
        tmp_path / "x"
    )  # fmt: skip
