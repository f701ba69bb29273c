"""All figures of an evaluation, on a worked case."""

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as reference

from maskwise.config import LabelSettings
from maskwise.data.manifest import manifest_from_rows
from maskwise.data.targets import class_codes, task_codes
from maskwise.evaluation.scores import evaluation_scores, validation_scores
from maskwise.labels import TASKS
from maskwise.models.probabilities import Probabilities

COUNT = 60


def frame() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    return manifest_from_rows(
        {
            "photo": f"{row}.jpg",
            "person": f"p{row // 3}",
            "mask": TASKS["mask"][generator.integers(3)] if row % 4 else None,
            "gender": TASKS["gender"][row % 2],
            "age": int(generator.integers(18, 80)) if row % 5 else None,
            "source": "a" if row < 40 else "b",
        }
        for row in range(COUNT)
    )


def answers() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    return {
        task: generator.dirichlet(np.full(len(words), 0.5), COUNT) for task, words in TASKS.items()
    }


def joint_of(tasks: dict[str, np.ndarray]) -> np.ndarray:
    joint = np.einsum("ni,nj,nk->nijk", tasks["mask"], tasks["gender"], tasks["age_group"])
    return joint.reshape(len(joint), 18)


def test_figures_equal_scikit_learn_on_known_labels() -> None:
    rows, tasks, labels = frame(), answers(), LabelSettings()
    joint = joint_of(tasks)
    ages = np.full(COUNT, 40.0)
    found = Probabilities(joint, tasks, np.full(COUNT, np.nan))
    scores = evaluation_scores(rows, labels, found, joint.argmax(1), ages, samples=50)
    codes = task_codes(rows, labels)
    for task in TASKS:
        known = codes[task] >= 0
        truth, answer = codes[task][known], tasks[task].argmax(1)[known]
        figures = scores["tasks"][task]
        assert figures["photos"] == known.sum()
        assert figures["accuracy"] == pytest.approx(reference.accuracy_score(truth, answer))
        expected = reference.balanced_accuracy_score(truth, answer)
        assert figures["balanced_accuracy"] == pytest.approx(expected)
        low, high = figures["accuracy_interval"]
        assert low <= figures["accuracy"] <= high
    classes = class_codes(codes)
    known = classes >= 0
    expected = reference.f1_score(classes[known], joint.argmax(1)[known], average="macro")
    assert scores["classes"]["macro_f1"] == pytest.approx(expected)
    assert scores["classes"]["photos"] == known.sum() < COUNT
    true_ages = rows["age"].drop_nulls().to_numpy()
    assert scores["age"]["photos"] == len(true_ages)
    expected = np.abs(true_ages - 40).mean()
    assert scores["age"]["mean_absolute_error"] == pytest.approx(expected)
    assert sum(group["photos"] for group in scores["groups"]["gender"].values()) == COUNT
    right = tasks["gender"].argmax(1) == codes["gender"]
    male = scores["groups"]["gender"]["male"]["gender_accuracy"]
    assert male == pytest.approx(right[codes["gender"] == 0].mean())


def test_scores_use_the_tasks_boundaries_whatever_trained() -> None:
    rows = manifest_from_rows(
        [{"photo": "a", "person": "a", "age": 59, "source": "s", "mask": "wear", "gender": "male"}]
    )
    labels = LabelSettings(train_boundaries=(29, 58), drop_ages=((59, 59),))
    tasks = {"mask": np.eye(3)[[0]], "gender": np.eye(2)[[0]], "age_group": np.eye(3)[[1]]}
    joint = joint_of(tasks)
    scores = validation_scores(task_codes(rows, labels), joint, tasks)
    assert scores["accuracy"] == scores["age_group_accuracy"] == 1


def test_only_trained_tasks_choose_the_best_epoch() -> None:
    words = ("wear", "incorrect", "not_wear")
    rows = manifest_from_rows(
        {"photo": word, "person": word, "age": 40, "source": "s", "mask": word, "gender": "male"}
        for word in words
    )
    codes = task_codes(rows, LabelSettings())
    tasks = {"mask": np.eye(3)[[0, 1, 1]], "gender": np.eye(2)[[1] * 3], "age_group": np.eye(3)}
    joint = joint_of(tasks)
    everything = validation_scores(codes, joint, tasks)
    assert everything["score"] == everything["macro_f1"] == 0
    assert validation_scores(codes, joint, tasks, ["mask"])["score"] == pytest.approx(2 / 3)
    assert validation_scores(codes, joint, tasks, ["mask", "gender"])["score"] == pytest.approx(
        1 / 3
    )
