"""Decisions: found on some people, kept with the model, and used wherever it answers."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

import maskwise
from commands import invoke, refused
from conftest import TINY, write_set
from maskwise.cli.decide import _shares
from maskwise.labels import NUM_CLASSES, TASKS, decode_class
from maskwise.models.probabilities import Probabilities
from maskwise.prediction.deciding import (
    Labelled,
    Wanted,
    crossed_figures,
    decision_figures,
    find_decision,
)

COUNT = 3000


def drawn(sharpness: float = 1.0, shares: np.ndarray | None = None) -> Labelled:
    """Labels drawn from a model's true probabilities, of which it tells a power, scaled."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(COUNT, NUM_CLASSES)) * 2
    if shares is not None:
        scores = scores + np.log(shares)
    true = softmax(scores, axis=1)
    truth = np.array([random.choice(NUM_CLASSES, p=row) for row in true])
    tasks = Probabilities.of_joint(true).tasks
    told = {task: softmax(np.log(values) * sharpness, axis=1) for task, values in tasks.items()}
    found = Probabilities.of_tasks(told) if sharpness != 1 else Probabilities.of_joint(true)
    return Labelled(found, decode_class(truth), np.arange(COUNT) // 2)


def test_temperatures_are_those_that_made_the_model_too_sure() -> None:
    data = drawn(sharpness=2.5)
    decision = find_decision(data, Wanted(temperatures=True))
    for task in TASKS:
        assert decision.temperatures[task] == pytest.approx(2.5, rel=0.15)
    before, after = (
        decision_figures(data, find_decision(data, Wanted())),
        decision_figures(data, decision),
    )
    for task in TASKS:
        assert after["calibration_error"][task] < before["calibration_error"][task] / 2
    assert after["accuracy"] == pytest.approx(before["accuracy"])


def test_thresholds_lift_macro_f1_on_other_people_too() -> None:
    shares = np.geomspace(1, 0.02, NUM_CLASSES)
    data = drawn(shares=shares)
    plain = decision_figures(data, find_decision(data, Wanted()))
    wanted = Wanted(thresholds=True)
    found = find_decision(data, wanted)
    inside = decision_figures(data, found)
    crossed = crossed_figures(data, lambda part: find_decision(part, wanted))
    assert plain["macro_f1"] < crossed["macro_f1"] < inside["macro_f1"]
    assert found.factors[NUM_CLASSES - 1] > found.factors[0]


def test_a_prior_is_the_wanted_share_over_the_share_here() -> None:
    shares = np.geomspace(1, 0.1, NUM_CLASSES)
    data = drawn(shares=shares)
    truth = np.bincount(
        data.codes["mask"] * 6 + data.codes["gender"] * 3 + data.codes["age_group"],
        minlength=NUM_CLASSES,
    )
    decision = find_decision(data, Wanted(shares=(1 / NUM_CLASSES,) * NUM_CLASSES))
    product = np.array(decision.prior) * truth
    np.testing.assert_allclose(product, product.mean(), rtol=0.05)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    manifest = write_set(tmp_path / "data", train=36, val=36)
    invoke("train", manifest, *TINY, "train.epochs=4", "optim.lr=1e-2", "--out", tmp_path / "run")
    return tmp_path / "run"


def test_a_decision_is_kept_and_used_wherever_the_model_answers(run: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "data" / "manifest.csv"
    before = invoke("evaluate", run, manifest)
    raw = pl.read_csv(run / "evaluation" / "answers.csv")
    found = invoke("decide", run, "--on", manifest, "--temperature", "--thresholds",
                   "--unsure", "0.2")  # fmt: skip
    assert found["before"]["macro_f1"] == pytest.approx(before["classes"]["macro_f1"])
    assert found["after"]["macro_f1"] >= found["before"]["macro_f1"]
    scored = invoke("evaluate", run, manifest)
    assert scored["classes"]["macro_f1"] == pytest.approx(found["after"]["macro_f1"])
    assert scored["unsure_below"] == 0.2
    answers = pl.read_csv(run / "evaluation" / "answers.csv")
    assert answers["unsure"].sum() == scored["unsure"]
    assert answers["p0"].to_list() != raw["p0"].to_list()
    assert "called unsure" in (run / "evaluation" / "report.html").read_text()
    photo = answers["photo"][0]
    told = maskwise.load(run, device="cpu").predict(photo)
    assert told.answer == answers["ans"][0]
    assert told.unsure == answers["unsure"][0]
    # found again, it is as if there had been none
    again = invoke("decide", run, "--on", manifest, "--rule", "tasks")
    assert again["before"] == found["before"]
    assert json.loads(Path(again["file"]).read_text())["decision"]["rule"] == "tasks"


def test_a_decision_of_other_weights_is_refused(run: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "data" / "manifest.csv"
    invoke("decide", run, "--on", manifest, "--temperature")
    file = run / "best" / "decision.json"
    (run / "best" / "model.safetensors").write_bytes(
        (run / "last" / "model.safetensors").read_bytes() + b""
    )
    other = json.loads(file.read_text())
    file.write_text(json.dumps({**other, "model": "0" * 64}))
    assert "found for other weights" in refused("evaluate", run, manifest)
    file.write_text('{"model": "x"}')
    assert "decision.json is damaged" in refused("evaluate", run, manifest)
    invoke("decide", run, "--on", manifest, "--temperature")  # mends it
    invoke("evaluate", run, manifest)


def test_other_shares_come_from_a_manifest(run: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "data" / "manifest.csv"
    found = invoke("decide", run, "--on", manifest, "--prior", manifest)
    prior = np.array(found["decision"]["prior"])
    np.testing.assert_allclose(prior, 1, atol=0.4)  # 72 photos there, 36 of them here
    rows = manifest.read_text().splitlines()
    # a model with other age groups takes the shares of these
    aged = manifest.parent / "aged.csv"
    years = {"22": "30", "45": "60", "68": "80"}
    whole = pl.read_csv(manifest, infer_schema=False)
    whole.with_columns(pl.col("age").replace(years), age_group=None).write_csv(aged)
    assert _shares(str(aged), (50, 70)) == pytest.approx((1 / NUM_CLASSES,) * NUM_CLASSES)
    assert "no photo is of the classes" in refused("decide", run, "--on", manifest, "--prior", aged)
    message = refused("decide", run, "--on", manifest, "--rule", "tasks", "--thresholds")
    assert "leave --rule at joint" in message
    whole.with_columns(fold=None).write_csv(aged)
    assert "the manifest has no folds, so run may have been trained" in refused(
        "decide", run, "--on", aged, "--temperature"
    )
    invoke("decide", run, "--on", aged, "--fold", "all", "--temperature")
    few = tmp_path / "data" / "few.csv"
    few.write_text("\n".join(rows[:4]) + "\n")
    assert "no photo is of the classes" in refused("decide", run, "--on", manifest,
                                                   "--prior", few)  # fmt: skip
