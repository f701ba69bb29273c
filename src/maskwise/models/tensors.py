"""Files of tensors, written as a whole."""

import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from maskwise.storage import replacing


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors to a .safetensors file atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written; what stood there stays.
    """
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(plain, temporary, metadata=metadata)
            temporary.chmod(mode)  # the library makes the file readable for its owner only
        except SafetensorError as error:
            # the library wraps what the system said into text
            number = re.search(r"os error (\d+)", str(error))
            code = int(number[1]) if number else 0
            raise OSError(code, os.strerror(code) if code else str(error)) from error
