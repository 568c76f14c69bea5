"""A machine with weights of the tests' own: files that look whole and hold nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.vision.variants.machines import machine
from tests.vision.weights.site import COMMIT, checkpoint_files
from vision.config import Settings
from vision.engine.local import LocalMachine
from vision.variants.catalogue import variant_named
from vision.variants.hardware import Hardware
from vision.weights.layout import RepositoryFolder

ONE_24_GB = machine(23.5)
CPU = machine(ram=32)
# The sizes of InternVL3.5-1B, in the words of its configuration.
ONE_B = {
    "vision_config": {
        "model_type": "internvl_vision", "image_size": [448, 448], "patch_size": [14, 14], "hidden_size": 1024,
        "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    },
    "text_config": {
        "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151_936,
        "max_position_embeddings": 40_960,
    },
}  # fmt: skip


def put_weights(cache: Path, *names: str) -> list[Path]:
    """The catalogue's variants as a hub's cache holds them; the snapshots' folders."""
    made = []
    for name in names:
        folder = RepositoryFolder.of(variant_named(name).repository, cache)
        snapshot = folder.snapshot(COMMIT)
        write_checkpoint(snapshot)
        folder.ref("main").parent.mkdir(parents=True, exist_ok=True)
        folder.ref("main").write_text(COMMIT)
        made.append(snapshot)
    return made


def write_checkpoint(folder: Path) -> Path:
    """A checkpoint outside of any cache."""
    folder.mkdir(parents=True)
    for name, body in checkpoint_files().items():
        if "/" not in name:
            (folder / name).write_bytes(body)
    config = json.loads((folder / "config.json").read_text()) | ONE_B
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def played(
    cache: Path, hardware: Hardware = ONE_24_GB, missing: tuple[str, ...] = (), **settings: object
) -> LocalMachine:
    """A machine with that hardware and the weights in `cache`."""
    return LocalMachine(Settings.model_validate(settings), cache, probe=lambda: hardware, missing=lambda: missing)
