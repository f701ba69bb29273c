"""`maskwise recipes` and `compare`."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from maskwise.cli.output import AsJson, console, end_like_an_interrupt, print_json, print_table

_UNITS = {"s": 1, "m": 60, "h": 3600}


def recipes(as_json: AsJson = False) -> None:
    """List the recipes; `maskwise settings --recipe NAME` shows one."""
    from maskwise.recipes import all_recipes

    found = [{"name": recipe.name, "about": recipe.about} for recipe in all_recipes()]
    if as_json:
        print_json(found)
    else:
        print_table("recipes", ["name", "about"], [list(recipe.values()) for recipe in found])


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE...", help="Names of `maskwise recipes`, or YAML files."),
    ],
    manifest: Annotated[Path, typer.Option("--on", help="A manifest with folds.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("comparison"),
    size: Annotated[
        int, typer.Option(min=0, help="Pixels of a frame's sides; 0: each recipe's own.")
    ] = 128,
    budget: Annotated[
        str, typer.Option(help="Time that each is trained for: 90s, 20m, 2h.")
    ] = "20m",
    photos: Annotated[
        int, typer.Option(min=0, help="Photos that each is trained on, instead of a time.")
    ] = 0,
    backbone: Annotated[
        str, typer.Option(help="The backbone of all; empty: each recipe's own.")
    ] = "tf_efficientnet_lite0",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of all, KEY=VALUE.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train recipes as long as each other on the same people, and print them side by side."""
    from maskwise.evaluation.comparison import best_first, write_comparison
    from maskwise.experiments.compare import Terms
    from maskwise.experiments.compare import compare as run_comparison

    end_like_an_interrupt()
    seconds = 0.0 if photos else _seconds(budget)
    terms = Terms(size, backbone, seconds, photos, tuple(overrides or ()))
    share = f"{photos} photos" if photos else budget
    rows = []
    for row in run_comparison(names, manifest, out, terms):
        rows.append(asdict(row))
        score = row.error or f"macro-F1 {row.macro_f1:.4f}"
        console().print(f"{row.recipe}: {score}", soft_wrap=True)
    page = out / "comparison.html"
    about = {
        "manifest": str(manifest),
        "frame": f"{size}x{size}" if size else "each recipe's own",
        "backbone": backbone or "each recipe's own",
        "training": share,
        **({"settings": " ".join(terms.overrides)} if terms.overrides else {}),
    }
    write_comparison(page, rows, about)
    if as_json:
        print_json({"rows": rows, "page": str(page)})
    else:
        _print_rows(best_first(rows), f"{manifest}, {share} each")
        typer.echo(f"page {page}")
    if all(row["error"] for row in rows):
        raise typer.Exit(2)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found or not float(found[1]):
        raise typer.BadParameter(f"--budget {text!r}: expected a time such as 90s, 20m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def _print_rows(rows: list[dict[str, Any]], title: str) -> None:
    columns = ["recipe", "macro-F1", "95 %", "mask", "gender", "age group", "s", "GB", "photos/s"]
    table = []
    for row in rows:
        if row["error"]:
            table.append([row["recipe"], row["error"], *[""] * 7])
            continue
        low, high = row["interval"]
        figures = [row["macro_f1"], f"{low:.3f} to {high:.3f}", *row["tasks"].values()]
        table.append(
            [row["recipe"], *figures, f"{row['seconds']:.0f}", row["memory_gb"],
             row["photos_per_second"]]
        )  # fmt: skip
    print_table(title, columns, table)
