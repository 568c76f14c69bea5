"""What a server of somebody else's can do, as far as it tells, and what it taught by refusing.

No server tells everything, so what is unknown is taken at what every one of them can do.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from vision.chat.client import HostTells, OfferedModel
from vision.chat.request import Dialect, TilesField
from vision.media.tile_grid import TILE_SIDE, Fit
from vision.types import Frozen
from vision.weights.layout import repository_of

ServerKind = Literal["vllm", "sglang", "lmdeploy", "llama.cpp", "internvl-mcp", "unknown"]

# `owned_by` of GET /models. Sources: vllm/entrypoints/serve/engine/protocol.py, sglang/srt/entrypoints/openai/
# protocol.py, lmdeploy/serve/openai/protocol.py (ModelCard), llama.cpp's tools/server (get_models).
_KINDS: dict[str, ServerKind] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "lmdeploy": "lmdeploy",
    "llamacpp": "llama.cpp",
    "internvl-mcp": "internvl-mcp",
}
_HOLD_TO_A_SCHEMA: frozenset[ServerKind] = frozenset({"vllm", "sglang", "lmdeploy", "llama.cpp"})
# InternVL's own rule cuts a picture into 12 tiles at most (max_dynamic_patch, max_patches) unless it is told otherwise.
_TILES_BY_RULE = 12
# With more the reference was never evaluated (40 in InternVL 2, for documents).
_MOST_TILES = 40
# What a server has in its smallest common configuration, where it does not tell.
ASSUMED_CONTEXT = 8192
_INTERNVL = re.compile(r"intern[-_ ]?vl", re.IGNORECASE)


class Capabilities(Frozen):
    """A server and the model that it is asked for.

    `model`: its name there; `listed`: whether the server's own list tells of it, or all is taken by that name alone.
    `name`: the same in short, for people and results. `internvl`: whether it is an InternVL, by its name. `context`:
    most tokens of a prompt with its answer; None where the server does not tell. `max_pictures`: most pictures a
    prompt; None where no bound is known. `fit`: how pictures are prepared (see `vision.media.tile_grid`); `tiles`: the
    field that takes the most tiles for a picture; `tile_side`: pixels of one, which our own host alone tells. `top_k`,
    `usage` (counts at the end of a stream): whether it takes those. `json_schema`: whether it holds an answer to a JSON
    Schema (`response_format`); None where that is not known, as some take the field and ignore it.
    """

    kind: ServerKind
    model: str
    listed: bool = True
    name: str
    internvl: bool
    context: int | None = None
    max_pictures: int | None = None
    fit: Fit
    tiles: TilesField | None = None
    tile_side: int = TILE_SIDE
    top_k: bool = True
    usage: bool = True
    json_schema: bool | None = None

    @property
    def max_tiles(self) -> int:
        """Most tiles a picture that it can be brought to."""
        return _TILES_BY_RULE if self.tiles is None else _MOST_TILES

    @property
    def dialect(self) -> Dialect:
        return Dialect(tiles=self.tiles, top_k=self.top_k, usage=self.usage)


def capabilities_of(offered: OfferedModel) -> Capabilities:
    """What the list of models tells of one."""
    kind = kind_of(offered)
    internvl = kind == "internvl-mcp" or looks_like_internvl(offered)
    tiles = _tiles_field(kind, offered) if internvl else None
    ours = (offered.internvl or HostTells()) if kind == "internvl-mcp" else None
    return Capabilities(
        kind=kind,
        model=offered.id,
        name=offered.id.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or offered.id,
        internvl=internvl,
        context=offered.max_model_len,
        fit="area" if not internvl else "cover" if tiles is not None else "grid",
        tiles=tiles,
        tile_side=(ours and ours.tile_side) or TILE_SIDE,
        # OpenAI's API has no top_k; these four have, and our own host.
        top_k=kind != "unknown",
        json_schema=ours.json_schema if ours is not None else True if kind in _HOLD_TO_A_SCHEMA else None,
    )


def named_only(model: str) -> Capabilities:
    """What is taken of a model that the server's list does not tell of."""
    return capabilities_of(OfferedModel(id=model)).model_copy(update={"listed": False})


def kind_of(offered: OfferedModel) -> ServerKind:
    """Which server lists the model so."""
    return _KINDS.get(offered.owned_by or "", "unknown")


def looks_like_internvl(offered: OfferedModel) -> bool:
    """Whether the name, or what was loaded under it, is an InternVL's."""
    return any(_INTERNVL.search(name) for name in (offered.id, offered.root or ""))


def _tiles_field(kind: ServerKind, offered: OfferedModel) -> TilesField | None:
    """Where this server takes the most tiles for a picture, if it certainly does.

    vLLM hands mm_processor_kwargs to the image processor, whose argument has another name for checkpoints of
    transformers' own architecture (-hf) than for those with code of their own; with the wrong one the limit is ignored
    or the request fails, and a name without -hf does not tell. LMDeploy heeds it for some checkpoints, llama.cpp never.
    """
    if kind == "internvl-mcp":
        return "mm_processor_kwargs.max_dynamic_patch"
    if kind == "sglang":
        return "image_url"
    names = (offered.id, offered.root or "", repository_of(Path(offered.root or "")) or "")
    if kind == "vllm" and any(name.rstrip("/").lower().endswith("-hf") for name in names):
        return "mm_processor_kwargs.max_patches"
    return None
