"""Whether a processor computes int8 graphs of 8-bit weights exactly."""

import platform
from pathlib import Path
from typing import Final

_X86: Final = ("x86_64", "amd64", "i386", "i686", "x86")
_VNNI: Final = ("avx512_vnni", "avx512vnni", "avx_vnni", "avxvnni")
"""Names of the instructions that multiply bytes and add in 32 bits, as Linux lists them."""
_PROCESSORS: Final = Path("/proc/cpuinfo")


def adds_products_exactly(machine: str = "", processors: Path = _PROCESSORS) -> bool:
    """Return whether sums of 8-bit products are exact in ONNX Runtime's kernels for a processor.

    On x86-64 they are where the processor has VNNI; where that cannot be read, as on systems other
    than Linux, the answer is no. Arm's kernels add in 32 bits.

    Args:
        machine: The processor's architecture, as `platform.machine` names it; empty is this one.
        processors: The file in which Linux lists what processors can do.
    """
    if (machine or platform.machine()).lower() not in _X86:
        return True
    try:
        known = processors.read_text(errors="replace")
    except OSError:
        return False
    flags = {
        flag
        for line in known.splitlines()
        if line.startswith("flags")
        for flag in line.partition(":")[2].split()
    }
    return not flags.isdisjoint(_VNNI)
