"""The benchmark that puts faults into labels and counts which the audit finds."""

from pathlib import Path

import polars as pl
import pytest
from benchmarks import label_audit
from benchmarks.label_audit import corrupt, score

from maskwise.data.manifest import manifest_from_rows, write_manifest
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
