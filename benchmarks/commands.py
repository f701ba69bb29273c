"""Commands of Maskwise, run as a user runs them."""

import subprocess
import sys


def maskwise(*words: object) -> None:
    """Run a command as a process of its own, and say so."""
    command = [str(word) for word in words]
    print("$ maskwise", *command, flush=True)
    subprocess.run([sys.executable, "-m", "maskwise", *command], check=True)
