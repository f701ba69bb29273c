"""Splits: people stay whole, strata stay balanced, old rows keep their fold, leaks are found."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from maskwise.data import duplicates
from maskwise.data.drawn.people import plan_person
from maskwise.data.drawn.photos import plan_photo
from maskwise.data.drawn.scene import draw_person
from maskwise.data.duplicates import Twin, find_twins, fingerprint_photos
from maskwise.data.joined import joined_people
from maskwise.data.manifest import manifest_from_rows
from maskwise.data.split import check_leaks, join_people, split_manifest, twins_table
from maskwise.errors import LeakError, ManifestError, SettingsError
from maskwise.labels import MaskState


def people_frame(count: int, photos: int = 3, start: int = 0, seed: int = 0) -> pl.DataFrame:
    """Return a manifest of people with random gender and age, some labels unknown."""
    rows = []
    for number in range(start, start + count):
        draw = np.random.default_rng([seed, number])
        labels = {
            "gender": ("male", "female", None)[draw.choice(3, p=[0.5, 0.4, 0.1])],
            "age": int(draw.integers(18, 80)) if draw.random() < 0.9 else None,
            "source": "one" if number % 3 else "two",
        }
        rows += [
            {"photo": f"/p/{number}-{photo}.jpg", "person": f"{number:06d}", **labels}
            for photo in range(photos)
        ]
    return manifest_from_rows(rows)


def fold_of_person(frame: pl.DataFrame) -> dict[str, str]:
    folds = frame.group_by("person").agg(pl.col("fold").unique())
    assert (folds["fold"].list.len() == 1).all()
    return {person: fold[0] for person, fold in folds.iter_rows()}


def strata(frame: pl.DataFrame) -> list[Counter[str]]:
    """Return for each stratum how many people stand in each fold."""
    people = frame.unique("person", maintain_order=True)
    groups = people.group_by("source", "gender", "age_group").agg("fold")
    return [Counter(folds) for folds in groups["fold"].to_list()]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("share", "val", "block"), [(0.2, 1, 5), (0.15, 3, 20), (0.5, 1, 2), (0.25, 1, 4)]
)
def test_holdout_is_balanced_to_one_block(share: float, val: int, block: int, seed: int) -> None:
    frame = split_manifest(people_frame(300), val_share=share, seed=seed)
    assert set(fold_of_person(frame).values()) == {"train", "val"}
    for counts in strata(frame):
        blocks, rest = divmod(counts.total(), block)
        assert blocks * val <= counts["val"] <= blocks * val + min(rest, val)
        assert blocks * (block - val) <= counts["train"]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_balanced_to_one_person_per_stratum(folds: int) -> None:
    frame = split_manifest(people_frame(300), folds=folds)
    names = [str(fold) for fold in range(folds)]
    assert sorted(set(fold_of_person(frame).values())) == names
    for counts in strata(frame):
        each = [counts[name] for name in names]
        assert max(each) - min(each) <= 1


def test_mask_folders_are_balanced_by_mask() -> None:
    rows = [
        {"photo": f"/{mask}/{n}.jpg", "person": f"{mask}{n}", "mask": mask, "source": "s"}
        for mask, count in (("wear", 100), ("incorrect", 20), ("not_wear", 50))
        for n in range(count)
    ]
    frame = split_manifest(manifest_from_rows(rows))
    counts = dict(frame.filter(pl.col("fold") == "val").group_by("mask").len().iter_rows())
    assert counts == {"wear": 20, "incorrect": 4, "not_wear": 10}


def test_rows_and_other_columns_stay_as_they_are() -> None:
    before = people_frame(40)
    after = split_manifest(before)
    assert after.drop("fold").equals(before.drop("fold"))
    assert before["fold"].null_count() == len(before)


def test_same_seed_same_split_other_seed_other_split() -> None:
    frame = people_frame(200)
    first, again = split_manifest(frame, seed=3), split_manifest(frame, seed=3)
    assert first.equals(again)
    other = split_manifest(frame, seed=4)
    old, new = fold_of_person(first), fold_of_person(other)
    moved = sum(old[person] != new[person] for person in old)
    assert 20 < moved < 110  # two independent splits at 0.2 differ in 0.32 of the people


def test_split_is_what_it_was_when_it_was_published() -> None:
    """Another result under the same seed would move validation people into training."""
    holdout = split_manifest(people_frame(12, photos=1))["fold"]
    folds = split_manifest(people_frame(12, photos=1), folds=3)["fold"]
    assert "".join(fold[0] for fold in holdout) == "ttttvttvtvtv"
    assert "".join(folds) == "201200022022"


@pytest.mark.parametrize("kind", [{"val_share": 0.2}, {"val_share": 0.15}, {"folds": 5}])
@pytest.mark.parametrize("with_folds", [True, False])
def test_appended_people_change_nobodys_fold(kind: dict[str, float], with_folds: bool) -> None:
    first = split_manifest(people_frame(83), **kind)  # type: ignore[arg-type]
    known = first if with_folds else people_frame(83)
    grown = split_manifest(pl.concat([known, people_frame(60, start=83)]), **kind)  # type: ignore[arg-type]
    assert grown["fold"][: len(first)].equals(first["fold"])
    assert grown["fold"].null_count() == 0
    assert grown.equals(split_manifest(people_frame(143), **kind))  # type: ignore[arg-type]


def test_new_photos_follow_their_person() -> None:
    first = split_manifest(people_frame(50))
    more = people_frame(50).with_columns(photo=pl.col("photo").str.replace("/p/", "/new/"))
    more = more.with_columns(mask=pl.lit("wear"), fold=pl.lit(None, dtype=pl.String))
    grown = split_manifest(pl.concat([first, more]))
    assert grown["fold"][:150].equals(first["fold"])
    assert fold_of_person(grown) == fold_of_person(first)


def test_kept_folds_stay_under_another_seed_and_are_dropped_by_reassign() -> None:
    first = split_manifest(people_frame(100), seed=1)
    assert split_manifest(first, seed=2).equals(first)
    fresh = split_manifest(people_frame(100), seed=2)
    assert split_manifest(first, seed=2, reassign=True).equals(fresh)
    assert not fresh.equals(first)


def test_test_fold_is_kept() -> None:
    frame = people_frame(40)
    test = pl.when(pl.col("person") < "000010").then(pl.lit("test")).otherwise(None)
    folds = fold_of_person(split_manifest(frame.with_columns(fold=test)))
    assert {person for person, fold in folds.items() if fold == "test"} == {
        f"{number:06d}" for number in range(10)
    }
    assert set(folds.values()) == {"train", "val", "test"}


def test_kept_folds_of_another_kind_are_refused() -> None:
    for first, second in (({}, {"folds": 5}), ({"folds": 5}, {}), ({"folds": 5}, {"folds": 3})):
        frame = split_manifest(people_frame(40), **first)
        with pytest.raises(SettingsError, match=r"already split into .*--reassign"):
            split_manifest(frame, **second)
        split_manifest(frame, **second, reassign=True)


def test_person_that_already_stands_in_two_folds_is_refused() -> None:
    frame = people_frame(2).with_columns(fold=pl.Series(["train"] * 2 + ["val"] + [None] * 3))
    with pytest.raises(LeakError, match=r"--reassign:\n.*/p/0-2.jpg is in val"):
        split_manifest(frame)
    fold_of_person(split_manifest(frame, reassign=True, val_share=0.5))


@pytest.mark.parametrize(
    "wrong",
    [{"folds": 1}, {"folds": -2}]
    + [{"val_share": share} for share in (1, -0.1, 1.5, 0.001, float("nan"), float("inf"))]
    + [{"seed": -1}],
    ids=str,
)
def test_split_that_cannot_be_had_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        split_manifest(people_frame(10), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wish", [{}, {"folds": 5}])
def test_too_few_people_to_fill_every_fold_are_refused(wish: dict[str, int]) -> None:
    """A run without a single validation photo fails much later, or not at all."""
    with pytest.raises(SettingsError):
        split_manifest(people_frame(1), **wish)  # type: ignore[arg-type]


def test_twins_stay_together_also_in_chains() -> None:
    frame = people_frame(120, photos=2)
    twins = [Twin(2 * n + 1, 2 * n + 4, 0.1) for n in range(0, 100, 4)]  # person n and n + 2
    twins += [Twin(2 * n + 4, 2 * n + 6, 0.1) for n in range(0, 100, 8)]  # n + 2 and n + 3
    for wish in ({}, {"folds": 4}):
        folds = split_manifest(frame, twins, **wish)["fold"]  # type: ignore[arg-type]
        assert all(folds[twin.first] == folds[twin.second] for twin in twins)
        apart = split_manifest(frame, **wish)["fold"]  # type: ignore[arg-type]
        assert any(apart[twin.first] != apart[twin.second] for twin in twins)


def test_new_twin_of_a_known_person_joins_its_fold() -> None:
    first = split_manifest(people_frame(40, photos=1))
    grown = pl.concat([first, people_frame(40, photos=1, start=40)])
    twins = [Twin(row, 40 + row, 0.0) for row in range(40)]
    assert split_manifest(grown, twins)["fold"][40:].equals(first["fold"], check_names=False)


def test_join_people_names_groups_by_their_first_row() -> None:
    people = ["a", "b", "a", "c", "d", "c"]
    assert join_people(people, []) == [0, 1, 0, 3, 4, 3]
    assert join_people(people, [Twin(2, 5, 0), Twin(1, 4, 0)]) == [0, 1, 0, 0, 1, 0]


def two_folds(people: str = "abcd", folds: tuple[str | None, ...] = ()) -> pl.DataFrame:
    frame = manifest_from_rows(
        {"photo": f"/p/{row}.jpg", "person": person, "source": "s"}
        for row, person in enumerate(people)
    )
    return frame.with_columns(fold=pl.Series(folds or ("train", "train", "val", "val")))


def test_clean_split_passes_the_leak_check() -> None:
    check_leaks(two_folds("aabb"), ["1", "1", "2", "2"], [Twin(0, 1, 0.1), Twin(2, 3, 0.1)])
    check_leaks(two_folds(), ["", "", "", ""])  # unreadable photos have no digest in common
    check_leaks(two_folds("aaaa", ("train", None, "train", None)), ["1"] * 4, [Twin(0, 1, 0.0)])


def test_leak_check_finds_a_person_in_two_folds() -> None:
    with pytest.raises(LeakError, match=r"1 leak.*\n.*person 'b' in folds train and val"):
        check_leaks(two_folds("abbc"), ["1", "2", "3", "4"])


def test_leak_check_finds_the_same_bytes() -> None:
    with pytest.raises(LeakError, match=r"1 leak.*\n.*the same bytes in folds train and val"):
        check_leaks(two_folds(), ["1", "2", "1", "4"])


def test_leak_check_finds_near_duplicates() -> None:
    with pytest.raises(LeakError, match=r"1 leak.*\n.*train and val: /p/0.jpg and /p/3.jpg"):
        check_leaks(two_folds(), ["1", "2", "3", "4"], [Twin(0, 3, 0.2), Twin(0, 1, 0.1)])


def test_leak_check_lists_every_leak_between_numbered_folds() -> None:
    frame = two_folds("abac", ("0", "1", "2", "1"))
    with pytest.raises(LeakError) as raised:
        check_leaks(frame, ["1", "2", "3", "1"], [Twin(1, 2, 0.1)])
    message = str(raised.value)
    assert "3 leak(s)" in message
    for part in ("person 'a' in folds 0 and 2", "same bytes in folds 0 and 1", "1.jpg and /p/2"):
        assert part in message


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    """Return six people drawn alike: the same layout, the same kind of photo."""
    return [
        draw_person(
            plan_person(0, index, "train"), plan_photo(0, index, "train", 6, MaskState.NOT_WEAR)
        )
        for index in range(6)
    ]


def test_near_duplicates_are_found_and_other_people_are_not(
    faces: list[Image.Image], tmp_path: Path
) -> None:
    photos = []
    for number, face in enumerate(faces):
        first, second = tmp_path / f"{number}a.jpg", tmp_path / f"{number}b.jpg"
        face.save(first, quality=92)
        width, height = face.size
        smaller = face.resize((width // 2, height // 2)) if number % 2 else face
        smaller.save(second, quality=30 if number < 4 else 70)
        photos += [str(first), str(second)]
    prints = fingerprint_photos(photos, workers=0)
    assert len(set(prints.digests)) == len(photos)
    pairs = {(twin.first, twin.second) for twin in find_twins(prints)}
    assert pairs == {(row, row + 1) for row in range(0, len(photos), 2)}


def test_equal_bytes_are_twins_even_where_nothing_shows(tmp_path: Path) -> None:
    for name, level in (("a", 90), ("b", 90), ("c", 140)):
        Image.new("RGB", (64, 64), (level,) * 3).save(tmp_path / f"{name}.png")
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "y.png").write_bytes(b"")
    done: list[int] = []
    names = [str(tmp_path / f"{name}.png") for name in "abcxy"]
    twins = find_twins(fingerprint_photos(names, 0, done.append))
    assert twins == [Twin(0, 1, 0.0)]
    assert done == [1] * 5


def test_twins_are_found_across_blocks_of_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    thumbnails = draw.normal(size=(11, 576)).astype(np.float32)
    hashes = draw.integers(0, 2**63, 11).astype(np.uint64)
    for first, second in ((0, 10), (3, 4), (2, 6)):
        hashes[second], thumbnails[second] = hashes[first] ^ np.uint64(0b1011), thumbnails[first]
    prints = duplicates.Fingerprints([str(row) for row in range(11)], hashes, thumbnails)
    expected = [(0, 10), (2, 6), (3, 4)]
    for compared in (1, 44, 10**6):
        monkeypatch.setattr(duplicates, "_COMPARED", compared)
        assert [(twin.first, twin.second) for twin in find_twins(prints)] == expected


def test_photos_of_one_hash_are_twins_only_if_their_pixels_agree() -> None:
    draw = np.random.default_rng(0)
    base = draw.normal(size=576)
    rows = [base, *(base + draw.normal(scale=gap, size=576) for gap in (0.2, 0.32))]
    same_hash = np.zeros(3, dtype=np.uint64)
    prints = duplicates.Fingerprints(["a", "b", "c"], same_hash, np.array(rows, dtype=np.float32))
    assert [(twin.first, twin.second) for twin in find_twins(prints)] == [(0, 1)]


def test_twins_table_names_both_photos() -> None:
    table = twins_table(two_folds(), [Twin(0, 3, 0.12345)])
    row = table.row(0, named=True)
    assert (row["photo"], row["twin_photo"], row["distance"]) == ("/p/0.jpg", "/p/3.jpg", 0.1235)
    assert (row["fold"], row["twin_fold"]) == ("train", "val")
    assert len(twins_table(two_folds(), [])) == 0


def test_many_people_split_in_a_moment() -> None:
    frame = split_manifest(people_frame(4000, photos=1))
    shares = frame["fold"].value_counts(normalize=True)
    assert abs(dict(shares.iter_rows())["val"] - 0.2) < 0.005


def test_share_of_none_trains_on_everybody() -> None:
    frame = split_manifest(people_frame(5), val_share=0)
    assert frame["fold"].unique().to_list() == ["train"]


# --- sources held out


def test_a_source_is_held_out_with_those_who_are_near_duplicates_of_its_people() -> None:
    frame = people_frame(60, photos=2)
    sources = frame["source"].to_list()
    two = next(row for row, name in enumerate(sources) if name == "two")
    one = next(row for row, name in enumerate(sources) if name == "one")
    split = split_manifest(frame, [Twin(two, one, 0.0)], held_out=["two"])
    twin = frame["person"][one]
    assert set(split.filter(pl.col("source") == "two")["fold"]) == {"test"}
    assert set(split.filter(pl.col("person") == twin)["fold"]) == {"test"}
    others = split.filter((pl.col("source") == "one") & (pl.col("person") != twin))
    assert set(others["fold"]) == {"train", "val"}


def test_a_source_held_out_leaves_other_folds_alone() -> None:
    first = split_manifest(people_frame(60))
    again = split_manifest(first, held_out=["two"])
    one = pl.col("source") == "one"
    assert again.filter(one)["fold"].to_list() == first.filter(one)["fold"].to_list()
    assert set(again.filter(~one)["fold"]) == {"test"}


def test_wrong_sources_to_hold_out_are_all_named() -> None:
    with pytest.raises(ManifestError) as raised:
        split_manifest(people_frame(9), held_out=["tow", "three"])
    message = str(raised.value)
    assert "--hold-out-source: the manifest has the sources one, two" in message
    assert "no photo is of the source 'tow'; did you mean two?" in message
    assert "no photo is of the source 'three'" in message
    with pytest.raises(ManifestError, match="nothing is left to train on"):
        split_manifest(people_frame(9), held_out=["one", "two"])


def test_what_cannot_be_scored_is_not_held_out() -> None:
    frame = people_frame(30).with_row_index()
    copies = pl.when(pl.col("index") == 3).then(pl.lit("one (copy)")).otherwise("source")
    copied = frame.with_columns(source=copies).drop("index")
    with pytest.raises(LeakError, match=r"1 photo\(s\) of these sources are copies"):
        split_manifest(copied, held_out=["one"])
    assert set(split_manifest(copied, held_out=["two"])["fold"]) == {"train", "val", "test"}
    given = pl.when(pl.col("person") == "000000").then(pl.lit("pseudo"))
    pseudo = frame.with_columns(fold=given).drop("index")
    with pytest.raises(LeakError, match=r"3 photo\(s\)(.|\n)*labels that a model gave"):
        split_manifest(pseudo, held_out=["two"])


def test_a_placeholder_that_joins_people_is_named() -> None:
    rows = [
        {"photo": f"{person}-{number}.jpg", "person": person, "source": "s"}
        for person in "abcd"
        for number in range(2)
    ]
    frame = manifest_from_rows(rows)
    twins = [Twin(0, row, 0.0) for row in (2, 4, 6)]
    with pytest.raises(SettingsError) as refused:
        split_manifest(frame, twins)
    assert "1 people are too few" in str(refused.value)
    assert (
        "4 people count as one: a-0.jpg (person a) has 3 near-duplicate(s) among photos of others, "
        "such as b-0.jpg (person b)"
    ) in str(refused.value)
    groups = join_people(frame["person"].to_list(), twins[:1])
    assert joined_people(frame, groups, twins[:1]) == []
    assert joined_people(frame, groups, twins[:1], least=2)[0].people == 2
