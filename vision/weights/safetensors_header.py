"""The header of a safetensors file: eight bytes of length, JSON, then the tensors' bytes without gaps.

Format: https://github.com/huggingface/safetensors#format. Read without that library, which the server does not load.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_LARGEST = 100_000_000  # the library's own limit on headers


@dataclass(frozen=True)
class Header:
    """What a file holds: names and dtypes of its tensors; `file_size` in bytes, header included."""

    names: frozenset[str]
    dtypes: frozenset[str]
    file_size: int


def read_header(path: Path) -> Header:
    """Raises ValueError when the header is damaged or the file is not as long as it says, OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_LARGEST, size - 8):
            raise ValueError("it is cut off in its header, or no safetensors file")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header holds no object")
    header.pop("__metadata__", None)
    try:
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        dtypes = frozenset(str(tensor["dtype"]) for tensor in header.values())
        expected = 8 + length + end
    except (TypeError, KeyError, IndexError) as e:
        raise ValueError("its header describes no tensors") from e
    if size != expected:
        raise ValueError(f"it has {size} bytes where its header says {expected}")
    return Header(frozenset(header), dtypes, size)
