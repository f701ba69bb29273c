"""The benchmark that puts faults into labels and counts which the audit finds."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from benchmarks.label_audit import __main__ as label_audit
from benchmarks.label_audit.expert import corrections_of, out_of_fold_score
from benchmarks.label_audit.faults import corrupt, score
from sklearn.metrics import f1_score

from maskwise.config import LabelSettings
from maskwise.data.corrections import apply_corrections, read_corrections
from maskwise.data.manifest import manifest_from_rows, write_manifest
from maskwise.data.targets import class_codes, task_codes
from maskwise.evaluation.tables import class_columns
from maskwise.labels import TASKS


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


def test_the_expert_corrects_what_is_wrong_about_the_photos_of_the_list(
    people: pl.DataFrame, tmp_path: Path
) -> None:
    wrong, faulty = corrupt(people)
    person = min(faulty["age_group"])
    listed = [*people.filter(pl.col("person") == person)["photo"], "/0-wear.jpg"]
    kinds = ["age_group"] * 3 + ["mask"]
    findings = pl.DataFrame({"kind": [*kinds, "blurred"], "photo": [*listed, "/1-wear.jpg"]})
    out = tmp_path / "corrections.csv"
    assert corrections_of(people, wrong, findings, tmp_path, out) == 4
    applied = apply_corrections(wrong, read_corrections(out), tmp_path).frame
    mended = people["person"] == person
    assert applied.filter(mended).equals(people.filter(mended))
    assert not wrong.filter(mended).equals(people.filter(mended))
    assert applied.filter(~mended).equals(wrong.filter(~mended))


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

    def run(*words: object) -> None:
        ran.append([*map(str, words)])
        if words[:2] == ("data", "audit"):
            findings = {"kind": ["gender"], "person": ["p0"], "photo": ["/0-wear.jpg"]}
            (tmp_path / "out" / "audit").mkdir()
            pl.DataFrame(findings).write_csv(tmp_path / "out" / "audit" / "findings.csv")

    monkeypatch.setattr(label_audit, "maskwise", run)
    monkeypatch.setattr(label_audit, "read_manifest", lambda _: people)
    monkeypatch.setattr(
        label_audit, "out_of_fold_score", lambda path, _: float("mended" in str(path))
    )
    out = tmp_path / "out"
    label_audit.main(["p.csv", "--out", str(out), "--folds", "5", "--mend", "train.amp=no"])
    assert [words[:2] for words in ran] == [
        ["train", str(out / "faulty.csv")],
        ["data", "audit"],
        ["data", "fix"],
        ["train", str(out / "mended.csv")],
    ]
    assert all("train.amp=no" in words for words in (ran[0], ran[3]))
    scores = json.loads((out / "scores.json").read_text())
    assert scores["mended"] == {"photos shown": 1, "labels corrected": 0, "macro-F1 before": 0.0,
                                "macro-F1 after": 1.0}  # fmt: skip
