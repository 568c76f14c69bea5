"""What a process that is started here gets of our own environment.

HF_*, CUDA_VISIBLE_DEVICES, proxies and the like decide what it can use. Our settings are read by the server alone:
among them may be keys, which whoever gets at a child (a model host outlives the server) could read from there.
"""

from __future__ import annotations

import os

_OURS = "INTERNVL_MCP_"


def child_environment() -> dict[str, str]:
    """The environment without our settings."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_OURS)}
