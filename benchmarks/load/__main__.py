"""The service and the plain route by turns, in one run.

    python -m benchmarks.load RUN MODEL.onnx FACE.jpg [--mirror] [--seconds 6] [--rounds 3]
        [--requests 20000]

RUN is the model folder that MODEL.onnx was exported from; with --mirror, where it was exported so,
the plain route looks twice, too. Figures are medians of the rounds; then the service is asked by 8
clients until it has answered so many requests, and its memory is read.
"""

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil

from benchmarks.load.client import Load, ask, form_request

_CLIENTS = (1, 8, 64)
_WARM_UP = 2.0


@contextmanager
def started(
    command: list[str], port: int, ready: str, **variables: str
) -> Iterator[psutil.Process]:
    """Run a server until the block ends."""
    with subprocess.Popen(command, env={**os.environ, **variables}) as process:
        try:
            for _ in range(600):
                try:
                    urlopen(f"http://127.0.0.1:{port}{ready}").close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def megabytes(process: psutil.Process) -> float:
    """Return the memory of a process and of those that it started."""
    family = [process, *process.children(recursive=True)]
    return float(sum(one.memory_info().rss for one in family)) / 1e6


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("face", type=Path)
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    about = {"MODEL": str(options.run), "MIRROR": str(int(options.mirror))}
    request = form_request("/v1/classify", options.face.read_bytes())
    ours, plain = free_port(), free_port()
    python = [sys.executable, "-m"]
    serve = [*python, "maskwise", "serve", str(options.model), "--port", str(ours)]
    uvicorn = [*python, "uvicorn", "benchmarks.load.plain:app", "--port", str(plain)]
    uvicorn += ["--log-level", "warning"]
    with (
        started(serve, ours, "/health/live") as service,
        started(uvicorn, plain, "/openapi.json", **about),
    ):
        for port in (ours, plain):
            asyncio.run(ask(port, request, 8, _WARM_UP))
        print(f"{'clients':>8}{'':12}{'photos/s':>10}{'median ms':>11}{'p99 ms':>9}{'refused':>9}")
        for clients in _CLIENTS:
            loads: dict[int, list[Load]] = {ours: [], plain: []}
            for _ in range(options.rounds):
                for port, measured in loads.items():
                    measured.append(asyncio.run(ask(port, request, clients, options.seconds)))
            for port, name in ((plain, "plain"), (ours, "maskwise")):
                print(f"{clients:>8}  {name:<10}{row(loads[port])}", flush=True)
        before = megabytes(service)
        asyncio.run(ask(ours, request, 8, 3600, options.requests))
        after = megabytes(service)
    print(f"memory before and after {options.requests} requests: {before:.0f}, {after:.0f} MB")


def row(loads: list[Load]) -> str:
    """Return the medians of some rounds."""
    rate, median, p99 = (
        statistics.median(getattr(load, name) for load in loads)
        for name in ("photos_a_second", "median", "p99")
    )
    return f"{rate:>10.1f}{median:>11.1f}{p99:>9.1f}{sum(load.refused for load in loads):>9}"


if __name__ == "__main__":
    main()
