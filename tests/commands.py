"""Runs commands of Maskwise, as from a shell."""

import json
from typing import Any

from typer.testing import CliRunner

from maskwise.cli import app
from maskwise.errors import MaskwiseError


def invoke(*words: object) -> dict[str, Any]:
    """Run a command that succeeds; return what it prints as JSON."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def refused(*words: object) -> str:
    """Run a command that fails for a user's mistake; return what it says."""
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code != 0
    error = result.exception
    return str(error) if isinstance(error, MaskwiseError) else result.output
