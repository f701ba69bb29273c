"""The figures of the model card: by source, gender, race and age group, of the test people."""

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.labels import TASKS, code_of

RENDERED: Final = ("all_age_faces", "fairface", "utkface", "asian_decades")
"""Sources of bare faces, on some of which masks are rendered."""
_RACE: Final = re.compile(r"^\d+_(?:male|female)_([A-Za-z]+)_\d+-\d+$")
"""Names of FairFace's photos in which the race stands."""
Codes = NDArray[np.int64]
Figures = dict[str, Any]


def figures(manifest: Path, answers: Path) -> dict[str, Figures]:
    """Return figures by group of photos.

    Args:
        manifest: The test photos.
        answers: The `answers.csv` that `maskwise evaluate` wrote of them.
    """
    frame = pl.read_csv(answers, infer_schema_length=0)
    rows = pl.read_csv(manifest, infer_schema=False).unique("photo", keep="first")
    folder = manifest.resolve().parent
    rows = rows.with_columns(
        pl.col("photo").map_elements(lambda photo: str(folder / photo), pl.String)
    )
    joined = frame.select("photo", "ans").join(rows, on="photo", how="left")
    races = pl.Series("race", [_race(photo) for photo in joined["photo"]], dtype=pl.String)
    joined = joined.with_columns(races)
    rendered = pl.col("source").is_in(RENDERED) & (pl.col("mask") != "not_wear")
    bare = pl.col("source").is_in(RENDERED) & (pl.col("mask") == "not_wear")
    masked = ~pl.col("source").is_in(RENDERED) & (pl.col("mask") != "not_wear")
    real = pl.col("source").is_in(["mask_photos", "worn_wrong"])
    groups = {
        **{f"{name}, bare": bare & (pl.col("source") == name) for name in RENDERED},
        "mask_photos and worn_wrong": real,
        "gender_masks, masked": masked & (pl.col("source") == "gender_masks"),
        "gender_masks, bare": (pl.col("source") == "gender_masks") & (pl.col("mask") == "not_wear"),
        "walking_masks": pl.col("source") == "walking_masks",
        "all bare faces": bare,
        "bare women": bare & (pl.col("gender") == "female"),
        "bare men": bare & (pl.col("gender") == "male"),
        **{f"rendered masks, {name}": rendered & (pl.col("source") == name) for name in RENDERED},
        **{
            f"fairface, {race}": bare & (pl.col("race") == race)
            for race in sorted(set(races.drop_nulls()))
        },
    }
    found = {name: group_figures(joined.filter(rule)) for name, rule in groups.items()}
    return {name: one for name, one in found.items() if one["photos"]}


def _race(photo: str) -> str | None:
    named = _RACE.match(Path(photo).stem)
    return named[1] if named else None


def group_figures(frame: pl.DataFrame) -> Figures:
    """Return accuracy, balanced accuracy and recalls of each task that a group has labels of."""
    answers = frame["ans"].cast(pl.Int64).to_numpy()
    codes = {"mask": answers // 6, "gender": answers // 3 % 2, "age_group": answers % 3}
    found: Figures = {"photos": len(frame)}
    for task, words in TASKS.items():
        truth = np.array([-1 if word is None else code_of(task, word) for word in frame[task]])
        known = truth >= 0
        if not known.any():
            continue
        right = codes[task][known] == truth[known]
        recalls = {
            str(word): float(right[truth[known] == code].mean())
            for code, word in enumerate(words)
            if (truth[known] == code).any()
        }
        found[task] = {
            "photos": int(known.sum()),
            "accuracy": float(right.mean()),
            "balanced_accuracy": float(np.mean(list(recalls.values()))),
            "recalls": recalls,
        }
    return found


def print_figures(found: dict[str, Figures]) -> None:
    """Print the table of the model card."""
    print("| Group | Photos | Task | Accuracy | Balanced | Recalls |\n|---|---|---|---|---|---|")
    for group, own in found.items():
        for task in TASKS:
            if task in own:
                one = own[task]
                recalls = ", ".join(f"{word} {share:.3f}" for word, share in one["recalls"].items())
                print(
                    f"| {group} | {one['photos']} | {task.replace('_', ' ')} | "
                    f"{one['accuracy']:.3f} | {one['balanced_accuracy']:.3f} | {recalls} |"
                )
