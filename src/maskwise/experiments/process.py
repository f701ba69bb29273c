"""Commands of Maskwise in processes of their own."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from maskwise.errors import SettingsError

_PAUSE: Final = 0.5
"""Seconds between looks whether a command shall stop."""


def run_command(
    words: Sequence[object],
    log: Path,
    environment: Mapping[str, str] | None = None,
    started: Callable[[int], None] | None = None,
    stopped: threading.Event | None = None,
) -> dict[str, Any]:
    """Run a command; return what it prints as JSON. What it says on the way is added to a log.

    `environment` is added to this process's; `started` is told the process's number. When
    `stopped` is set the command is ended.

    Raises:
        SettingsError: it failed; with what it said last.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as said:
        begin = said.tell()
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "maskwise", *map(str, words), "--json"],
            stdout=subprocess.PIPE,
            stderr=said,
            encoding="utf-8",
            env={**os.environ, **(environment or {})},
        ) as process:
            try:
                if started:
                    started(process.pid)
                printed = _printed(process, stopped)
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        raise SettingsError(_last_words(log, begin, process.returncode))
    answer: dict[str, Any] = json.loads(printed)
    return answer


def _printed(process: "subprocess.Popen[str]", stopped: threading.Event | None) -> str:
    while True:
        try:
            printed, _ = process.communicate(timeout=_PAUSE if stopped else None)
        except subprocess.TimeoutExpired:
            if stopped and stopped.is_set():
                process.terminate()
        else:
            return printed


def _last_words(log: Path, begin: int, code: int) -> str:
    with log.open(encoding="utf-8", errors="replace") as said:
        said.seek(begin)
        text = said.read()
    _, found, error = text.rpartition("error: ")
    if found:
        return error.strip()
    last = [line for line in text.splitlines() if line.strip()]
    return f"exit code {code}: {last[-1].strip() if last else 'nothing was said'}; see {log}"
