"""Training runs: what they write, what they accept, and what they refuse before training."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

import maskwise
from conftest import read_rows, write_set
from maskwise.cli import app
from maskwise.data.samples import write_samples
from maskwise.training import loop, step, validate


def invoke(manifest: Path, out: Path, *words: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["train", str(manifest), "--out", str(out), "--json", *words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    summary: dict[str, object] = json.loads(result.stdout)
    return summary


def refused(manifest: Path, out: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["train", str(manifest), "--out", str(out), *words])
    assert result.exit_code != 0
    return str(result.exception)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "last" / "model.safetensors")


def test_run_folder_holds_what_the_docs_say(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run = tmp_path / "run"
    summary = invoke(manifest, run, *tiny, "train.epochs=2")
    assert summary["epochs"] == 2
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    files = {f"{folder}/{file}" for folder in ("best", "last") for file in (
        "README.md", "model.json", "model.safetensors")}  # fmt: skip
    files |= {"run.json", "settings.yaml", "metrics.jsonl", "last/training.safetensors", ".lock"}
    assert {name for name in names if not name.startswith("tensorboard/")} == files
    assert any(name.startswith("tensorboard/events") for name in names)
    settings = yaml.safe_load((run / "settings.yaml").read_text())
    assert settings["train"]["epochs"] == 2
    record = json.loads((run / "run.json").read_text())
    assert len(record["manifest"]["sha256"]) == 64
    assert record["environment"]["libraries"]["torch"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert "24 photos" in (run / "best" / "README.md").read_text()


def test_a_model_learns_what_the_photos_show(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_set(tmp_path / "data", train=72, val=36)
    settings = [*tiny, "train.epochs=12", "optim.lr=1e-2", "optim.backbone_lr_factor=1"]
    summary = invoke(manifest, tmp_path / "run", *settings, "augment.flip=0")
    assert float(summary["best_score"]) > 0.8  # type: ignore[arg-type]


@pytest.mark.parametrize("head", ["multi", "single"])
def test_sets_with_different_labels_train_one_model(
    tmp_path: Path, tiny: list[str], head: str
) -> None:
    manifest = write_set(tmp_path / "data", unknown=True)
    summary = invoke(manifest, tmp_path / "run", *tiny, f"model.head={head}", "train.epochs=1")
    metrics = summary["metrics"]
    assert isinstance(metrics, dict)
    # no photo carries all three labels: the score is the mean balanced accuracy
    assert "macro_f1" not in metrics
    tasks = [metrics[f"{task}_balanced_accuracy"] for task in ("mask", "gender", "age_group")]
    assert summary["best_score"] == pytest.approx(np.mean(tasks))


def test_streamed_photos_train_the_same_weights(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    invoke(manifest, tmp_path / "cached", *tiny, "train.epochs=1")
    invoke(manifest, tmp_path / "streamed", *tiny, "train.epochs=1", "cache.limit_gb=0")
    assert any((tmp_path / "cache").rglob("frames.u8"))
    one, other = weights(tmp_path / "cached"), weights(tmp_path / "streamed")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_bf16_and_no_average_train(manifest: Path, tmp_path: Path, tiny: list[str]) -> None:
    invoke(manifest, tmp_path / "run", *tiny, "train.epochs=1", "train.amp=bf16", "train.ema=0")


def test_a_frozen_backbone_keeps_its_weights(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    frozen = [*tiny, "train.epochs=1", "optim.backbone_lr_factor=0", "train.ema=0"]
    invoke(manifest, tmp_path / "short", *frozen)
    invoke(manifest, tmp_path / "long", *frozen[:-2], "train.epochs=2", *frozen[-2:])
    one, other = weights(tmp_path / "short"), weights(tmp_path / "long")
    kernels = [key for key in one if key.startswith("backbone") and one[key].ndim == 4]
    assert kernels
    assert all(torch.equal(one[key], other[key]) for key in kernels)
    assert not torch.equal(one["heads.mask.weight"], other["heads.mask.weight"])


def test_a_backbone_thaws_after_its_epochs(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    finish = loop.Trainer._finish_epoch

    def kept(trainer: loop.Trainer) -> None:
        weights = trainer._stepper.model.state_dict()
        seen.append(torch.cat([value.float().flatten() for key, value in weights.items()
                               if key.startswith("backbone.")]))  # fmt: skip
        finish(trainer)

    monkeypatch.setattr(loop.Trainer, "_finish_epoch", kept)
    words = ["optim.freeze_epochs=2", "optim.lr=1e-2", "train.epochs=3"]
    invoke(manifest, tmp_path / "run", *tiny, *words)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_weights_that_sam_tries_out_do_not_count_in_the_statistics(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    words = [*tiny, "train.epochs=1", "train.ema=0", "optim.name=sgd", "optim.lr=1e-6"]
    invoke(manifest, tmp_path / "plain", *words)
    invoke(manifest, tmp_path / "sam", *words, "optim.sam=1e-6")
    plain, sam = weights(tmp_path / "plain"), weights(tmp_path / "sam")
    means = [key for key in plain if key.endswith("running_mean")]
    assert means
    for key in means:
        torch.testing.assert_close(plain[key], sam[key], rtol=1e-3, atol=1e-4)


def test_training_stops_when_the_score_does_not_rise(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.6, 0.6, 0.55, 0.9])
    monkeypatch.setattr(validate, "validation_scores", lambda *_: {"score": next(scores)})
    summary = invoke(manifest, tmp_path / "run", *tiny, "train.epochs=9", "train.patience=2")
    assert (summary["epochs"], summary["best_epoch"]) == (4, 2)


def test_a_data_folder_is_imported_and_split(tmp_path: Path, tiny: list[str]) -> None:
    write_samples(tmp_path / "set", people=10, eval_people=1)
    run = tmp_path / "run"
    invoke(tmp_path / "set" / "train", run, *tiny, "train.epochs=1")
    folds = read_rows(run / "manifest.csv").group_by("fold").len().sort("fold")
    assert folds["fold"].to_list() == ["train", "val"]


def test_people_bytes_and_missing_folds_are_refused(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run, text = tmp_path / "run", manifest.read_text()
    manifest.write_text(text.replace(",p30,", ",p1,"))
    assert "person 'p1' in folds train and val" in refused(manifest, run, *tiny)
    manifest.write_text(text)
    photos = manifest.parent / "photos"
    (photos / "030.png").write_bytes((photos / "001.png").read_bytes())
    assert "the same bytes in folds train and val" in refused(manifest, tmp_path / "b", *tiny)
    manifest.write_text(text.replace(",train\n", ",\n"))
    assert "24 of 37 rows have no fold" in refused(manifest, tmp_path / "c", *tiny)
    manifest.write_text(text.replace(",val\n", ",train\n"))
    assert "needs train.val_fold=val" in refused(manifest, tmp_path / "d", *tiny)
    assert not (tmp_path / "d").exists()


def test_bad_photos_are_all_named_before_training(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    photos = manifest.parent / "photos"
    (photos / "003.png").write_bytes(b"")
    (photos / "004.png").write_text("text")
    Image.new("RGB", (1, 1)).save(photos / "005.png")
    message = refused(manifest, tmp_path / "run", *tiny)
    assert "3 photo(s) cannot be used" in message
    for name in ("003.png: the file is empty", "004.png: not an image", "005.png: 1x1 is smaller"):
        assert name in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.amp=fp16"], "fp16 needs an accelerator"),
        (
            ["train.batch_size=4", "train.accumulate=4"],
            "leaves 1 photo(s) in a part; this model needs 2",
        ),
        (["model.backbone=resnet81"], "did you mean"),
        (["train.epoch=1"], "did you mean train.epochs"),
    ],
)
def test_settings_that_cannot_work_leave_no_folder(
    manifest: Path, tmp_path: Path, tiny: list[str], words: list[str], message: str
) -> None:
    assert message in refused(manifest, tmp_path / "run", *tiny, *words)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_ends_with_a_message(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "network_input", lambda photos, *_: photos * torch.nan)
    assert "the loss is nan at step 1; lower optim.lr" in refused(manifest, tmp_path / "r", *tiny)


def test_folders_of_others_and_of_other_versions_are_refused(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("precious")
    assert "no run folder" in refused(manifest, other, *tiny)
    run = tmp_path / "run"
    invoke(manifest, run, *tiny, "train.epochs=1")
    for content, message in (
        ('{"format": 9, "manifest": {"sha256": ""}}', "format 9"),
        ("{", "damaged"),
    ):
        (run / "run.json").write_text(content)
        assert message in refused(manifest, run, "--resume")
    (run / "last" / "training.safetensors").write_bytes(b"cut")


def test_a_run_killed_while_it_began_is_resumed(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    invoke(manifest, whole, *tiny, "train.epochs=1")
    killed.mkdir()
    (killed / "settings.yaml").write_text((whole / "settings.yaml").read_text())
    (killed / ".run.json.77.tmp").write_text("{")
    invoke(manifest, killed, "--resume")
    one, other = weights(whole), weights(killed)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not (killed / ".run.json.77.tmp").exists()


def test_folds_by_number_validate_and_are_evaluated(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    text = manifest.read_text()
    manifest.write_text(text.replace(",val\n", ",2\n").replace(",train\n", ",1\n"))
    run = tmp_path / "run"
    invoke(manifest, run, *tiny, "train.epochs=1", "train.val_fold=2")
    done = CliRunner().invoke(app, ["evaluate", str(run), str(manifest), "--json"])
    result = json.loads(done.stdout)
    assert (result["fold"], result["photos"]) == ("fold 2", 13)
    manifest.write_text(text.replace(",val\n", ",train\n"))
    done = CliRunner().invoke(app, ["evaluate", str(run), str(manifest)])
    assert "trained on or not, with --fold all" in str(done.exception)


def test_rows_of_the_test_fold_take_no_part(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    lines = manifest.read_text().splitlines()
    lines[1:5] = [line.replace(",train", ",test") for line in lines[1:5]]
    (manifest.parent / "photos" / "000.png").write_bytes(b"never read")
    manifest.write_text("\n".join(lines) + "\n")
    run = tmp_path / "run"
    invoke(manifest, run, *tiny, "train.epochs=1")
    data = json.loads((run / "best" / "model.json").read_text())["data"]
    assert (data["train_photos"], data["val_photos"]) == (20, 13)


def test_validation_without_labels_is_refused(
    tmp_path: Path, tiny: list[str], manifest: Path
) -> None:
    rows = read_rows(manifest)
    blank = [
        pl.when(pl.col("fold") == "train").then(name).alias(name)
        for name in ("mask", "gender", "age", "age_group")
    ]
    rows.with_columns(blank).write_csv(manifest)
    assert "no validation photo has a label" in refused(manifest, tmp_path / "run", *tiny)


def test_a_backbone_of_fixed_size_is_built_for_the_photos(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run = tmp_path / "run"
    settings = [*tiny, "model.backbone=test_vit", "preprocess.height=48", "train.epochs=1"]
    invoke(manifest, run, *settings)
    photo = str(next((manifest.parent / "photos").iterdir()))
    assert 0 <= maskwise.load(str(run), device="cpu").predict(photo).answer <= 17


def test_a_refused_data_folder_leaves_the_run_as_it_is(tmp_path: Path, tiny: list[str]) -> None:
    write_samples(tmp_path / "set", people=10, eval_people=1)
    source, run = tmp_path / "set" / "train", tmp_path / "run"
    invoke(source, run, *tiny, "train.epochs=1")
    before = (run / "manifest.csv").read_bytes()
    first = next((source / "images").iterdir())
    shutil.copytree(first, first.with_name("000099_male_Asian_33"))
    assert "add --resume" in refused(source, run, *tiny)
    assert (run / "manifest.csv").read_bytes() == before


def test_a_resume_may_change_the_cache(manifest: Path, tmp_path: Path, tiny: list[str]) -> None:
    run = tmp_path / "run"
    invoke(manifest, run, *tiny, "train.epochs=1")
    invoke(manifest, run, "cache.limit_gb=0", "--resume")
    (run / "settings.yaml").unlink()
    assert "settings.yaml is missing" in refused(manifest, run, "--resume")


def test_names_with_markup_are_printed_as_they_are(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    manifest.write_text(manifest.read_text().replace(",made,", ",s[/b],"))
    run = tmp_path / "run[old]"
    result = CliRunner().invoke(
        app, ["train", str(manifest), *tiny, "train.epochs=1", "--out", str(run)]
    )
    assert result.exit_code == 0, repr(result.exception)
    result = CliRunner().invoke(app, ["data", "stats", str(manifest)])
    assert "s[/b]" in result.stdout


def test_weights_that_give_no_numbers_are_no_model(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    wild = ["optim.lr=10", "optim.clip_norm=0", "optim.weight_decay=1e6", "train.epochs=1"]
    assert "lower optim.lr" in refused(manifest, tmp_path / "run", *tiny, *wild)
    assert not (tmp_path / "run" / "best").exists()


def test_photos_without_a_fitting_partner_are_told_of(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    rows = read_rows(manifest)
    young = rows.with_columns(age=20, age_group=pl.lit("young"), mask=None)
    young.write_csv(manifest)
    mixed = ["mix.cutmix=0.5", "mix.with_old=true", "mix.within_mask=true"]
    message = refused(manifest, tmp_path / "run", *tiny, *mixed)
    assert "mix.with_old: no training photo is of the age group old" in message
    assert "mix.within_mask: no training photo has a mask label" in message
    lost = "train.repeat_sources={mad: 2, made: 3}"
    message = refused(manifest, tmp_path / "run", *tiny, lost)
    assert "no training photo is of mad; the sets are made" in message
    assert not (tmp_path / "run").exists()


def test_ages_in_years_that_nobody_knows_are_not_learnt(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    read_rows(manifest).with_columns(age=None).write_csv(manifest)
    message = refused(manifest, tmp_path / "run", *tiny, "model.age_regression=true")
    assert "no training photo has an age in years" in message
    message = refused(manifest, tmp_path / "run", *tiny, "mix.cutmix=0.5", "mix.age_gap=3")
    assert "mix.age_gap: no training photo has an age in years" in message
    message = refused(manifest, tmp_path / "run", *tiny, "train.epoch_photos=1")
    assert "leaves 1 photo(s) in a part" in message
    words = ["augment.background=0.5", f"augment.mattes={tmp_path / 'none'}", "cache.limit_gb=0"]
    assert "there is no folder" in refused(manifest, tmp_path / "run", *tiny, *words)
    long = f"loss.class_weight_lists={{joint: [{', '.join(['1.000000000000'] * 18)}]}}"
    assert "no losses of joint" in refused(manifest, tmp_path / "run", *tiny, long)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_beside_this_folder(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = CliRunner().invoke(app, ["train", str(manifest), *tiny, "--dry-run", "--out", "."])
    assert result.exit_code == 0, repr(result.exception)
    assert (tmp_path / "here-dry-run" / "batch.png").is_file()
