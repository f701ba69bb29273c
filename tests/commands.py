"""Runs commands of Maskwise, as from a shell."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
    if isinstance(error, MaskwiseError):
        return str(error)
    assert isinstance(error, SystemExit), repr(error)
    return result.output


def wait_for(seen: Callable[[], object], seconds: float = 90) -> None:
    """Wait until something is so."""
    for _ in range(int(seconds * 20)):
        if seen():
            return
        time.sleep(0.05)
    raise AssertionError("it took too long")


def kill_when(seen: Callable[[], object], *words: object) -> None:
    """Run a command as a process of its own, and kill it as soon as something is so."""
    command = [sys.executable, "-m", "maskwise", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: seen() or process.poll() is not None)
    finally:
        process.kill()
        told = process.communicate()[1].decode()
    assert process.returncode == -signal.SIGKILL, told
