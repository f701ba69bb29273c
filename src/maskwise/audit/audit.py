"""The audit of a manifest: all kinds of findings, in one list."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.audit.findings import KINDS, Finding, ordered
from maskwise.audit.labels import label_findings
from maskwise.audit.pairs import pair_findings
from maskwise.audit.photos import PhotoFacts, look_at_photos, photo_findings
from maskwise.data.duplicates import find_twins
from maskwise.data.frames import PhotoRef, photo_refs
from maskwise.errors import ManifestError
from maskwise.models.probabilities import Tasks

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows the way through so many photos; the function it gives is told how many more are done."""
Predict = Callable[[NDArray[np.bool_]], Tasks]
"""From which photos can be read (N,) to the tasks' probabilities of all (N, words), or NaN."""


@dataclass(frozen=True)
class Audit:
    """What an audit found in N photos."""

    frame: pl.DataFrame
    findings: list[Finding]
    """The surest first."""
    facts: list[PhotoFacts]
    asked: int
    """Photos that a model answered."""

    @property
    def counts(self) -> dict[str, int]:
        """Return kind -> findings, of those kinds that there are, in the order of `KINDS`."""
        counted = Counter(found.kind for found in self.findings)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}


def audit_manifest(
    frame: pl.DataFrame, detector: str, workers: int, bar: Bar, predict: Predict | None = None
) -> Audit:
    """Look for faults in photos and labels.

    `frame` has absolute paths, some of which may be no photos. Without `predict` no label is
    compared with what its photo looks like.

    Raises:
        ManifestError: the model cannot be shown a photo that can be read.
        SettingsError: a model answers, and cleanlab is not installed.
        DetectorError: there is no such detector, or its file is damaged.
        WorkerError: a worker process was killed.
    """
    photos = photo_refs(frame)
    with bar("looking at photos", len(frame)) as advance:
        facts, prints = look_at_photos(photos, detector, workers, advance)
    tasks = _answered(predict, photos, facts, workers) if predict else None
    findings = [*photo_findings(photos, facts), *pair_findings(frame, find_twins(prints))]
    findings += label_findings(frame, tasks) if tasks else ()
    asked = int((~np.isnan(np.hstack(list(tasks.values())))).any(axis=1).sum()) if tasks else 0
    return Audit(frame, ordered(findings), facts, asked)


def _answered(
    predict: Predict, photos: Sequence[PhotoRef], facts: list[PhotoFacts], workers: int
) -> Tasks:
    """Return what a model says of the photos that can be read.

    Those that could be read when they were measured, and no longer can, get new facts.
    """
    while True:
        readable = np.array([not fact.problem for fact in facts], dtype=bool)
        try:
            return predict(readable)
        except ManifestError:
            left = np.flatnonzero(readable).tolist()
            again, _ = look_at_photos([photos[row] for row in left], "none", workers)
            gone = {row: fact for row, fact in zip(left, again, strict=True) if fact.problem}
            if not gone:
                raise
            for row, fact in gone.items():
                facts[row] = fact
