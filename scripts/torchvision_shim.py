"""Lets a torchvision that was built for CUDA be imported beside a torch that was not.

Its compiled part does not load there, and the import ends at the registrations for it. transformers' video processors
want only its functions in Python. scripts/test_vllm.py copies this file into vLLM's environment, beside a .pth file
that imports it; nothing of the project itself needs it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder


class _Finder(MetaPathFinder):
    """Gives an empty module for those registrations, just before torchvision is imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None) -> None:
        if name == "torchvision":
            import torch

            if torch.version.cuda is None:
                missing = f"{name}._meta_registrations"
                sys.modules.setdefault(missing, types.ModuleType(missing))


sys.meta_path.insert(0, _Finder())
