"""Finds a checkpoint on this machine and looks it over without reading its weights.

`verify` is what stands between a folder and a model: it reads the configuration and the headers of the weight files,
never the tensors, and takes milliseconds. What an interrupted download, a full disk or a wrong repository leaves behind
becomes one WeightsUnusable that says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from vision.errors import WeightsUnusable
from vision.types import Frozen
from vision.weights.layout import RepositoryFolder, repository_of
from vision.weights.safetensors_header import Header, read_header

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MODEL_TYPE = "internvl"
_CUSTOM_CODE = frozenset({"internvl_chat"})


class Checkpoint(Frozen):
    """A checkpoint that can be loaded. `size`: bytes of its weight files; `dtypes` as safetensors names them (BF16).

    `tile`: side of the vision tower's input in pixels; `tokens_per_tile`: what one tile costs in the prompt.
    `quantisation`: the method its weights are stored in (such as awq), None for plain weights.
    """

    folder: Path
    repository: str | None
    commit: str | None
    text_model: str
    tile: int
    tokens_per_tile: int
    files: tuple[str, ...]
    size: int
    dtypes: tuple[str, ...]
    quantisation: str | None = None


def find_snapshot(repository: str, revision: str | None = None, cache: Path | None = None) -> Path | None:
    """The folder of a repository's snapshot, whole or not; None when nothing of it is here.

    Without a revision: what `main` stood for when it was fetched, else the latest snapshot.
    """
    folder = RepositoryFolder.of(repository, cache)
    commit = folder.commit_of(revision or "main")
    if commit and folder.snapshot(commit).is_dir():
        return folder.snapshot(commit)
    return next(iter(folder.snapshots()), None) if revision is None else None


def find_checkpoint(repository: str, revision: str | None = None, cache: Path | None = None) -> Checkpoint:
    """A repository's checkpoint, ready to load. Raises WeightsUnusable when it is absent, incomplete or damaged."""
    folder = find_snapshot(repository, revision, cache)
    if folder is None:
        at = f" at revision {revision}" if revision else ""
        raise WeightsUnusable(f"{repository}{at} is not on this machine", f"Fetch it: internvl-mcp pull {repository}.")
    return verify(folder)


def local_checkpoints(wanted: Iterable[tuple[str, str | None]], cache: Path | None = None) -> dict[str, Checkpoint]:
    """Of (repository, revision), those that are here and whole, by repository. Takes milliseconds each."""
    found: dict[str, Checkpoint] = {}
    for repository, revision in wanted:
        folder = find_snapshot(repository, revision, cache)
        if folder is None:
            continue
        try:
            found[repository] = verify(folder)
        except WeightsUnusable:
            continue  # not whole: asking for it by name says why
    return found


def verify(folder: Path) -> Checkpoint:
    """Looks a checkpoint over. Raises WeightsUnusable."""
    tile, tokens = check_config(folder)
    config = _json(folder / "config.json")
    _check_preprocessor(folder, tile)
    _check_tokenizer(folder)
    files, headers = _weights(folder)
    repository = repository_of(folder)
    return Checkpoint(
        folder=folder,
        repository=repository,
        commit=folder.name if repository else None,
        text_model=str(config["text_config"].get("model_type", "unknown")),
        tile=tile,
        tokens_per_tile=tokens,
        files=tuple(files),
        size=sum(header.file_size for header in headers),
        dtypes=tuple(sorted({dtype for header in headers for dtype in header.dtypes})),
        quantisation=(config.get("quantization_config") or {}).get("quant_method"),
    )


def check_config(folder: Path) -> tuple[int, int]:
    """The tile's side in pixels and its tokens, after a look at config.json alone. Raises WeightsUnusable."""
    if not folder.is_dir():
        raise WeightsUnusable(f"there is no folder {folder}", "Give the folder that holds config.json.")
    config = _json(folder / "config.json")
    kind = config.get("model_type")
    if kind in _CUSTOM_CODE:
        raise WeightsUnusable(
            f"{_shown(folder)} needs code that comes with it, which is never run",
            f"Use the native repository: internvl-mcp pull {_native_name(folder)}.",
        )
    if kind != MODEL_TYPE:
        raise WeightsUnusable(
            f"{_shown(folder)} is no InternVL model (model_type {kind!r})",
            "Give a native InternVL checkpoint; `internvl-mcp plan` names those that fit this machine.",
        )
    for part in ("vision_config", "text_config"):
        if not isinstance(config.get(part), dict):
            raise _damaged(folder, f"config.json has no {part}")
    return _tile(folder, config)


def _tile(folder: Path, config: dict[str, Any]) -> tuple[int, int]:
    vision = config["vision_config"]
    side, patch = _square(vision.get("image_size", 448)), _square(vision.get("patch_size", 14))
    ratio = config.get("downsample_ratio", 0.5)
    if not side or not patch or not isinstance(ratio, int | float) or not 0 < ratio <= 1:
        raise _wrong_size(folder, f"image_size {vision.get('image_size')}, patch_size {vision.get('patch_size')}")
    across = Fraction(side, patch) * Fraction(ratio).limit_denominator(64)
    if side % patch or across.denominator != 1:
        raise _wrong_size(folder, f"{side} pixels do not divide into patches of {patch} shuffled by {ratio}")
    tokens = int(across) ** 2
    stated = config.get("image_seq_length", tokens)
    if stated != tokens:
        raise _wrong_size(folder, f"{side} pixels give {tokens} tokens a tile, image_seq_length says {stated}")
    return side, tokens


def _square(value: object) -> int | None:
    """The side of a square size, which configurations give as a number or as [side, side]."""
    side = value[0] if isinstance(value, list) and len(value) == 2 and value[0] == value[1] else value
    return side if isinstance(side, int) and side > 0 else None


def _check_preprocessor(folder: Path, tile: int) -> None:
    # The video preprocessor is left alone: published ones say 384 where the model wants 448, and it is not used.
    for name in ("preprocessor_config.json", "processor_config.json"):
        if not (folder / name).is_file():
            continue
        stated = _json(folder / name)
        size = stated.get("image_processor", stated).get("size")
        if isinstance(size, dict) and {"height", "width"} <= size.keys():
            found = _square([size["height"], size["width"]])
            if found != tile:
                raise _wrong_size(folder, f"{name} says {size['width']} x {size['height']}, config.json {tile}")


def _check_tokenizer(folder: Path) -> None:
    fast = (folder / "tokenizer.json").is_file()
    tables = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    if not (fast or tables) or not (folder / "tokenizer_config.json").is_file():
        raise _incomplete(folder, "its tokenizer is missing")
    for name in ("tokenizer_config.json", "tokenizer.json", "vocab.json"):
        if name != "tokenizer.json" and (folder / name).is_file():
            _json(folder / name)
        elif (folder / name).is_file():
            _check_ends(folder / name)


def _check_ends(path: Path) -> None:
    """A large JSON file that was cut off does not end as it should; parsing it all would take a tenth of a second."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        if not file.read().rstrip().endswith(b"}"):
            raise _damaged(path.parent, f"{path.name} is cut off")


def _weights(folder: Path) -> tuple[list[str], list[Header]]:
    """The weight files and their headers, each file as long as its header says and holding what the index says."""
    index: dict[str, str] = {}
    if (folder / INDEX).is_file():
        index = _json(folder / INDEX).get("weight_map", {})
        if not index or not all(isinstance(name, str) and Path(name).name == name for name in index.values()):
            raise _damaged(folder, f"{INDEX} names no files")
    files = sorted(set(index.values())) or [SINGLE]
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        which = f" ({missing[0]}{', …' if len(missing) > 1 else ''})"
        raise _incomplete(folder, f"{len(missing)} of its {len(files)} weight files are missing{which}")
    headers: list[Header] = []
    for name in files:
        try:
            header = read_header(folder / name)
        except ValueError as e:
            raise _damaged(folder, f"{name}: {e}") from e
        except OSError as e:
            raise _damaged(folder, f"{name} cannot be read ({e.strerror})") from e
        absent = sum(tensor not in header.names for tensor, where in index.items() if where == name)
        if absent:
            raise _damaged(folder, f"{name} lacks {absent} tensors that the index places there")
        headers.append(header)
    return files, headers


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as e:
        raise _incomplete(path.parent, f"{path.name} is missing") from e
    except OSError as e:
        raise _damaged(path.parent, f"{path.name} cannot be read ({e.strerror})") from e
    except ValueError as e:
        raise _damaged(path.parent, f"{path.name} is not JSON ({e})") from e
    if not isinstance(value, dict):
        raise _damaged(path.parent, f"{path.name} holds no object")
    return value


def _incomplete(folder: Path, what: str) -> WeightsUnusable:
    return WeightsUnusable(f"the checkpoint {_shown(folder)} is incomplete: {what}", _again(folder))


def _damaged(folder: Path, what: str) -> WeightsUnusable:
    return WeightsUnusable(f"the checkpoint {_shown(folder)} is damaged: {what}", _again(folder))


def _wrong_size(folder: Path, what: str) -> WeightsUnusable:
    return WeightsUnusable(
        f"the checkpoint {_shown(folder)} has a config with the wrong image size: {what}", _again(folder)
    )


def _again(folder: Path) -> str:
    repository = repository_of(folder)
    if repository:
        return f"Fetch what is wrong again: internvl-mcp pull {repository}."
    return "Copy the whole repository there again, or fetch one with internvl-mcp pull."


def _shown(folder: Path) -> str:
    repository = repository_of(folder)
    return f"{repository} ({folder.name[:7]})" if repository else str(folder)


def _native_name(folder: Path) -> str:
    repository = repository_of(folder) or "OpenGVLab/InternVL3_5-8B"
    return f"{repository}-HF" if "3_5" in repository else f"{repository}-hf"
