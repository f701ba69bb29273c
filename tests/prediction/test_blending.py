"""Weights are found where they should be, and on people that they are not scored on."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from maskwise.errors import SettingsError
from maskwise.labels import NUM_CLASSES, TASKS, decode_class
from maskwise.models.probabilities import Probabilities
from maskwise.models.votes import Vote, count_votes, equal_vote, stack_features
from maskwise.prediction.blending import Known, crossed_answers, diversity, find_vote, score

COUNT = 900


def known(noises: tuple[float, ...] = (1.0, 1.5, 6.0), seed: int = 0) -> Known:
    """Members who see the truth through independent noise of several strengths."""
    random = np.random.default_rng(seed)
    truth = random.integers(NUM_CLASSES, size=COUNT)
    sight = 3 * np.eye(NUM_CLASSES)[truth]
    members = []
    for noise in noises:
        scores = (sight + noise * random.normal(size=sight.shape)) / noise
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        members.append(Probabilities.of_joint(shares / shares.sum(axis=1, keepdims=True)))
    people = np.arange(COUNT) // 3
    return Known(members, [tuple(TASKS)] * len(noises), decode_class(truth), people)


def sharp(joint: np.ndarray) -> np.ndarray:
    """Return surer probabilities: members that err alone gain by a mean."""
    powered = joint.astype(np.float64) ** 3
    return powered / powered.sum(axis=1, keepdims=True)


def test_the_score_is_macro_f1_over_all_photos() -> None:
    data = known()
    expected = f1_score(data.truth, data.members[0].joint.argmax(axis=1), average="macro")
    assert score(data.members[0], data.truth) == pytest.approx(expected)


def test_least_loss_weighs_the_better_member_more_and_beats_its_neighbours() -> None:
    data = known((1.0, 1.1, 6.0))
    sharper = [Probabilities.of_joint(sharp(m.joint)) for m in data.members]
    data = Known(sharper, data.answered, data.codes, data.people)
    vote = find_vote(data, "soft", "loss")
    shares = vote.shares("mask")
    assert shares[0] > shares[1] > 0.2 > shares[2]

    def loss(weights: np.ndarray) -> float:
        mean = np.einsum("m,mnc->nc", weights, np.stack([m.joint for m in data.members]))
        return float(-np.log(mean[np.arange(COUNT), data.truth]).mean())

    for step in (
        np.array([0.05, -0.05, 0]),
        np.array([-0.05, 0.05, 0]),
        np.array([0, 0.02, -0.02]),
    ):
        moved = (shares + step).clip(min=0)
        assert loss(shares) < loss(moved / moved.sum())


def test_tasks_have_weights_of_their_own() -> None:
    data = known((1.0, 1.0))
    good, other = data.members
    # the first is blind to gender, the second to the mask
    first = Probabilities.of_tasks({**good.tasks, "gender": np.full((COUNT, 2), 0.5, np.float32)})
    second = Probabilities.of_tasks({**other.tasks, "mask": np.full((COUNT, 3), 1 / 3, np.float32)})
    data = Known([first, second], data.answered, data.codes, data.people)
    vote = find_vote(data, "soft", "tasks")
    assert vote.shares("gender")[1] > 0.95
    assert vote.shares("mask")[0] > 0.95
    assert 0.2 < vote.shares("age_group")[0] < 0.8
    partly = Known([first, second], [["mask", "age_group"], tuple(TASKS)], data.codes, data.people)
    assert find_vote(partly, "soft", "tasks").weights["gender"] == (0.0, 1.0)
    with pytest.raises(SettingsError, match="members that answer all tasks"):
        find_vote(partly, "soft", "greedy")


def test_greedy_selection_is_no_worse_than_its_best_member_and_leaves_noise_out() -> None:
    data = known((1.2, 1.2, 50.0))
    vote = find_vote(data, "soft", "greedy")
    whole = score(count_votes(data.members, vote), data.truth)
    assert whole >= max(score(member, data.truth) for member in data.members)
    assert vote.shares("mask")[2] < 0.2
    # of the votes of a few rounds, found by trying all
    tried = [
        score(count_votes(data.members, Vote(weights=dict.fromkeys(TASKS, (a, b, c)))), data.truth)
        for a in range(3) for b in range(3) for c in range(2) if a + b + c
    ]  # fmt: skip
    assert whole >= max(tried) - 0.01


def test_greedy_selection_ends_with_its_best_round() -> None:
    data = known((1.2, 1.3, 1.4))
    total, rounds = np.zeros((COUNT, NUM_CLASSES)), []
    for _ in range(30):
        tried = [
            f1_score(data.truth, (total + member.joint).argmax(axis=1), average="macro")
            for member in data.members
        ]
        total += data.members[int(np.argmax(tried))].joint
        rounds.append(max(tried))
    assert rounds[-1] < max(rounds)
    found = count_votes(data.members, find_vote(data, "soft", "greedy"))
    assert score(found, data.truth) == pytest.approx(max(rounds))


def test_a_stack_equals_scikit_learn() -> None:
    data = known()
    vote = find_vote(data, "stack", "equal")
    found = count_votes(data.members, vote)
    features = stack_features(data.members)
    for task in TASKS:
        model = LogisticRegression(C=0.1, max_iter=2000).fit(features, data.codes[task])
        np.testing.assert_allclose(found.tasks[task], model.predict_proba(features), atol=1e-4)
    missing = Known(data.members, data.answered,
                    {**data.codes, "gender": np.zeros(COUNT, np.int64)}, data.people)  # fmt: skip
    with pytest.raises(SettingsError, match="there are none of female"):
        find_vote(missing, "stack", "equal")


def test_a_crossed_score_sees_through_what_fits_by_chance() -> None:
    random = np.random.default_rng(1)
    data = known((2.0,) * 2)
    rows = random.dirichlet(np.full(NUM_CLASSES, 0.05), COUNT)
    data = Known([Probabilities.of_joint(rows)] * 2, data.answered, data.codes, data.people)
    seen: list[np.ndarray] = []

    def memory(part: Known) -> Vote:
        seen.append(part.people)
        return equal_vote(part.answered)

    crossed_answers(data, memory)
    assert len(seen) == 5
    for people in seen:  # nobody is on both sides
        assert len(set(people)) < 300
    counted = sum(300 - len(set(people)) for people in seen)
    assert counted == 300
    real = known()
    same = crossed_answers(real, lambda part: equal_vote(part.answered))
    whole = count_votes(real.members, equal_vote(real.answered))
    np.testing.assert_allclose(same.joint, whole.joint, atol=1e-6)
    np.testing.assert_allclose(same.tasks["mask"], whole.tasks["mask"], atol=1e-6)


def test_diversity_of_a_worked_case() -> None:
    truth = np.array([0, 0, 0, 0])
    answers = {"a": [0, 0, 1, 1], "b": [0, 1, 0, 2], "c": [0, 0, 1, 1]}
    members = [Probabilities.of_joint(np.eye(NUM_CLASSES)[row]) for row in answers.values()]
    data = Known(members, [tuple(TASKS)] * 3, decode_class(truth), np.arange(4))
    first, second, _ = diversity(data, list(answers))
    assert (first["first"], first["second"]) == ("a", "b")
    assert first["disagreement"] == 0.75
    assert first["both_wrong"] == 0.25
    assert first["correlation"] == pytest.approx(0)
    assert (second["disagreement"], second["correlation"]) == (0, pytest.approx(1))
