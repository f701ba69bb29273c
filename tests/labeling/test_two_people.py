"""Two people decide about the same photos, and how well they agree."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labels_made import decision, opened
from maskwise.labeling.decisions import decide, undo
from maskwise.labeling.progress import agreement, kappa, progress
from maskwise.labeling.queue import count_photos, next_photos, photo_detail
from maskwise.labeling.records import Filters
from maskwise.labeling.store import Store


@pytest.fixture
def store(manifest: Path) -> Iterator[Store]:
    store, _ = opened(manifest)
    with store:
        yield store


def test_a_second_person_is_asked_without_seeing_what_the_first_said(store: Store) -> None:
    decide(store, "ann", [decision(4, "label", mask="not_wear")], twice=True)
    assert count_photos(store, "ann", Filters(), twice=True) == 36
    assert count_photos(store, "bob", Filters(), twice=True) == 37
    shown = next_photos(store, "bob", Filters(), twice=True)[0]
    assert (shown["id"], shown["labels"]["mask"], shown["state"]) == (4, "wear", "open")
    assert shown["history"] == []
    assert photo_detail(store, 4, "ann", twice=True)["labels"]["mask"] == "not_wear"


def test_who_took_the_second_opinion_back_is_asked_again(store: Store) -> None:
    decide(store, "ann", [decision(4, "label", mask="not_wear")], twice=True)
    decide(store, "bob", [decision(4, "label", 1, mask="not_wear")], twice=True)
    assert count_photos(store, "bob", Filters(), twice=True) == 36
    undo(store, "bob")
    assert count_photos(store, "bob", Filters(), twice=True) == 37
    shown = photo_detail(store, 4, "bob", twice=True)
    assert (shown["labels"]["mask"], shown["state"], shown["history"]) == ("wear", "open", [])
    after = decide(store, "bob", [decision(4, "label", 3, mask="incorrect")], twice=True)
    assert [photo["state"] for photo in after] == ["disputed"]


def test_two_who_agree_settle_a_photo_and_two_who_do_not_dispute_it(store: Store) -> None:
    both = [decision(1, "label", mask="incorrect"), decision(2, "label", mask="wear"),
            decision(3, "delete")]  # fmt: skip
    decide(store, "ann", both, twice=True)
    others = [decision(1, "label", 1, mask="incorrect"), decision(2, "accept", 1),
              decision(3, "accept", 1)]  # fmt: skip
    after = decide(store, "bob", others, twice=True)
    assert [(photo["state"], photo["mask"]) for photo in after] == [
        ("done", "incorrect"), ("disputed", "wear"), ("disputed", "not_wear")
    ]  # fmt: skip
    assert count_photos(store, "bob", Filters(), twice=True) == 34
    assert count_photos(store, "cat", Filters(), twice=True) == 34  # two have seen the first three
    settled = decide(store, "cat", [decision(2, "label", 2, mask="not_wear")], twice=True)
    assert (settled[0]["state"], settled[0]["mask"]) == ("done", "not_wear")


def test_other_photos_of_the_person_tell_nothing_either(store: Store) -> None:
    with store.writing() as connection:
        connection.execute("UPDATE photos SET person = 'p' WHERE id IN (4, 5)")
    decide(store, "ann", [decision(5, "label", gender="male")], twice=True)
    shown = photo_detail(store, 4, "bob", twice=True)
    (other,) = shown["related"]
    assert (other["id"], other["labels"]["gender"], other["state"]) == (5, "female", "open")
    mine = photo_detail(store, 4, "ann", twice=True)["related"][0]
    assert (mine["labels"]["gender"], mine["state"]) == ("male", "done")


def test_who_settles_a_dispute_sees_what_both_said_and_makes_nobody_agree(store: Store) -> None:
    for photo in (1, 2):
        decide(store, "ann", [decision(photo, "label", mask="wear")], twice=True)
        decide(store, "bob", [decision(photo, "label", 1, mask="incorrect")], twice=True)
    said = photo_detail(store, 1, "ann", twice=True)["history"]
    assert [(each["who"], each["labels"]["mask"]) for each in said] == [
        ("ann", "wear"), ("bob", "incorrect")
    ]  # fmt: skip
    before = agreement(store)
    decide(store, "ann", [decision(1, "label", 2, mask="incorrect")], twice=True)
    assert agreement(store) == before
    assert before[0]["same"] == 0


def test_a_photo_that_was_put_off_is_still_asked_of_two(store: Store) -> None:
    decide(store, "ann", [decision(1, "skip")], twice=True)
    decide(store, "bob", [decision(1, "accept", 1)], twice=True)
    assert count_photos(store, "ann", Filters(), twice=True) == 37
    assert count_photos(store, "bob", Filters(), twice=True) == 36


def test_what_one_puts_off_or_calls_wrong_another_settles(store: Store) -> None:
    decide(store, "ann", [decision(1, "skip"), decision(2, "wrong")], twice=True)
    after = decide(
        store, "bob", [decision(1, "accept", 1), decision(2, "label", 1, mask="wear")], twice=True
    )
    assert [photo["state"] for photo in after] == ["done", "done"]


def test_agreement_counts_what_each_said_last(store: Store) -> None:
    for photo in range(1, 9):
        decide(store, "ann", [decision(photo)], twice=True)
        word = "wear" if photo in (2, 3) else None
        second = decision(photo, "label", 1, mask=word) if word else decision(photo, "accept", 1)
        decide(store, "bob", [second], twice=True)
    decide(store, "ann", [decision(9)])
    found = {each["task"]: each for each in agreement(store)}
    assert set(found) == {"mask", "gender", "age_group"}
    # ann: 3 wear, 3 incorrect, 2 not_wear; bob calls an incorrect and a not_wear wear
    assert (found["mask"]["photos"], found["mask"]["same"]) == (8, 0.75)
    assert found["mask"]["kappa"] == pytest.approx((0.75 - 23 / 64) / (1 - 23 / 64), abs=1e-4)
    assert (found["gender"]["same"], found["gender"]["kappa"]) == (1, 1)
    undo(store, "bob")
    assert {each["photos"] for each in agreement(store)} == {7}


def test_kappa_of_worked_cases() -> None:
    words = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    assert kappa(words) == 0.4  # Cohen's own example of two by two: .7 against .5 by chance
    assert kappa([("a", "a")] * 3) is None
    assert kappa([("a", "b"), ("b", "a")]) == -1


def test_progress_counts_states_people_and_speed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(["10:00:00", "10:00:02", "10:00:04", "10:30:00", "10:30:02"])
    real = store.connection

    class Clock:
        @staticmethod
        def now(_: object) -> object:
            from datetime import datetime

            return datetime.fromisoformat(f"2026-01-02T{next(times)}+00:00")

    monkeypatch.setattr("maskwise.labeling.decisions.datetime", Clock)
    for photo, action in ((1, "accept"), (2, "wrong"), (3, "skip"), (4, "delete")):
        decide(store, "ann", [decision(photo, action)])  # type: ignore[arg-type]
    undo(store, "ann")
    assert real is store.connection
    found = progress(store)
    assert found["photos"] == 37
    assert found["states"] == {"open": 34, "done": 1, "wrong": 1, "skipped": 1, "deleted": 0,
                               "disputed": 0}  # fmt: skip
    # the pause of half an hour is no work: 3 gaps of 2 seconds
    assert found["people"] == [{"who": "ann", "decisions": 3, "a_minute": 30.0}]
