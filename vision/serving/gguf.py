"""llama.cpp's files in a folder: the model by its name and type, and the vision tower (mmproj)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from vision.variants.plan import Quantisation

_TYPES: dict[str, Quantisation] = {"bf16": "none", "f16": "none", "q8_0": "q8_0", "q4_k_m": "q4_k_m"}
_PROJECTOR = "mmproj-"
# InternVL3_5-8B, InternVL3-8B-Instruct: the same model under its publishers' names.
_UNDERSCORE, _INSTRUCT = re.compile(r"(?<=internvl\d)_(?=\d)"), re.compile(r"-instruct(?=-)")


class Gguf(NamedTuple):
    """`quantisation` by the type in the file's name; 16 bits are none."""

    weights: str
    projector: str
    quantisation: Quantisation


def gguf_files(folder: Path, variant: str) -> tuple[Gguf, ...]:
    """The files of a variant, named as `<variant>-<type>.gguf` and `mmproj-<variant>-….gguf`; none without both."""
    names = {_plain(path.name): path.name for path in sorted(folder.glob("*.gguf"))}
    stem = f"{_plain(variant)}-"
    projector = next((name for plain, name in names.items() if plain.startswith(_PROJECTOR + stem)), None)
    if projector is None:
        return ()
    typed = {kind: names[f"{stem}{kind}.gguf"] for kind in _TYPES if f"{stem}{kind}.gguf" in names}
    found: dict[Quantisation, str] = {_TYPES[kind]: typed[kind] for kind in reversed(typed)}  # bf16 before f16
    return tuple(Gguf(name, projector, quantisation) for quantisation, name in found.items())


def _plain(name: str) -> str:
    return _INSTRUCT.sub("", _UNDERSCORE.sub(".", name.lower()))
