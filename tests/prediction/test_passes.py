"""People in front of a camera: who is who, what is steady, who has passed."""

import pytest

from maskwise.prediction.passes import Watch
from maskwise.prediction.result import Prediction
from maskwise.transforms.preprocess import Box

WORDS = ("wear", "incorrect", "not_wear")


def face(x: float, state: str = "wear", share: float = 0.9, y: float = 100) -> Prediction:
    mask = {word: share if word == state else (1 - share) / 2 for word in WORDS}
    gender = {"male": 0.3, "female": 0.7}
    box: Box = (x, y, x + 100, y + 120)
    return Prediction("", mask=state, probabilities={"mask": mask, "gender": gender}, face=box)


def see(watch: Watch, *frames: list[Prediction], start: float = 0.0, step: float = 0.1) -> float:
    """Show frames; return the time of the next one."""
    for number, faces in enumerate(frames):
        watch.see(faces, start + number * step)
    return start + len(frames) * step


def test_a_person_is_told_once_steady_and_passes_once() -> None:
    watch = Watch()
    for number in range(8):
        assert watch.see([face(10 * number)], number / 10) == []
        (person,) = watch.people
        assert (person.number, person.frames) == (1, number + 1)
        assert person.state == ("wear" if number >= 4 else None)  # after .4 seconds
    assert watch.see([], 1.0) == []
    assert watch.people == []
    assert watch.see([], 1.69) == []
    (passed,) = watch.see([], 1.71)
    assert (passed.number, passed.state, passed.frames) == (1, "wear", 8)
    assert passed.probability == pytest.approx(0.9)
    assert (passed.began, passed.ended) == (0, 0.7)
    assert passed.box == (70, 100, 170, 220)
    assert watch.see([], 9) == []
    assert watch.counts == {"wear": 1, "incorrect": 0, "not_wear": 0}


def test_a_flickering_answer_does_not_flicker() -> None:
    watch = Watch()
    at = see(watch, *[[face(0)]] * 6)
    for number in range(30):
        state = "incorrect" if number % 3 == 0 else "wear"
        watch.see([face(0, state)], at + number / 10)
        assert watch.people[0].state == "wear"


def test_one_at_the_edge_keeps_the_first_state() -> None:
    watch = Watch()
    at = see(watch, *[[face(0, "wear", 0.55)]] * 6)
    for number in range(40):
        state = "incorrect" if number // 5 % 2 else "wear"  # half a second each
        watch.see([face(0, state, 0.52)], at + number / 10)
        assert watch.people[0].state == "wear"


def test_a_lasting_change_is_told_within_a_second() -> None:
    watch = Watch()
    at = see(watch, *[[face(0)]] * 10)
    states = []
    for number in range(12):
        watch.see([face(0, "not_wear")], at + number / 10)
        states.append(watch.people[0].state)
    assert states[0] == "wear"
    assert states[8] == "not_wear"
    assert states == sorted(states, reverse=True)  # it changed once
    assert sum(watch.people[0].shares["mask"].values()) == pytest.approx(1)


def test_the_answer_does_not_depend_on_the_rate_of_frames() -> None:
    shares = []
    for step in (0.02, 0.1, 0.25):
        watch = Watch()
        at = see(watch, *[[face(0)]] * round(2 / step), step=step)
        see(watch, *[[face(0, "not_wear")]] * round(0.5 / step), start=at, step=step)
        shares.append(watch.people[0].shares["mask"]["not_wear"])
    assert max(shares) - min(shares) < 0.06


def test_two_people_who_cross_keep_their_places_and_states() -> None:
    watch = Watch()
    for number in range(20):
        watch.see([face(400 - 10 * number, "not_wear", y=300), face(10 * number)], number / 10)
    states = {person.number: person.state for person in watch.people}
    assert states == {1: "not_wear", 2: "wear"}


def test_one_who_walks_fast_by_a_slow_camera_is_the_same() -> None:
    watch = Watch()
    see(watch, *[[face(95 * number)] for number in range(5)], step=0.3)  # boxes hardly meet
    assert [person.number for person in watch.people] == [1]


def test_one_who_turns_away_for_a_moment_is_the_same() -> None:
    watch = Watch()
    at = see(watch, *[[face(0)]] * 6)
    see(watch, [], [], [], [face(20)], start=at)
    assert [(p.number, p.state) for p in watch.people] == [(1, "wear")]


def test_nobody_is_carried_over_a_pause() -> None:
    watch = Watch()
    see(watch, *[[face(100)]] * 10)
    (passed,) = watch.see([face(100, "not_wear")], 31)
    assert (passed.state, passed.ended) == ("wear", pytest.approx(0.9))
    assert [person.number for person in watch.people] == [2]
    assert watch.people[0].state is None
    see(watch, *[[face(100, "not_wear")]] * 10, start=31.1)
    watch.end()
    assert watch.counts == {"wear": 1, "incorrect": 0, "not_wear": 1}


def test_a_camera_of_a_frame_every_other_second_has_passes() -> None:
    watch = Watch()
    see(watch, *[[face(100)]] * 8, step=2.0)
    assert [person.state for person in watch.people] == ["wear"]
    see(watch, *[[]] * 3, start=16, step=2.0)
    assert watch.counts["wear"] == 1


def test_a_clock_that_falls_back_ends_nothing() -> None:
    watch = Watch()
    see(watch, *[[face(100)]] * 10, start=1000)
    watch.see([face(100, "not_wear")], 600)
    shares = watch.people[0].shares["mask"]
    assert all(0 <= share <= 1 for share in shares.values())


def test_a_glimpse_is_no_pass() -> None:
    watch = Watch()
    see(watch, [face(0)], [face(0)])
    assert watch.see([], 5) == []
    assert watch.end() == []
    assert sum(watch.counts.values()) == 0


def test_those_in_sight_at_the_end_have_passed() -> None:
    watch = Watch()
    at = see(watch, *[[face(0), face(500, "incorrect")]] * 6)
    see(watch, [face(0)], start=at)
    passes = sorted((passed.number, passed.state) for passed in watch.end())
    assert passes == [(1, "wear"), (2, "incorrect")]
    assert watch.end() == []


def test_the_likely_word_of_other_tasks() -> None:
    watch = Watch()
    see(watch, *[[face(0)]] * 3)
    assert watch.people[0].word("gender") == "female"
