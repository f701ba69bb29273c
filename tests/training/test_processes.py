"""Two processes train the weights that one process trains, and count every photo once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import write_set
from maskwise.models.probabilities import empty_probabilities
from maskwise.training.validate import assembled

SETTINGS = [
    "train.epochs=2",
    "train.batch_size=10",
    "optim.lr=1e-3",
    "model.backbone=test_resnet",
    "loss.class_weights=sqrt",
]


def launch(processes: int, manifest: Path, out: Path, settings: list[str]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={processes}", "-m", "maskwise", "train", str(manifest)]
    done = subprocess.run(
        [*command, *settings, "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 2  # printed once, by one process


def largest_gap(one: Path, other: Path) -> float:
    """Return the largest difference of any weight, relative to its tensor's largest."""
    first, second = load_file(one), load_file(other)
    gaps = [
        float((first[key] - second[key]).abs().max() / first[key].abs().max().clamp(min=1e-3))
        for key in first
        if first[key].is_floating_point()
    ]
    return max(gaps)


CRAFT = [
    "optim.freeze_epochs=1",
    "optim.name=sgd",
    "loss.task_weighting=uncertainty",
    "loss.terms={focal: 1, symmetric: 0.5}",
    "model.age=distribution",
    "model.age_sees=both",
    "mix.cutmix=0.5",
    "mix.with_old=true",
    "train.sampling=even",
]


# statistics that stand still in some passes, and a mean of epochs that the main process makes
STILL = ["optim.sam=0.05", "train.recompute=true", "train.swa=2"]


@pytest.mark.parametrize("more", [[], CRAFT, STILL, ["train.accumulate=2", "train.batch_size=12"]])
def test_two_processes_equal_one(tmp_path: Path, tiny: list[str], more: list[str]) -> None:
    # half the labels unknown, 23 and 37 photos: nothing divides evenly
    manifest = write_set(tmp_path / "data", train=23, val=37, unknown=True)
    settings = [*tiny, *SETTINGS, *more]
    launch(1, manifest, tmp_path / "one", settings)
    launch(2, manifest, tmp_path / "two", settings)
    gap = largest_gap(
        tmp_path / "one" / "last" / "model.safetensors",
        tmp_path / "two" / "last" / "model.safetensors",
    )
    cut = any("accumulate" in word for word in more)
    if not cut:  # accumulated parts have batch statistics of their own
        assert gap < 1e-3
    one, two = (
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    )
    if not cut:
        assert [line["loss"] for line in two] == pytest.approx(
            [line["loss"] for line in one], rel=1e-4
        )
    # 19 of the 37 photos carry a mask label, 18 gender and age: shares of exactly those
    for line in two:
        for name, known in (("mask", 19), ("gender", 18), ("age_group", 18)):
            right = line[f"{name}_accuracy"] * known
            assert right == pytest.approx(round(right), abs=1e-9)
    card = json.loads((tmp_path / "two" / "last" / "model.json").read_text())
    assert card["data"]["val_photos"] == 37


def test_a_photo_that_no_process_answers_is_an_error() -> None:
    answers = empty_probabilities(2)
    rows = [np.array([0, 1]), np.array([2, 3])]
    whole = assembled(4, list(zip(rows, [answers, answers], strict=True)))
    assert whole.joint.shape == (4, 18)
    for wrong in ([rows[0]], [rows[0], rows[0]]):
        with pytest.raises(RuntimeError, match="photos were not answered exactly once"):
            assembled(4, list(zip(wrong, [answers] * len(wrong), strict=True)))


def test_batch_norm_differs_without_synchronisation() -> None:
    """The guard of the test above: plain batch norm over half a batch gives other weights."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(3)
    photos = torch.randn(8, 3, 4, 4) + torch.arange(8.0).view(8, 1, 1, 1)
    halves = torch.cat([norm(photos[:4]), norm(photos[4:])])
    assert (norm(photos) - halves).abs().max() > 0.1
