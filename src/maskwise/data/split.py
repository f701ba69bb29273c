"""Holdout and k-fold splits over people, stratified, and the check that nothing leaks.

People, not photos, are assigned. A person here is everybody that must stay together: all photos
of one `person`, joined with the people of nearly equal photos. Within each stratum (source,
gender, age group) people take their folds from permuted blocks (Pocock, Clinical Trials, 1983,
ch. 5): every block of people holds each fold in its share, in an order drawn from the seed.
So each stratum is balanced to within one block, and people appended later change nobody's fold.
Keep the fold column to keep everybody's fold whatever else is added.
"""

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
import polars as pl

from maskwise.data.duplicates import Twin
from maskwise.data.joined import joined_people
from maskwise.data.source_names import COPY, base_sources, check_sources
from maskwise.errors import LeakError, SettingsError, listed

TRAIN, VAL, TEST = "train", "val", "test"
PSEUDO: Final = "pseudo"
"""The fold of labels that a model gave: it always trains, and never validates."""
NO_FOLD: Final = "none"
"""What validates a run that everybody is trained on: nobody."""
_MAX_BLOCK: Final = 40


def split_manifest(
    frame: pl.DataFrame,
    twins: Sequence[Twin] = (),
    val_share: float = 0.2,
    folds: int = 0,
    seed: int = 0,
    reassign: bool = False,
    held_out: Sequence[str] = (),
) -> pl.DataFrame:
    """Return the manifest with every row's `fold`: train and val, or 0 to `folds` - 1.

    A fold that a row already has is kept, and spreads to the same person's new rows, unless
    `reassign`. People of the sources `held_out` are all in the fold test.

    Raises:
        ManifestError: a source to hold out is not in the manifest, or none would be left.
        SettingsError: the share, seed or number of folds cannot be had, a fold stays empty, or
            the folds already in the manifest are of another kind of split.
        LeakError: people that must stay together already stand in different folds; or copies made
            for one split would be split anew.
    """
    slots = _slots(val_share, folds)
    if seed < 0:
        raise SettingsError(f"the seed is {seed}; expected 0 or more")
    if reassign:
        _check_copies(frame)
        pseudo = pl.col("fold") == PSEUDO
        frame = frame.with_columns(fold=pl.when(pseudo).then(pl.lit(PSEUDO)))
    _check_kind(frame, slots)
    groups = join_people(frame["person"].to_list(), twins)
    _check_pseudo(frame, groups)
    frame = _hold_out(frame, held_out, groups)
    strata = _strata(frame, groups)
    kept = _kept_folds(frame, groups)
    drawn = _draw(strata, slots, seed)
    chosen = [kept.get(group, drawn[group]) for group in groups]
    empty = sorted(set(slots) - set(chosen))
    if empty:
        raise SettingsError(
            f"{len(strata)} people are too few: nobody is left for fold {', '.join(empty)}; "
            f"take a larger share, fewer folds or another seed{_joined(frame, groups, twins)}"
        )
    return frame.with_columns(fold=pl.Series(chosen, dtype=pl.String))


def _joined(frame: pl.DataFrame, groups: Sequence[int], twins: Sequence[Twin]) -> str:
    found = joined_people(frame, groups, twins, least=2)
    if not found:
        return ""
    return (
        "; if a photo below is no photo of its person, such as a placeholder, remove its rows:\n"
        f"{listed([str(one) for one in found], limit=3)}"
    )


def _hold_out(frame: pl.DataFrame, sources: Sequence[str], groups: Sequence[int]) -> pl.DataFrame:
    """Assign the people who have a photo of these sources to the fold test."""
    check_sources(frame, sources, "--hold-out-source")
    group = pl.Series("group", groups)
    inside = base_sources(frame).is_in(list(sources))
    given = (frame["fold"] == PSEUDO).fill_null(value=False)
    unscorable = frame.filter(inside & (given | frame["source"].str.ends_with(COPY)))["photo"]
    if len(unscorable):
        raise LeakError(
            f"--hold-out-source: {len(unscorable)} photo(s) of these sources are copies, or have "
            "labels that a model gave; neither can be scored, so remove their rows:\n"
            f"{listed(unscorable.to_list())}"
        )
    apart = group.is_in(group.filter(inside).unique().to_list())
    return frame.with_columns(fold=pl.when(apart).then(pl.lit(TEST)).otherwise("fold"))


def join_people(people: Sequence[str], twins: Sequence[Twin]) -> list[int]:
    """Return for each row the number of its group: the first row of the people joined to it."""
    parent = list(range(len(people)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_row: dict[str, int] = {}
    links = [(first_row.setdefault(person, row), row) for row, person in enumerate(people)]
    links += [(twin.first, twin.second) for twin in twins]
    for one, other in links:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return [root(row) for row in range(len(people))]


def check_leaks(frame: pl.DataFrame, digests: Sequence[str], twins: Sequence[Twin] = ()) -> None:
    """Check that no person, no file content and no near-duplicate stands in two folds.

    Rows without a fold are left out. `digests` holds each row's file digest ('' is unknown).

    Raises:
        LeakError: anything does; it lists what, where.
    """
    known = frame.with_columns(digest=pl.Series(digests, dtype=pl.String)).filter(
        pl.col("fold").is_not_null()
    )
    problems = []
    for column, what in (("person", "person"), ("digest", "the same bytes")):
        crossing = (
            known.filter(pl.col(column) != "")
            .group_by(column, maintain_order=True)
            .agg(pl.col("fold").unique().sort(), pl.col("photo").first())
            .filter(pl.col("fold").list.len() > 1)
        )
        for name, folds, photo in crossing.iter_rows():
            label = f"person {name!r}" if what == "person" else what
            problems.append(f"{label} in folds {' and '.join(folds)} (such as {photo})")
    problems += _crossing_twins(frame, twins)
    if problems:
        raise LeakError(
            f"{len(problems)} leak(s) between folds; split again with "
            f"`maskwise data split --reassign`:\n{listed(problems)}"
        )


def _crossing_twins(frame: pl.DataFrame, twins: Sequence[Twin]) -> list[str]:
    folds, photos = frame["fold"], frame["photo"]
    return [
        f"nearly equal photos in folds {folds[twin.first]} and {folds[twin.second]}: "
        f"{photos[twin.first]} and {photos[twin.second]}"
        for twin in twins
        if folds[twin.first] and folds[twin.second] and folds[twin.first] != folds[twin.second]
    ]


def twins_table(frame: pl.DataFrame, twins: Sequence[Twin]) -> pl.DataFrame:
    """Return one row per pair of nearly equal photos with the labels of both."""
    columns = ["photo", "person", "mask", "gender", "age", "age_group", "fold"]
    first = frame[[twin.first for twin in twins]].select(columns)
    second = frame[[twin.second for twin in twins]].select(columns)
    distance = pl.Series("distance", [round(twin.distance, 4) for twin in twins], dtype=pl.Float64)
    return pl.concat(
        [first, second.rename(lambda name: f"twin_{name}"), distance.to_frame()], how="horizontal"
    )


def _check_pseudo(frame: pl.DataFrame, groups: Sequence[int]) -> None:
    """Check that no pseudo-labelled photo belongs to a person with labels.

    Raises:
        LeakError: one does.
    """
    given = (frame["fold"] == PSEUDO).fill_null(value=False)
    labelled = {group for group, pseudo in zip(groups, given, strict=True) if not pseudo}
    crossing = [
        frame["photo"][row] for row in given.arg_true().to_list() if groups[row] in labelled
    ]
    if crossing:
        raise LeakError(
            f"{len(crossing)} pseudo-labelled photo(s) nearly equal a labelled one, or are of its "
            f"person; remove their rows:\n{listed(crossing)}"
        )


def _check_copies(frame: pl.DataFrame) -> None:
    """Check that no row is a copy, which another split would score, or a blend of two people."""
    copies = frame.filter(pl.col("source").fill_null("").str.ends_with(COPY))["photo"]
    if len(copies):
        raise LeakError(
            f"{len(copies)} photo(s) are copies, made for the split that they are in; split the "
            "manifest without them, and copy its training photos anew with maskwise data multiply, "
            f"or repeat these with train.repeat:\n{listed(copies.to_list())}"
        )


def _slots(val_share: float, folds: int) -> list[str]:
    """Return one block: each fold as often as its share asks."""
    if folds:
        if folds < 2:
            raise SettingsError(f"folds is {folds}; expected 2 or more, or 0 for a holdout")
        return [str(fold) for fold in range(folds)]
    if val_share == 0:
        return [TRAIN]
    known = Fraction(val_share) if math.isfinite(val_share) else Fraction(0)
    share = known.limit_denominator(_MAX_BLOCK)
    if not 0 < share < 1:
        raise SettingsError(
            f"the validation share is {val_share}; expected 0.03 to 0.97, or 0: all train"
        )
    return [VAL] * share.numerator + [TRAIN] * (share.denominator - share.numerator)


def _check_kind(frame: pl.DataFrame, slots: Sequence[str]) -> None:
    present = set(frame["fold"].drop_nulls().unique()) - {TEST, PSEUDO}
    if not present <= set(slots):
        raise SettingsError(
            f"the manifest is already split into {', '.join(sorted(present))}, "
            f"not {', '.join(sorted(set(slots)))}; add --reassign to split it anew"
        )


def _strata(frame: pl.DataFrame, groups: Sequence[int]) -> dict[int, str]:
    """Return group -> stratum, groups in order of appearance.

    The mask state counts only where it belongs to the person: where all its photos share it.
    """
    rows = frame.with_columns(group=pl.Series(groups)).group_by("group", maintain_order=True)
    table = rows.agg(
        pl.col("source", "gender", "age_group").drop_nulls().first(),
        pl.when(pl.col("mask").drop_nulls().n_unique() == 1)
        .then(pl.col("mask").drop_nulls().first())
        .alias("mask"),
    )
    return {row[0]: "/".join(str(part) for part in row[1:]) for row in table.iter_rows()}


def _kept_folds(frame: pl.DataFrame, groups: Sequence[int]) -> dict[int, str]:
    kept: dict[int, str] = {}
    problems = []
    for row, (group, fold) in enumerate(zip(groups, frame["fold"], strict=True)):
        if fold is not None and kept.setdefault(group, fold) != fold:
            problems.append(
                f"{frame['photo'][row]} is in {fold}, but its person, or a nearly equal photo, "
                f"is in {kept[group]} ({frame['photo'][group]})"
            )
    if problems:
        raise LeakError(
            f"{len(problems)} row(s) already split across people; add --reassign:\n"
            f"{listed(problems)}"
        )
    return kept


def _draw(strata: dict[int, str], slots: Sequence[str], seed: int) -> dict[int, str]:
    """Return group -> fold from permuted blocks."""
    seen: dict[str, int] = {}
    drawn = {}
    for group, stratum in strata.items():
        position = seen.get(stratum, 0)
        seen[stratum] = position + 1
        block, place = divmod(position, len(slots))
        name = int.from_bytes(hashlib.sha256(stratum.encode()).digest()[:8])
        order = np.random.default_rng([seed, name, block]).permutation(len(slots))
        drawn[group] = slots[order[place]]
    return drawn
