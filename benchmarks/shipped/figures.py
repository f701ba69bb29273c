"""The figures of the model card, from the answers for people it never saw."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.labels import TASKS, code_of

REAL: Final = "mask_photos"
Codes = NDArray[np.int64]
Figures = dict[str, Any]


def figures(manifest: Path, answers: Path) -> dict[str, Figures]:
    """Return figures by group of photos, from a manifest and what `evaluate` answered."""
    frame = pl.read_csv(answers, infer_schema_length=0)
    rows = pl.read_csv(manifest, infer_schema=False).unique("photo", keep="first")
    folder = manifest.resolve().parent
    rows = rows.with_columns(
        pl.col("photo").map_elements(lambda photo: str(folder / photo), pl.String)
    )
    joined = frame.select("photo", "ans").join(rows, on="photo", how="left")
    bare = (pl.col("source") != REAL) & (pl.col("mask") == "not_wear")
    masked = (pl.col("source") != REAL) & (pl.col("mask") != "not_wear")
    groups = {
        "real photos": pl.col("source") == REAL,
        "bare faces": bare,
        "bare faces, utkface": bare & (pl.col("source") == "utkface"),
        "bare faces, asian_decades": bare & (pl.col("source") == "asian_decades"),
        "bare women": bare & (pl.col("gender") == "female"),
        "bare men": bare & (pl.col("gender") == "male"),
        "drawn masks": masked,
    }
    return {name: group_figures(joined.filter(rule)) for name, rule in groups.items()}


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
