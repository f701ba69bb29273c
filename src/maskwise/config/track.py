"""Settings of who else is told of a run."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from maskwise.config.base import Section


class TrackSettings(Section):
    """TensorBoard is always written; others are told where they are installed."""

    trackers: tuple[Literal["wandb", "mlflow"], ...] = ()
    """Others to tell: wandb (Weights & Biases), mlflow; pip install 'maskwise[track]'."""
    project: Annotated[str, Field(min_length=1)] = "maskwise"
    """What the run belongs to there."""
    wandb_mode: Literal["offline", "online"] = "offline"
    """offline: written to the run folder, sent by `wandb sync`; online: sent as it goes."""
    mlflow_uri: str = ""
    """Where MLflow keeps runs; empty: a SQLite file in the run folder."""
    pictures: Annotated[int, Field(ge=0, le=256)] = 16
    """Training photos that are pictured each epoch, with labels, as the network is given them."""
    mistakes: Annotated[int, Field(ge=0, le=256)] = 16
    """Worst wrong answers on validation photos that are pictured each epoch."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if len(set(self.trackers)) < len(self.trackers):
            yield f"trackers names one twice: {', '.join(self.trackers)}"
