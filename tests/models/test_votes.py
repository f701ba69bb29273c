"""Votes and decisions, on worked cases."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from maskwise.labels import NUM_CLASSES, TASKS
from maskwise.models.classifier import EnsembleClassifier
from maskwise.models.decision import Decision
from maskwise.models.probabilities import Probabilities, task_product, task_sums
from maskwise.models.votes import StackedTask, Vote, count_votes, equal_vote, stack_features
from maskwise.transforms.preprocess import Preprocess

ALL = tuple(TASKS)
RANDOM = np.random.default_rng(0)


def random_tasks(count: int = 40) -> dict[str, np.ndarray]:
    return {
        task: RANDOM.dirichlet(np.full(len(words), 0.4), count).astype(np.float32)
        for task, words in TASKS.items()
    }


def random_joint(count: int = 40) -> Probabilities:
    return Probabilities.of_joint(RANDOM.dirichlet(np.full(NUM_CLASSES, 0.3), count))


def weights(mask: object, gender: object, age_group: object) -> dict[str, object]:
    return {"mask": mask, "gender": gender, "age_group": age_group}


def test_sums_and_products_are_each_others_inverse() -> None:
    tasks = random_tasks()
    joint = task_product(tasks)
    for task, values in task_sums(joint).items():
        np.testing.assert_allclose(values, tasks[task], atol=1e-6)
    # worn, female, old is class 5; its place in the cube is 0, 1, 2
    np.testing.assert_allclose(
        joint[:, 5], tasks["mask"][:, 0] * tasks["gender"][:, 1] * tasks["age_group"][:, 2],
        rtol=1e-5,
    )  # fmt: skip


def test_a_soft_vote_is_the_weighted_mean() -> None:
    members = [random_joint(), random_joint()]
    vote = Vote(weights=weights((3.0, 1.0), (3.0, 1.0), (3.0, 1.0)))
    found = count_votes(members, vote)
    expected = 0.75 * members[0].joint + 0.25 * members[1].joint
    np.testing.assert_allclose(found.joint, expected, atol=1e-6)
    for task in TASKS:
        np.testing.assert_allclose(found.tasks[task], task_sums(expected)[task], atol=1e-6)


def test_weights_by_task_make_independent_tasks() -> None:
    members = [random_joint(), random_joint()]
    found = count_votes(members, Vote(weights=weights((1, 0), (0, 1), (1, 1))))
    np.testing.assert_allclose(found.tasks["mask"], members[0].tasks["mask"], atol=1e-6)
    np.testing.assert_allclose(found.tasks["gender"], members[1].tasks["gender"], atol=1e-6)
    np.testing.assert_allclose(found.joint, task_product(found.tasks), atol=1e-6)
    assert equal_vote([["mask"], ["gender", "age_group"]]).weights == {
        "mask": (1.0, 0.0), "gender": (0.0, 1.0), "age_group": (0.0, 1.0)
    }  # fmt: skip
    with pytest.raises(ValidationError, match="nobody answers age_group"):
        equal_vote([["mask"], ["gender"]])


def test_a_hard_vote_counts_answers_and_means_part_ties() -> None:
    def sure_of(number: int, p: float) -> np.ndarray:
        row = np.full(NUM_CLASSES, (1 - p) / (NUM_CLASSES - 1))
        row[number] = p
        return row

    members = [
        Probabilities.of_joint(np.stack([sure_of(one, 0.3), sure_of(one, 0.3)]))
        for one in (4, 4, 9)
    ]
    members[2] = Probabilities.of_joint(np.stack([sure_of(9, 0.99), sure_of(9, 0.99)]))
    soft = count_votes(members, equal_vote([ALL] * 3))
    hard = count_votes(members, equal_vote([ALL] * 3, "hard"))
    assert soft.joint.argmax(axis=1).tolist() == [9, 9]
    assert hard.joint.argmax(axis=1).tolist() == [4, 4]
    assert hard.joint[0, 4] == pytest.approx(2 / 3, abs=1e-3)
    even = count_votes([members[0], members[2]], equal_vote([ALL] * 2, "hard"))
    assert even.joint.argmax(axis=1).tolist() == [9, 9]
    np.testing.assert_allclose(hard.joint.sum(axis=1), 1, atol=1e-5)


def test_a_stack_is_the_softmax_of_a_linear_model() -> None:
    members = [random_joint(5), random_joint(5)]
    features = stack_features(members)
    assert features.shape == (5, 16)
    np.testing.assert_allclose(features[:, 8:11], np.log(members[1].tasks["mask"]), rtol=1e-4)
    # the second member's mask alone, untouched
    models = {}
    for task, words in TASKS.items():
        rows = np.zeros((len(words), 16))
        start = 8 + sum(len(TASKS[before]) for before in ALL[: ALL.index(task)])
        rows[range(len(words)), start + np.arange(len(words))] = 1
        models[task] = StackedTask(weights=rows.tolist(), bias=[0.0] * len(words))
    vote = Vote(how="stack", weights=equal_vote([ALL] * 2).weights, stack=models)
    found = count_votes(members, vote)
    for task in TASKS:
        np.testing.assert_allclose(found.tasks[task], members[1].tasks[task], atol=1e-5)
    leaning = StackedTask(weights=models["mask"].weights, bias=[np.log(2), 0.0, 0.0])
    leant = count_votes(members, vote.model_copy(update={"stack": {**models, "mask": leaning}}))
    doubled = members[1].tasks["mask"] * [2, 1, 1]
    doubled /= doubled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(leant.tasks["mask"], doubled, atol=1e-5)
    short = {**models, "mask": StackedTask(weights=rows[:2].tolist(), bias=[0.0, 0.0])}
    with pytest.raises(ValidationError, match=r"the model of mask is \(2, 16\)"):
        Vote(how="stack", weights=vote.weights, stack=short)
    with pytest.raises(ValidationError, match="belong to how=stack"):
        Vote(how="stack", weights=vote.weights)


def test_ages_are_of_those_who_tell_them() -> None:
    members = [random_joint(3), random_joint(3)]
    told = np.array([20, 40, np.nan], dtype=np.float32)
    members[0] = Probabilities(members[0].joint, members[0].tasks, told)
    members[1] = Probabilities(members[1].joint, members[1].tasks, told[[1, 2, 2]])
    ages = count_votes(members, equal_vote([ALL] * 2)).ages
    np.testing.assert_allclose(ages, [30, 40, np.nan])
    weighed = Vote(weights=weights((1, 9), (1, 9), (3, 1)))  # type: ignore[arg-type]
    np.testing.assert_allclose(count_votes(members, weighed).ages, [25, 40, np.nan])


def test_an_ensemble_is_as_its_members_and_their_weights_are() -> None:
    def member(networks: int, ages: tuple[float, ...], width: int, *sources: str) -> Any:
        preprocess = Preprocess(height=96, width=width, mean=(0.5,) * 3, std=(0.5,) * 3)
        return SimpleNamespace(
            boundaries=(29, 60), mean_ages=ages, networks=networks,
            preprocesses={preprocess.frame_key: preprocess}, trained_on=frozenset(sources),
        )  # fmt: skip

    members = [member(1, (20, 40, 60), 96, "street"), member(3, (24, 44, 68), 96, "studio"),
               member(1, (1, 2, 3), 64, "street")]  # fmt: skip
    vote = Vote(weights=weights((1, 1, 1), (1, 1, 1), (3, 1, 0)))  # type: ignore[arg-type]
    both = EnsembleClassifier(members, vote, "val")
    assert both.mean_ages == (21, 41, 62)
    assert both.networks == 5
    assert both.boundaries == (29, 60)
    assert sorted(shape.width for shape in both.preprocesses.values()) == [64, 96]
    assert both.trained_on == {"street", "studio"}
    members[1].trained_on = None
    assert EnsembleClassifier(members, vote, "val").trained_on is None


def test_temperatures_make_tasks_less_sure_and_classes_follow() -> None:
    raw = Probabilities.of_tasks(random_tasks())
    decision = Decision(temperatures={"mask": 1.0, "gender": 2.0, "age_group": 0.5})
    found = decision.calibrated(raw)
    root = np.sqrt(raw.tasks["gender"])
    expected = root / root.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.tasks["gender"], expected, atol=1e-5)
    np.testing.assert_allclose(found.tasks["mask"], raw.tasks["mask"], atol=1e-6)
    # independent tasks stay so: classes are the product of the new tasks
    np.testing.assert_allclose(found.joint, task_product(found.tasks), atol=1e-5)
    assert (found.joint.argmax(axis=1) == raw.joint.argmax(axis=1)).all()


def test_other_shares_of_classes_move_probabilities() -> None:
    raw = random_joint()
    prior = np.ones(NUM_CLASSES)
    prior[7] = 5.0
    found = Decision(prior=tuple(prior)).calibrated(raw)
    expected = raw.joint[:, 7] * 5 / (1 + 4 * raw.joint[:, 7])
    np.testing.assert_allclose(found.joint[:, 7], expected, rtol=1e-4)
    np.testing.assert_allclose(found.tasks["mask"], task_sums(found.joint)["mask"], atol=1e-6)


def test_rules_factors_and_doubt() -> None:
    joint = np.zeros((1, NUM_CLASSES))
    # the likeliest class is wear male young, but wear, female and young are likelier words
    joint[0, [0, 3, 4, 10]] = [0.34, 0.3, 0.2, 0.16]
    found = Probabilities.of_joint(joint)
    assert Decision().classes(found).tolist() == [0]
    assert Decision(rule="tasks").classes(found).tolist() == [3]
    factors = np.ones(NUM_CLASSES)
    factors[4] = 2.0
    liked = Decision(factors=tuple(factors), unsure_below=0.25)
    assert liked.classes(found).tolist() == [4]
    assert liked.unsure(found).tolist() == [True]
    assert Decision(unsure_below=0.33).unsure(found).tolist() == [False]
    for wrong, message in (
        ({"factors": (1.0,) * 17}, "factors: expected 18 numbers, found 17"),
        ({"factors": tuple(factors), "rule": "tasks"}, "rule=joint"),
        ({"temperatures": {"mask": 1.0}}, "temperatures: expected"),
    ):
        with pytest.raises(ValidationError, match=message):
            Decision(**wrong)  # type: ignore[arg-type]
