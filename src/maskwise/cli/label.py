"""`maskwise label`: the page, and what comes of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from maskwise.cli.output import (
    AsJson,
    Force,
    ManifestPath,
    console,
    keep_existing,
    print_json,
    print_pairs,
    print_table,
)

if TYPE_CHECKING:
    from maskwise.labeling.store import Followed, Store


class _OpensPage(TyperGroup):
    """A group in which words that begin with no command open the page."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the page's command before what is none."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["page", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_OpensPage,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Decide about labels on a page: maskwise label MANIFEST. Export what was decided.",
)
Database = Annotated[
    Path | None, typer.Option(help="SQLite file of the decisions; else beside the manifest.")
]

As = Annotated[
    Literal["label-studio", "fiftyone"] | None,
    typer.Option("--as", help="The other program, where it is one."),
]


@app.command()
def page(
    manifest: ManifestPath,
    findings: Annotated[
        Path | None,
        typer.Option(help="What maskwise data audit found; else that beside the manifest."),
    ] = None,
    database: Database = None,
    twice: Annotated[
        bool, typer.Option("--twice", help="Ask two people about each photo.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8001,
) -> None:
    """Open the page; the manifest itself is never changed."""
    from maskwise.audit.findings import read_findings
    from maskwise.data.manifest import read_manifest
    from maskwise.labeling.run import serve_labels
    from maskwise.labeling.watched import WatchedManifest

    watched = WatchedManifest(manifest)
    frame = read_manifest(manifest, check_photos=False)
    beside = manifest.with_name(f"{manifest.stem}-audit") / "findings.csv"
    listed = findings or (beside if beside.is_file() else None)
    found = read_findings(listed, frame, manifest.parent) if listed else None
    with _open(manifest, database) as store:
        _tell(store.follow(frame, manifest.parent))
        if found is not None:
            store.propose(frame, found)
        else:
            console().print(f"no findings: maskwise data audit {manifest} proposes what to look at")
        serve_labels(
            store, watched, host, port, twice, lambda at: typer.echo(f"labels are at {at}")
        )


@app.command()
def export(
    manifest: ManifestPath,
    out: Annotated[
        Path, typer.Option(help="The corrected manifest to write (.csv or .parquet), or its like.")
    ],
    corrections: Annotated[
        Path | None, typer.Option(help="The list of corrections to write (.csv); else beside it.")
    ] = None,
    program: As = None,
    database: Database = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the corrected manifest and the list of corrections; or labels for another program."""
    from maskwise.data.corrections import apply_corrections, write_corrections
    from maskwise.data.manifest import read_manifest, write_manifest
    from maskwise.labeling.export import corrections as corrections_of
    from maskwise.labeling.interchange import export_labels
    from maskwise.labeling.progress import progress
    from maskwise.labeling.schema import UNSETTLED

    listed = corrections or out.with_name(f"{out.stem}-corrections.csv")
    beside = {None: [listed], "label-studio": [out.with_suffix(".xml")], "fiftyone": []}
    _keep_apart([out, *beside[program]], manifest, database, force)
    if program:
        with _open(manifest, database) as store:
            _tell(store.follow(read_manifest(manifest, check_photos=False), manifest.parent))
            made = export_labels(store, program, out)
        written: dict[str, Any] = {"written": str(out), "photos": made.photos}
        if made.folder:
            written |= {"storage": str(made.folder), "document_root": str(made.folder.parent)}
        print_json(written) if as_json else print_pairs("exported", written)
        return
    keep_existing(out, force)
    frame = read_manifest(manifest, check_photos=False)
    with _open(manifest, database, must_exist=True) as store:
        _tell(store.follow(frame, manifest.parent))
        decided = corrections_of(store, manifest.parent)
        states = progress(store)["states"]
    applied = apply_corrections(frame, decided, manifest.parent.resolve())
    write_corrections(listed, decided)
    write_manifest(applied.frame, out)
    result = {
        "manifest": str(out),
        "corrections": str(listed),
        "photos": len(applied.frame),
        "fields": len(decided),
        "changed": applied.changed,
        "removed": applied.removed,
        **{state: states[state] for state in ("done", "open", *UNSETTLED)},
    }
    print_json(result) if as_json else print_pairs("exported", result)
    unsettled = [f"{states[state]} {state}" for state in UNSETTLED if states[state]]
    if unsettled:
        typer.echo(
            f"note: {', '.join(unsettled)}: these keep the labels of {manifest.name}; "
            "data fix or the page settles them",
            err=True,
        )


@app.command("import")
def import_(
    manifest: ManifestPath,
    labels: Annotated[Path, typer.Argument(help="Label Studio's JSON file, or FiftyOne's folder.")],
    program: As = None,
    who: Annotated[str, typer.Option(help="Whose labels they are, where that is not said.")] = "",
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Take labels made in another program as decisions."""
    from maskwise.data.manifest import read_manifest
    from maskwise.labeling.interchange import read_labels, take_labels

    made = read_labels(labels, program or ("fiftyone" if labels.is_dir() else "label-studio"))
    with _open(manifest, database) as store:
        _tell(store.follow(read_manifest(manifest, check_photos=False), manifest.parent))
        taken = take_labels(store, made, who, manifest.parent.resolve())
        result = {"labels": str(labels), "decisions": taken, "database": str(store.path)}
    print_json(result) if as_json else print_pairs("imported", result)


@app.command()
def status(manifest: ManifestPath, database: Database = None, as_json: AsJson = False) -> None:
    """Say how far the labelling is, and how well people agree (Cohen's kappa)."""
    from maskwise.labeling.progress import agreement, progress

    with _open(manifest, database, must_exist=True) as store:
        result: dict[str, Any] = progress(store) | {"agreement": agreement(store)}
    if as_json:
        print_json(result)
        return
    print_table("photos", ["state", "photos"], list(result["states"].items()))
    people = [(each["who"], each["decisions"], each["a_minute"]) for each in result["people"]]
    print_table("people", ["who", "decisions", "a minute"], people)
    if result["agreement"]:
        names = ("first", "second", "task", "photos", "same", "kappa")
        rows = [[each[name] for name in names] for each in result["agreement"]]
        print_table("agreement", names, rows)


def _keep_apart(files: list[Path], manifest: Path, database: Path | None, force: bool) -> None:
    """Refuse to write over the manifest or the decisions, ever, and over other files unless asked.

    Raises:
        ManifestError: a file is one of these.
    """
    from maskwise.errors import ManifestError

    kept = {path.resolve() for path in (manifest, database or _beside(manifest))}
    for file in files:
        if file.resolve() in kept:
            raise ManifestError(f"{file} is never changed by an export; name another file")
        empty = file.is_dir() and not any(file.iterdir())
        if file.exists() and not empty and not force:
            raise ManifestError(f"{file} is there already; name another file, or add --force")
    if len({file.resolve() for file in files}) < len(files):
        raise ManifestError(f"{files[0]} cannot be both the manifest and its corrections")


def _beside(manifest: Path) -> Path:
    return manifest.with_name(f"{manifest.stem}-labels.db")


def _open(manifest: Path, database: Path | None, must_exist: bool = False) -> "Store":
    from maskwise.errors import StorageError
    from maskwise.labeling.store import Store

    path = database or _beside(manifest)
    if must_exist and not path.is_file():
        raise StorageError(f"no decisions at {path}; make some with: maskwise label {manifest}")
    return Store(path)


def _tell(followed: "Followed") -> None:
    """Say what the manifest changed since the last time."""
    told = console()
    if followed.gone:
        told.print(f"{followed.gone} photo(s) left the manifest; decisions about them are kept")
    if followed.edited:
        told.print(f"{followed.edited} photo(s) have other labels in the manifest now")
    for name in followed.disputed:
        told.print(
            f"disputed: the manifest changed {name} in another way than people did", soft_wrap=True
        )
