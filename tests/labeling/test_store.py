"""The database behind the labelling page: what is decided is kept, and by whom."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from conftest import read_rows
from labels_made import decision, opened
from maskwise.data.corrections import apply_corrections
from maskwise.errors import StorageError
from maskwise.labeling.decisions import decide, undo
from maskwise.labeling.export import corrections
from maskwise.labeling.queue import count_photos, next_photos, photo_detail
from maskwise.labeling.records import Filters, StaleError, WrongDecisionError
from maskwise.labeling.schema import database_error
from maskwise.labeling.store import Store

Opened = tuple[Store, pl.DataFrame]


@pytest.fixture
def made(manifest: Path) -> Iterator[Opened]:
    store, frame = opened(manifest)
    with store:
        yield store, frame


def events(store: Store) -> list[dict[str, object]]:
    return [dict(row) for row in store.connection.execute("SELECT * FROM events ORDER BY id")]


def test_photos_come_by_score_then_in_order_and_nobody_gets_one_that_is_held(made: Opened) -> None:
    store, _ = made
    first = next_photos(store, "ann", Filters(), count=2)
    assert [photo["id"] for photo in first] == [4, 6]  # rows 3 and 5, the swap
    assert [photo["id"] for photo in next_photos(store, "bob", Filters(), count=2)] == [8, 1]
    cursor = (first[-1]["score"], first[-1]["id"])
    later = next_photos(store, "ann", Filters(), cursor, count=1)
    assert later[0]["id"] == 2  # 8 and 1 are bob's
    store.connection.execute("UPDATE holds SET until = 0")
    assert next_photos(store, "ann", Filters(), cursor, count=1)[0]["id"] == 8


def test_what_is_shown_of_a_photo(made: Opened) -> None:
    store, frame = made
    shown = photo_detail(store, 4, "ann")
    assert shown["name"] == frame["photo"][3]
    assert [(each["kind"], each["fixes"], each["others"]) for each in shown["findings"]] == [
        ("swap", {"mask": "not_wear"}, [{"id": 6, "version": 0, "fixes": {"mask": "wear"}}]),
        ("blurred", {}, []),
    ]  # fmt: skip
    assert shown["labels"] == {"mask": "wear", "gender": "female", "age_group": "young", "age": 22}
    with pytest.raises(WrongDecisionError, match="no photo 99"):
        photo_detail(store, 99, "ann")


def test_a_decision_is_an_event_and_changes_what_it_says(made: Opened) -> None:
    store, _ = made
    after = decide(store, "ann", [decision(4, "label", mask="not_wear")])[0]
    assert (after["mask"], after["state"], after["version"]) == ("not_wear", "done", 1)
    assert after["old_mask"] == "wear"
    event = events(store)[0]
    assert (event["who"], event["action"], event["photo"], event["version"]) == (
        "ann",
        "label",
        4,
        1,
    )
    assert event["changes"] == '{"mask": ["wear", "not_wear"], "state": ["open", "done"]}'
    for action, state in (("accept", "done"), ("wrong", "wrong"), ("skip", "skipped"),
                          ("delete", "deleted")):  # fmt: skip
        number = len(events(store)) + 9
        assert decide(store, "ann", [decision(number, action)])[0]["state"] == state


@pytest.mark.parametrize("statement", ["UPDATE events SET who = 'x'", "DELETE FROM events"])
def test_events_are_never_changed(made: Opened, statement: str) -> None:
    store, _ = made
    decide(store, "ann", [decision(1)])
    with pytest.raises(sqlite3.IntegrityError, match="events stay"):
        store.connection.execute(statement)


def test_the_slower_of_two_is_told_and_changes_nothing(made: Opened) -> None:
    store, _ = made
    decide(store, "ann", [decision(4, "label", mask="incorrect")])
    with pytest.raises(StaleError) as stale:
        decide(store, "bob", [decision(5), decision(4, "label", mask="not_wear")])
    assert stale.value.photo["mask"] == "incorrect"
    assert len(events(store)) == 1  # of bob's two, none
    decide(store, "bob", [decision(4, "label", 1, mask="not_wear")])
    assert photo_detail(store, 4, "x")["labels"]["mask"] == "not_wear"


def test_ages_and_their_groups_stay_together(made: Opened) -> None:
    store, _ = made  # photo 1 is 22, young
    assert _labels(store, 1, 0, age_group="old") == ("old", None)
    assert _labels(store, 1, 1, age=61) == ("old", 61)
    assert _labels(store, 1, 2, age_group="old") == ("old", 61)
    assert _labels(store, 1, 3, age=None, age_group="middle") == ("middle", None)
    with pytest.raises(WrongDecisionError, match="age 61 is old, not young"):
        decide(store, "ann", [decision(1, "label", 4, age=61, age_group="young")])


def _labels(store: Store, photo: int, version: int, **labels: object) -> tuple[object, object]:
    after = decide(store, "ann", [decision(photo, "label", version, **labels)])[0]
    return after["age_group"], after["age"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"mask": "worn"}, "mask is 'worn'; expected wear"),
        ({"age": 121}, "age 121 is no whole number from 0 to 120"),
        ({"age": True}, "age True is no whole"),
        ({"age": "22"}, "age '22' is no whole"),
        ({"colour": "red"}, "no label 'colour'"),
    ],
)
def test_labels_that_are_none_are_refused(
    made: Opened, labels: dict[str, object], message: str
) -> None:
    store, _ = made
    with pytest.raises(WrongDecisionError, match=message):
        decide(store, "ann", [decision(1, "label", **labels)])
    assert events(store) == []


def test_an_undo_takes_the_last_decision_back_with_all_its_photos(made: Opened) -> None:
    store, _ = made
    decide(store, "ann", [decision(1, "delete")])
    decide(store, "ann", [decision(number, "label", gender="female") for number in (2, 3)])
    decide(store, "bob", [decision(4)])
    back = undo(store, "ann")
    assert [(photo["id"], photo["gender"], photo["state"]) for photo in back] == [
        (2, "male", "open"), (3, "male", "open")
    ]  # fmt: skip
    assert undo(store, "ann")[0]["state"] == "open"
    with pytest.raises(WrongDecisionError, match="nothing to take back"):
        undo(store, "ann")
    assert [event["action"] for event in events(store)] == [
        "delete", "label", "label", "accept", "undo", "undo", "undo"
    ]  # fmt: skip


def test_nobody_takes_back_what_another_has_decided_since(made: Opened) -> None:
    store, _ = made
    decide(store, "ann", [decision(1, "label", mask="incorrect")])
    decide(store, "bob", [decision(1, "label", 1, mask="not_wear")])
    with pytest.raises(StaleError):
        undo(store, "ann")


def test_filters_leave_what_they_say(made: Opened) -> None:
    store, _ = made
    decide(store, "ann", [decision(4, "wrong"), decision(5, "skip")])
    wanted = {
        Filters(): 35, Filters(state="all"): 37, Filters(state="wrong"): 1, Filters(found=True): 2,
        Filters(kind="swap", state="all"): 2, Filters(task="mask", word="wear", state="all"): 13,
        Filters(person="p7"): 1, Filters(task="gender", word=""): 0,
    }  # fmt: skip
    for filters, count in wanted.items():
        assert count_photos(store, "ann", filters) == count, filters
        assert len(next_photos(store, "ann", filters, count=99)) == count
    for filters in (Filters(state="x"), Filters(task="x; DROP TABLE photos")):
        with pytest.raises(WrongDecisionError, match="expected"):
            count_photos(store, "ann", filters)


def test_corrections_are_the_last_of_settled_decisions_and_can_be_applied(made: Opened) -> None:
    store, frame = made
    decide(store, "ann", [decision(4, "label", mask="incorrect")])
    decide(store, "bob", [decision(4, "label", 1, mask="not_wear")])
    decide(store, "ann", [decision(1, "label", age_group="old"), decision(2, "delete"),
                          decision(3, "wrong"), decision(5, "label", mask="wear")])  # fmt: skip
    decide(store, "ann", [decision(5, "label", 1, mask=frame["mask"][4])])  # as it was
    found = corrections(store, Path("/"))
    assert [(each.field, each.before, each.after, each.who) for each in found] == [
        ("age_group", "young", "old", "ann"), ("age", "22", "", "ann"),
        ("photo", frame["photo"][1], "", "ann"), ("mask", "wear", "not_wear", "bob"),
    ]  # fmt: skip
    applied = apply_corrections(frame, found, Path("/"))
    assert (applied.changed, applied.removed) == (2, 1)


def test_a_database_goes_on_where_it_was(manifest: Path) -> None:
    store, _ = opened(manifest)
    decide(store, "ann", [decision(4, "label", mask="not_wear")])
    store.connection.close()
    again, _ = opened(manifest)
    assert photo_detail(again, 4, "x")["labels"]["mask"] == "not_wear"
    assert count_photos(again, "x", Filters()) == 36


def test_a_manifest_that_was_edited_is_followed_and_decisions_stay(manifest: Path) -> None:
    store, _ = opened(manifest)
    decide(store, "ann", [decision(1, "label", mask="not_wear"), decision(2, "label", mask="wear")])
    store.connection.close()
    rows = read_rows(manifest)
    mask = rows["mask"].to_list()
    mask[0], mask[1], mask[2] = "incorrect", "wear", "incorrect"  # as no one, as ann, untouched
    new = rows[:1].with_columns(photo=pl.lit("photos/new.png"), person=pl.lit("new"))
    pl.concat([rows.with_columns(mask=pl.Series(mask))[:-1], new]).write_csv(manifest)
    from maskwise.data.manifest import read_manifest

    with Store(store.path) as again:
        followed = again.follow(read_manifest(manifest, check_photos=False))
        assert (followed.added, followed.gone, followed.edited) == (1, 1, 1)
        assert [Path(name).name for name in followed.disputed] == ["000.png"]
        assert photo_detail(again, 1, "x")["labels"]["mask"] == "not_wear"
        assert photo_detail(again, 1, "x")["state"] == "disputed"
        assert photo_detail(again, 2, "x")["state"] == "done"
        assert photo_detail(again, 3, "x")["labels"]["mask"] == "incorrect"
        assert [each.field for each in corrections(again, manifest.parent)] == []
        assert again.follow(read_manifest(manifest, check_photos=False)).edited == 0


def test_edits_and_decisions_about_other_labels_are_both_kept(manifest: Path) -> None:
    store, frame = opened(manifest)
    with store:
        decide(store, "ann", [decision(1, "label", mask="not_wear"), decision(2, "delete"),
                              decision(3, "label", age_group="old")])  # fmt: skip
        edited = [25 if row < 3 else age for row, age in enumerate(frame["age"])]
        followed = store.follow(frame.with_columns(age=pl.Series(edited, dtype=frame["age"].dtype)))
        assert [Path(name).name for name in followed.disputed] == ["002.png"]  # 25 is not old
        assert followed.edited == 2
        first, second = photo_detail(store, 1, "x"), photo_detail(store, 2, "x")
        assert (first["labels"]["mask"], first["labels"]["age"]) == ("not_wear", 25)
        assert (first["state"], second["state"], second["labels"]["age"]) == ("done", "deleted", 25)


def test_labels_that_an_edit_changed_are_not_accepted_unseen(manifest: Path) -> None:
    store, frame = opened(manifest)
    with store:
        masks = ["incorrect", *frame["mask"][1:]]
        store.follow(frame.with_columns(mask=pl.Series(masks)))
        with pytest.raises(StaleError):
            decide(store, "ann", [decision(1), decision(2)])
        after = decide(store, "ann", [decision(1, version=1), decision(2)])
        assert [photo["mask"] for photo in after] == ["incorrect", frame["mask"][1]]
        back = undo(store, "ann")
        assert [photo["mask"] for photo in back] == ["incorrect", frame["mask"][1]]


def test_what_is_left_when_all_is_taken_back_is_what_the_manifest_says(manifest: Path) -> None:
    store, frame = opened(manifest)
    with store:
        decide(store, "ann", [decision(1, "label", mask="not_wear")])
        store.follow(frame.with_columns(mask=pl.Series(["incorrect", *frame["mask"][1:]])))
        (back,) = undo(store, "ann")
        assert (back["mask"], back["state"]) == ("incorrect", "open")
        assert corrections(store, manifest.parent) == []


def test_several_decisions_about_a_photo_are_taken_back_one_by_one(made: Opened) -> None:
    store, _ = made
    decide(store, "ann", [decision(4, "label", mask="incorrect")])
    decide(store, "ann", [decision(4, "label", 1, mask="not_wear"), decision(5)])
    assert undo(store, "ann")[0]["mask"] == "incorrect"
    assert [photo["mask"] for photo in undo(store, "ann")] == ["wear"]
    with pytest.raises(WrongDecisionError, match="nothing to take back"):
        undo(store, "ann")


def test_decisions_move_with_the_folder_of_the_manifest(manifest: Path) -> None:
    folder = manifest.parent.parent
    store, frame = opened(manifest)
    with store:
        store.follow(frame, manifest.parent)
        decide(store, "ann", [decision(1, "label", mask="not_wear")])
    moved = manifest.parent.rename(folder / "moved")
    names = [str(moved / Path(name).relative_to(manifest.parent)) for name in frame["photo"]]
    with Store(moved / store.path.name) as again:
        followed = again.follow(frame.with_columns(photo=pl.Series(names)), moved)
        assert (followed.added, followed.gone, followed.edited) == (0, 0, 0)
        assert photo_detail(again, 1, "x")["labels"]["mask"] == "not_wear"
        assert photo_detail(again, 1, "x")["name"] == names[0]


def test_nothing_is_saved_to_a_file_that_was_taken_away(made: Opened) -> None:
    store, _ = made
    away = store.path.rename(store.path.with_name("away.db"))
    with pytest.raises(StorageError, match="taken away or replaced"):
        decide(store, "ann", [decision(1)])
    away.rename(store.path)
    decide(store, "ann", [decision(1)])
    assert len(events(store)) == 1


def test_a_damaged_or_foreign_file_is_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    path.write_bytes(b"SQLite format 3\0" + b"rubbish" * 400)
    with pytest.raises(StorageError, match=r"damaged .*recover"):
        Store(path)
    assert path.read_bytes().endswith(b"rubbish")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    with pytest.raises(StorageError, match="no database of this version"):
        Store(other)
    with pytest.raises(StorageError, match="cannot use"):
        Store(tmp_path)


def test_a_locked_file_is_said_and_nothing_is_half_written(made: Opened) -> None:
    store, _ = made
    store.connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked by another program"):
        decide(store, "ann", [decision(1)])
    other.execute("ROLLBACK")
    other.close()
    decide(store, "ann", [decision(1)])
    assert len(events(store)) == 1


def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite calls it an I/O error, where it cannot grow its log."""
    failed = sqlite3.OperationalError("disk I/O error")
    assert "disk I/O error" in str(database_error(tmp_path / "labels.db", failed))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    for error in (failed, sqlite3.OperationalError("database or disk is full")):
        said = str(database_error(tmp_path / "labels.db", error))
        assert "labels.db: the disk is full; free some space" in said
