"""What an audit says of labels that a model does not believe."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.audit.findings import Finding
from maskwise.audit.labels import doubted, label_findings
from maskwise.data.manifest import manifest_from_rows
from maskwise.labels import TASKS
from maskwise.models.probabilities import Tasks, empty_probabilities

LAYOUT = ("wear", "wear", "incorrect", "not_wear")


def people(count: int = 40, ages: Sequence[int | None] = (22, 45, 68)) -> pl.DataFrame:
    """Return a manifest of people with four photos each."""
    rows = [
        {"photo": f"/photos/{number}-{place}.jpg", "person": f"p{number}", "mask": mask,
         "gender": TASKS["gender"][number % 2], "age": ages[number % len(ages)], "source": "made"}
        for number in range(count) for place, mask in enumerate(LAYOUT)
    ]  # fmt: skip
    return manifest_from_rows(rows)


def believed(frame: pl.DataFrame, sure: float = 0.95) -> Tasks:
    """Return the probabilities of a model that believes all labels."""
    return {
        task: np.array([_probabilities(words, word, sure) for word in frame[task]], np.float32)
        for task, words in TASKS.items()
    }


def _probabilities(words: Sequence[str], word: str, sure: float) -> list[float]:
    rest = (1 - sure) / (len(words) - 1)
    return [sure if each == word else rest for each in words]


def changed(frame: pl.DataFrame, column: str, values: dict[int, object]) -> pl.DataFrame:
    """Return a manifest with other values in some rows of a column."""
    new = [values.get(row, value) for row, value in enumerate(frame[column])]
    return frame.with_columns(pl.Series(column, new, dtype=frame.schema[column]))


def fixes(found: Finding) -> set[tuple[int, str, str]]:
    return {(fix.row, fix.field, fix.value) for fix in found.fixes}


def test_labels_that_a_model_believes_are_no_findings() -> None:
    frame = people()
    assert list(label_findings(frame, believed(frame))) == []


def test_masks_that_changed_places_are_one_finding_with_both_fixes() -> None:
    frame = people()
    tasks = believed(frame)
    swapped = changed(frame, "mask", {5: "not_wear", 7: "wear"})  # of person 1
    found = list(label_findings(swapped, tasks))
    assert [(each.kind, each.rows) for each in found] == [("swap", (5, 7))]
    assert fixes(found[0]) == {(5, "mask", "wear"), (7, "mask", "not_wear")}
    assert found[0].score > 0.99
    assert "labelled not_wear and wear, and looks like wear and not_wear" in found[0].reason


def test_a_single_wrong_mask_is_no_swap() -> None:
    frame = people()
    tasks = believed(frame)
    found = list(label_findings(changed(frame, "mask", {4: "not_wear"}), tasks))
    assert [(each.kind, each.rows) for each in found] == [("mask", (4,))]
    assert fixes(found[0]) == {(4, "mask", "wear")}
    assert found[0].score == 1 - tasks["mask"][4][TASKS["mask"].index("not_wear")]
    # nor where a right label of the person looks a little more like the wrong one
    tasks["mask"][4], tasks["mask"][5] = (0.95, 0.01, 0.04), (0.945, 0.005, 0.05)
    found = list(label_findings(changed(frame, "mask", {4: "not_wear"}), tasks))
    assert [(each.kind, each.rows) for each in found] == [("mask", (4,))]


def test_a_persons_gender_is_judged_by_all_photos_and_mended_in_all() -> None:
    frame = people()
    tasks = believed(frame)
    rng = np.random.default_rng(0)
    tasks["gender"] **= rng.uniform(0.2, 2, (len(frame), 1))  # surer of some than of others
    tasks["gender"] /= tasks["gender"].sum(axis=1, keepdims=True)
    rows = [8, 9, 10, 11]  # person 2 is male
    wrong = changed(frame, "gender", dict.fromkeys(rows, "female"))
    tasks["gender"][8:12] = [[0.6, 0.4], [0.99, 0.01], [0.99, 0.01], [0.99, 0.01]]
    found = list(label_findings(wrong, tasks))
    assert [(each.kind, each.rows) for each in found] == [("gender", tuple(rows))]
    assert fixes(found[0]) == {(row, "gender", "male") for row in rows}
    assert "over 4 photos" in found[0].reason
    tasks["gender"][8:12] = [[0.1, 0.9], [0.1, 0.9], [0.45, 0.55], [0.6, 0.4]]
    assert list(label_findings(wrong, tasks)) == []  # most photos look female


def test_an_age_group_takes_the_years_that_contradict_it_away() -> None:
    frame = people()
    tasks = believed(frame)
    wrong = changed(frame, "age", dict.fromkeys(range(4), 68))  # person 0 looks 22
    found = list(label_findings(_grouped(wrong), tasks))
    assert [(each.kind, each.rows) for each in found] == [("age_group", (0, 1, 2, 3))]
    assert fixes(found[0]) == {(row, *change) for row in range(4)
                               for change in (("age", ""), ("age_group", "young"))}  # fmt: skip
    assert "labelled old at 68, to the model young by 0.95" in found[0].reason


def test_an_age_beside_a_boundary_is_less_of_a_fault() -> None:
    frame = people()
    tasks = believed(frame)
    kinds = {}
    for age in (29, 30, 31, 32):
        found = list(
            label_findings(_grouped(changed(frame, "age", dict.fromkeys(range(4), age))), tasks)
        )
        kinds[age] = [each.kind for each in found]
    assert kinds == {29: [], 30: ["boundary"], 31: ["boundary"], 32: ["age_group"]}  # looks young


def test_a_person_of_two_genders_is_told_with_the_commoner() -> None:
    frame = people()
    found = list(label_findings(changed(frame, "gender", {13: "male"}), believed(frame)))
    assert [(each.kind, each.rows) for each in found] == [("inconsistent", (13, 12, 14, 15))]
    assert fixes(found[0]) == {(13, "gender", "female")}
    assert found[0].reason == "gender of one person: male 1 times, female 3 times"
    even = changed(frame, "gender", {12: "male", 13: "male"})
    tied = [each for each in label_findings(even, believed(frame)) if each.kind == "inconsistent"]
    assert tied[0].fixes == ()  # nobody knows which


def test_nothing_is_said_where_a_model_or_a_label_says_nothing() -> None:
    frame = people()
    wrong = changed(frame, "gender", dict.fromkeys(range(4), "female"))
    assert list(label_findings(wrong, empty_probabilities(len(frame)).tasks)) == []
    blank = frame.with_columns(pl.lit(None, pl.String).alias("gender"))
    tasks = believed(frame)
    assert list(label_findings(blank, tasks)) == []


def test_a_model_that_is_shy_of_a_word_accuses_nobody_by_that() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    found = np.where(labels == 0, 0.9, 0.55) + rng.uniform(-0.04, 0.04, 400)  # of word 0
    shy: NDArray[np.float64] = np.stack([found, 1 - found], axis=1)
    assert (shy.argmax(axis=1) != labels).sum() > 150
    assert len(doubted(labels, shy)) == 0
    labels[:6] = 1  # these look like 0, more so than the shy ones
    assert set(doubted(labels, shy).tolist()) <= set(range(6))
    assert len(doubted(labels, shy)) >= 5


def _grouped(frame: pl.DataFrame) -> pl.DataFrame:
    return manifest_from_rows(frame.drop("age_group").to_dicts())
