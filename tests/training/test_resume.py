"""A run that is killed and resumed ends with the weights of a run never killed."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from typer.testing import CliRunner

from commands import refused
from conftest import write_set
from maskwise.cli import app

FILES = ("last/model.safetensors", "best/model.safetensors")


def run_train(manifest: Path, out: Path, settings: list[str], *more: str) -> None:
    result = CliRunner().invoke(app, ["train", str(manifest), *settings, "--out", str(out), *more])
    assert result.exit_code == 0, result.output + str(result.exception)


def settings_for(tiny: list[str]) -> list[str]:
    return [
        *tiny,
        "train.epochs=3",
        "train.checkpoint_steps=1",
        "train.batch_size=4",
        "model.hidden=8",
        "model.dropout=0.2",
        "model.drop_path=0.1",
        "augment.noise=0.5",
        "augment.policy=trivialaugment",
        "mix.cutmix=0.3",
        "mix.mixup=0.2",
        "train.sampling=sqrt",
        "schedule.name=plateau",
        "schedule.patience=0",
    ]


def same_weights(one: Path, other: Path) -> bool:
    for name in FILES:
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        if not all(torch.equal(first[key], second[key]) for key in first):
            return False
    return True


def without_times(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "val_seconds"} for line in lines]


def test_one_process_at_a_time_trains_in_a_folder(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_set(tmp_path / "data", train=6, val=3)
    out = tmp_path / "run"
    out.mkdir()
    words = ["train", str(manifest), *tiny, "train.epochs=1", "--out", str(out)]
    with FileLock(out / ".lock"):
        assert f"{out} is being written by another process" in refused(*words)
    assert {path.name for path in out.iterdir()} <= {".lock"}
    run_train(manifest, out, [*tiny, "train.epochs=1"])


def kill_when(process: subprocess.Popen[bytes], path: Path, seen: int) -> None:
    """Kill the process as soon as a file was replaced `seen` times."""
    changes, last = 0, None
    deadline = time.monotonic() + 120
    while changes < seen:
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < deadline
        try:
            now = path.stat().st_ino, path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
        if now != last:
            changes, last = changes + 1, now
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("seen", [1, 3, 8])
def test_killed_run_ends_with_the_same_weights(
    manifest: Path, tmp_path: Path, tiny: list[str], seen: int
) -> None:
    settings = settings_for(tiny)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_train(manifest, whole, settings)
    command = [sys.executable, "-m", "maskwise", "train", str(manifest), *settings]
    process = subprocess.Popen(
        [*command, "--out", str(killed)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    kill_when(process, killed / "last" / "training.safetensors", seen)
    run_train(manifest, killed, [], "--resume")
    assert same_weights(whole, killed)
    assert without_times(whole) == without_times(killed)


def test_weights_depend_on_the_seed(manifest: Path, tmp_path: Path, tiny: list[str]) -> None:
    settings = [*settings_for(tiny), "train.epochs=1"]
    run_train(manifest, tmp_path / "a", settings)
    run_train(manifest, tmp_path / "b", [*settings, "train.seed=1"])
    assert not same_weights(tmp_path / "a", tmp_path / "b")


def test_resume_refuses_other_settings_and_another_manifest(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run = tmp_path / "run"
    run_train(manifest, run, [*tiny, "train.epochs=1"])
    result = CliRunner().invoke(
        app, ["train", str(manifest), *tiny, "train.epochs=2", "--out", str(run), "--resume"]
    )
    assert "train.epochs was 1, is 2" in str(result.exception)
    manifest.write_text(manifest.read_text().replace("p0,", "q0,"))
    result = CliRunner().invoke(app, ["train", str(manifest), "--out", str(run), "--resume"])
    assert "has changed since" in str(result.exception)


def test_finished_run_needs_resume_or_another_name(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run = tmp_path / "run"
    run_train(manifest, run, [*tiny, "train.epochs=1"])
    before = (run / "last" / "model.safetensors").read_bytes()
    result = CliRunner().invoke(app, ["train", str(manifest), *tiny, "--out", str(run)])
    assert "add --resume" in str(result.exception)
    run_train(manifest, run, [], "--resume")
    assert (run / "last" / "model.safetensors").read_bytes() == before


def limit_file_size() -> None:
    """Make the kernel refuse to write large files, as a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_full_disk_keeps_the_earlier_checkpoint(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    settings = [*settings_for(tiny), "train.epochs=2"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    run_train(manifest, whole, settings)
    command = [sys.executable, "-m", "maskwise", "train", str(manifest), "--out", str(run)]
    process = subprocess.Popen([*command, *settings], stderr=subprocess.DEVNULL)
    checkpoint = run / "last" / "training.safetensors"
    kill_when(process, checkpoint, 2)
    before = checkpoint.read_bytes()
    full = subprocess.run(
        [*command, "--resume"],
        preexec_fn=limit_file_size,
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 2, full.stderr
    assert "the disk is full" in full.stderr
    assert str(checkpoint) in full.stderr
    assert "Traceback" not in full.stderr
    assert checkpoint.read_bytes() == before
    run_train(manifest, run, [], "--resume")
    assert same_weights(whole, run)
