"""The benchmark that puts faults into labels and counts which the audit finds."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from benchmarks.label_audit import __main__ as label_audit
from benchmarks.label_audit.expert import Shown, correct_on_page, keys_for
from benchmarks.label_audit.faults import corrupt, score
from benchmarks.label_audit.scores import out_of_fold_score, people_mended
from sklearn.metrics import f1_score

from commands import invoke
from maskwise.audit.findings import Finding, Fix, write_findings
from maskwise.config import LabelSettings
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.data.targets import class_codes, task_codes
from maskwise.evaluation.tables import class_columns
from maskwise.labels import TASKS
from maskwise.serving.screenshot import browser_program


@pytest.fixture
def people() -> pl.DataFrame:
    return manifest_from_rows(
        {"photo": f"/{number}-{mask}.jpg", "person": f"p{number}", "mask": mask, "source": "made",
         "gender": TASKS["gender"][number % 2], "age": (20, 40, 70)[number % 3]}
        for number in range(100) for mask in TASKS["mask"]
    )  # fmt: skip


def test_each_kind_of_fault_is_put_into_labels_of_its_own_people(people: pl.DataFrame) -> None:
    wrong, faulty = corrupt(people)
    assert {kind: len(names) for kind, names in faulty.items()} == dict.fromkeys(faulty, 3)
    assert len(set.union(*faulty.values())) == 12
    for name, before in people.group_by("person"):
        after = wrong.filter(pl.col("person") == name[0])
        changed = {
            column: int((before[column] != after[column]).sum()) for column in (*TASKS, "age")
        }
        expected = dict.fromkeys(changed, 0)
        for kind, count in (("swap", 2), ("mask", 1), ("gender", 3), ("age_group", 3)):
            if name[0] in faulty[kind]:
                expected["mask" if kind == "swap" else kind] = count
                expected |= {"age": 3} if kind == "age_group" else {}
        assert changed == expected
        if name[0] in faulty["swap"]:
            assert sorted(before["mask"]) == sorted(after["mask"])


def test_recall_and_precision_are_those_of_a_worked_case() -> None:
    findings = pl.DataFrame(
        [("gender", "a"), ("gender", "a"), ("gender", "x"), ("gender", "b"), ("gender", "y"),
         ("gender", "z"), ("gender", "c"), ("mask", "d")],
        ["kind", "person"], orient="row",
    )  # fmt: skip
    found = score(findings, {"gender": {"a", "b", "c", "d"}, "mask": {"e"}})
    gender = found["gender"]
    assert (gender.faults, gender.findings, gender.recall, gender.precision) == (4, 6, 0.75, 0.5)
    assert gender.best_recall == 0.5  # a, x, b: two of three are right
    assert (found["mask"].recall, found["mask"].precision, found["mask"].best_recall) == (0, 0, 0)


def test_a_model_or_folds_are_asked_for(people: pl.DataFrame, tmp_path: Path) -> None:
    write_manifest(people, tmp_path / "people.csv")
    with pytest.raises(SystemExit):
        label_audit.main([str(tmp_path / "people.csv"), "--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("labels", "suggested", "keys"),
    [
        ({}, {}, ["Enter"]),
        ({"mask": "not_wear"}, {"mask": "wear"}, [" "]),
        ({"mask": "not_wear"}, {"mask": "incorrect"}, ["q", "Enter"]),
        ({}, {"mask": "incorrect"}, ["Enter"]),
        ({"mask": "not_wear", "gender": "male"}, {"gender": "female"}, ["q", "s", "p", "Enter"]),
        ({"gender": "male"}, {"gender": "female"}, [" "]),
        ({"age_group": "old", "age": "71"}, {}, ["g", "2", "4", "Enter", "p", "Enter"]),
        ({"age_group": "old", "age": None}, {}, ["g", "2", "4", "Enter", "p", "Enter"]),
    ],
)
def test_the_expert_presses_the_keys_that_make_labels_right(
    labels: dict[str, str | None], suggested: dict[str, str | None], keys: list[str]
) -> None:
    right: dict[str, str | None] = {
        "mask": "wear", "gender": "female", "age_group": "young", "age": "24"
    }  # fmt: skip
    shown = Shown("a.jpg, person p", {**right, **labels}, suggested)
    assert list(keys_for(shown, right)) == keys


def test_the_expert_mends_on_the_page_what_was_found(
    manifest: Path, tmp_path: Path, people: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.label_audit.faults.SHARE", 0.1)  # one person of each kind
    photos = read_manifest(manifest)["photo"].to_list()[:36]
    truth = people[:36].with_columns(photo=pl.Series(photos))
    wrong, faulty = corrupt(truth)
    path = tmp_path / "wrong.csv"
    write_manifest(wrong, path)
    findings = []
    for kind, names in faulty.items():
        rows = wrong["person"].is_in(list(names)).arg_true().to_list()
        field = "mask" if kind == "swap" else kind
        fixes = tuple(
            Fix(row, field, truth[field][row])
            for row in rows
            if wrong[field][row] != truth[field][row]
        )
        findings.append(Finding(kind, tuple(fix.row for fix in fixes), 0.9, "as it was", fixes))
    right = int((~wrong["person"].is_in(list(set.union(*faulty.values())))).arg_true()[0])
    findings.append(Finding("mask", (right,), 0.8, "it was not", (Fix(right, "mask", "wear"),)))
    listed = tmp_path / "findings.csv"
    write_findings(listed, wrong, findings, tmp_path)
    program = browser_program()
    assert program, "there is no Chromium to test the page with: make browser installs it"
    decisions, minutes = correct_on_page(path, listed, truth, program)
    assert minutes > 0
    # a swap and a person's gender are one decision each; so is an age, with the whole person
    assert decisions == 5
    mended = tmp_path / "mended.csv"
    invoke("label", "export", path, "--out", mended)
    everybody = set.union(*faulty.values())
    assert people_mended(truth, wrong, everybody) == 0
    assert people_mended(truth, read_manifest(mended), everybody) == len(everybody) == 4
    assert read_manifest(mended).select(*TASKS).equals(truth.select(*TASKS))


def test_a_cross_validation_is_scored_by_the_labels_of_before(
    people: pl.DataFrame, tmp_path: Path
) -> None:
    labels = LabelSettings()
    codes = class_codes(task_codes(people, labels))
    right = np.eye(18)[codes]
    order = np.random.default_rng(0).permutation(len(people))
    path = tmp_path / "oof.csv"
    names = {"photo": people["photo"], "box": people["box"]}
    table = pl.DataFrame({**names, **class_columns(right)})[order]
    table.write_csv(path)
    assert out_of_fold_score(path, people) == pytest.approx(1)
    half = np.where(np.arange(len(people))[:, None] % 2 == 0, right, np.roll(right, 1, axis=1))
    pl.DataFrame({**names, **class_columns(half)})[order].write_csv(path)
    expected = f1_score(codes, half.argmax(axis=1), average="macro")
    assert out_of_fold_score(path, people) == pytest.approx(expected)
    assert expected < 0.8


def test_mending_trains_again_on_what_the_expert_left(
    people: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    out = tmp_path / "out"

    def run(*words: object) -> None:
        ran.append([*map(str, words)])
        if words[:2] == ("data", "audit"):
            (out / "audit").mkdir()
            findings = {"kind": ["gender"], "person": ["p0"], "photo": ["/0-wear.jpg"]}
            pl.DataFrame(findings).write_csv(out / "audit" / "findings.csv")
        if words[:2] == ("label", "export"):
            write_manifest(people, out / "mended.csv")
            pl.DataFrame({"id": ["/0-wear.jpg"] * 3}).write_csv(out / "mended-corrections.csv")

    monkeypatch.setattr(label_audit, "maskwise", run)
    monkeypatch.setattr(label_audit, "read_manifest", lambda _: people)
    monkeypatch.setattr(label_audit, "browser_program", lambda: "chromium")
    monkeypatch.setattr(label_audit, "correct_on_page", lambda *_: (40, 0.5))
    monkeypatch.setattr(
        label_audit, "out_of_fold_score", lambda path, _: float("mended" in str(path))
    )
    label_audit.main(["p.csv", "--out", str(out), "--folds", "5", "--mend", "train.amp=no"])
    assert [words[:2] for words in ran] == [
        ["train", str(out / "faulty.csv")],
        ["data", "audit"],
        ["label", "export"],
        ["train", str(out / "mended.csv")],
    ]
    assert all("train.amp=no" in words for words in (ran[0], ran[3]))
    assert json.loads((out / "scores.json").read_text())["mended"] == {
        "decisions": 40, "decisions a minute": 80, "faulty people": 12, "of them mended": 12,
        "labels corrected": 3, "macro-F1 before": 0.0, "macro-F1 after": 1.0,
    }  # fmt: skip


def test_mending_says_at_once_that_there_is_no_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(label_audit, "browser_program", lambda: None)
    with pytest.raises(SystemExit):
        label_audit.main(["p.csv", "--out", str(tmp_path), "--folds", "5", "--mend"])
    assert "make browser" in capsys.readouterr().err
