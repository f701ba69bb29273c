"""A labelling database of made photos, and decisions about them."""

from pathlib import Path

import polars as pl

from maskwise.audit.findings import Finding, Fix
from maskwise.data.manifest import read_manifest
from maskwise.labeling.records import Action, Decision, Labels
from maskwise.labeling.store import Store

FINDINGS = [
    Finding("swap", (3, 5), 0.9, "look like each other's labels",
            (Fix(3, "mask", "not_wear"), Fix(5, "mask", "wear"))),
    Finding("gender", (7,), 0.8, "looks female", (Fix(7, "gender", "female"),)),
    Finding("blurred", (3,), 0.4, "hardly sharp"),
]  # fmt: skip


def opened(manifest: Path, path: Path | None = None) -> tuple[Store, pl.DataFrame]:
    """Return a store of a manifest, with findings, and the manifest."""
    frame = read_manifest(manifest, check_photos=False)
    store = Store(path or manifest.with_suffix(".labels.db"))
    store.follow(frame)
    store.propose(frame, FINDINGS)
    return store, frame


def decision(photo: int, action: Action = "accept", version: int = 0, **labels: object) -> Decision:
    given: Labels = labels  # type: ignore[assignment]
    return Decision(photo, version, action, given)
