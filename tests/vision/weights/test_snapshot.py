from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vision.weights.site import COMMIT, REPOSITORY, SHARDS, safetensors
from vision.errors import WeightsUnusable
from vision.weights.layout import RepositoryFolder
from vision.weights.pull import Puller
from vision.weights.snapshot import find_checkpoint, find_snapshot, local_checkpoints, verify

MakePuller = Callable[..., Puller]
Change = Callable[[Path], object]


def config(**changes: Any) -> Change:
    """Changes top keys of config.json; a None removes one."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        values = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))

    return change


def sized(image: Any, patch: Any = 14) -> Change:
    return config(vision_config={"image_size": image, "patch_size": patch})


def without(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def holding(name: str, body: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(body)


def cut(name: str, by: int = 1) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-by])


def test_a_whole_checkpoint_tells_what_it_is(checkpoint: Path) -> None:
    found = verify(checkpoint)
    assert (found.tile, found.tokens_per_tile, found.text_model) == (448, 256, "qwen3")
    assert (found.files, found.dtypes, found.quantisation) == (SHARDS, ("BF16",), None)
    assert found.size == sum((checkpoint / name).stat().st_size for name in SHARDS)
    assert (found.repository, found.commit) == (None, None)


def test_one_file_without_an_index_is_a_whole_checkpoint(checkpoint: Path) -> None:
    without("model.safetensors.index.json", *SHARDS)(checkpoint)
    holding("model.safetensors", safetensors({"a": 10}))(checkpoint)
    assert verify(checkpoint).files == ("model.safetensors",)


@pytest.mark.parametrize(("image", "tokens"), [(224, 64), ([112, 112], 16), (448, 256), (896, 1024)])
def test_any_size_that_divides_into_tokens_is_right(checkpoint: Path, image: Any, tokens: int) -> None:
    sized(image)(checkpoint)
    config(image_seq_length=tokens)(checkpoint)
    side = image if isinstance(image, int) else image[0]
    holding("preprocessor_config.json", json.dumps({"size": {"height": side, "width": side}}).encode())(checkpoint)
    assert verify(checkpoint).tokens_per_tile == tokens


def test_the_video_preprocessors_384_does_not_matter(checkpoint: Path) -> None:
    assert json.loads((checkpoint / "video_preprocessor_config.json").read_text())["size"]["height"] == 384
    verify(checkpoint)


@pytest.mark.parametrize(
    "change",
    [
        without("preprocessor_config.json"),
        without("tokenizer.json"),
        without("vocab.json", "merges.txt"),
        config(image_seq_length=None),
        config(downsample_ratio=None),
    ],
)
def test_what_can_be_done_without_may_be_absent(checkpoint: Path, change: Change) -> None:
    change(checkpoint)
    assert verify(checkpoint).tile == 448


BAD: list[tuple[str, Change, str]] = [
    ("no config", without("config.json"), r"is incomplete: config\.json is missing"),
    ("half a config", holding("config.json", b'{"model_type": "inter'), r"is damaged: config\.json is not JSON"),
    ("config not UTF-8", holding("config.json", b"\xff\xfe\x00"), r"is damaged: config\.json is not JSON"),
    ("config a list", holding("config.json", b"[]"), r"config\.json holds no object"),
    ("custom code", config(model_type="internvl_chat"), "needs code that comes with it, which is never run"),
    ("another model", config(model_type="llava"), r"is no InternVL model \(model_type 'llava'\)"),
    ("no model type", config(model_type=None), r"is no InternVL model \(model_type None\)"),
    ("no vision", config(vision_config=None), "has no vision_config"),
    ("no text", config(text_config=[]), "has no text_config"),
    ("384 pixels", sized(384), "wrong image size: 384 pixels do not divide"),
    ("odd patches", sized(462), "wrong image size: 462 pixels do not divide into patches of 14 shuffled by 0.5"),
    ("not square", sized([448, 224]), r"wrong image size: image_size \[448, 224\]"),
    ("no number", sized("large"), "wrong image size: image_size large"),
    ("zero", sized(0), "wrong image size"),
    ("yes", sized(True), "wrong image size"),
    ("ratio 0", config(downsample_ratio=0), "wrong image size"),
    ("ratio 0.3", config(downsample_ratio=0.3), "wrong image size"),
    ("token count", config(image_seq_length=64), "448 pixels give 256 tokens a tile, image_seq_length says 64"),
    (
        "preprocessor of 384",
        holding("preprocessor_config.json", b'{"size": {"height": 384, "width": 384}}'),
        r"wrong image size: preprocessor_config\.json says 384 x 384, config\.json 448",
    ),
    (
        "processor of 384",
        holding("processor_config.json", b'{"image_processor": {"size": {"height": 384, "width": 384}}}'),
        r"processor_config\.json says 384 x 384",
    ),
    ("no tokenizer", without("tokenizer.json", "merges.txt"), "is incomplete: its tokenizer is missing"),
    ("no tokenizer config", without("tokenizer_config.json"), "is incomplete: its tokenizer is missing"),
    ("half a tokenizer", holding("tokenizer.json", b'{"model": {"vocab": {"a"'), r"tokenizer\.json is cut off"),
    ("empty tokenizer", holding("tokenizer.json", b""), r"tokenizer\.json is cut off"),
    ("half a vocabulary", cut("vocab.json"), r"vocab\.json is not JSON"),
    ("no weights", without("model.safetensors.index.json", *SHARDS), "1 of its 1 weight files are missing"),
    ("one shard gone", without(SHARDS[1]), f"1 of its 2 weight files are missing \\({SHARDS[1]}\\)"),
    ("both shards gone", without(*SHARDS), f"2 of its 2 weight files are missing \\({SHARDS[0]}, …\\)"),
    ("a shard cut off", cut(SHARDS[0], 400_000), f"{SHARDS[0]}: it has 1100194 bytes where its header says 1500194"),
    ("a shard cut in its header", holding(SHARDS[0], safetensors({"a": 10})[:40]), "cut off in its header"),
    ("an empty shard", holding(SHARDS[0], b""), "cut off in its header"),
    ("zeros", holding(SHARDS[0], bytes(4096)), "is damaged"),
    ("a web page", holding(SHARDS[0], b"<!doctype html><html>Not found</html>"), "cut off in its header"),
    ("header of a list", holding(SHARDS[0], (2).to_bytes(8, "little") + b"[]"), "its header holds no object"),
    ("header of numbers", holding(SHARDS[0], (8).to_bytes(8, "little") + b'{"a": 1}'), "describes no tensors"),
    ("another file's shard", holding(SHARDS[0], safetensors({"z": 10})), "lacks 2 tensors that the index places there"),
    ("half an index", cut("model.safetensors.index.json", 9), r"index\.json is not JSON"),
    ("an empty index", holding("model.safetensors.index.json", b"{}"), "names no files"),
    (
        "an index that leaves the folder",
        holding("model.safetensors.index.json", b'{"weight_map": {"a": "../../secret.safetensors"}}'),
        "names no files",
    ),
]


@pytest.mark.parametrize(("change", "says"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_a_checkpoint_that_cannot_be_used_is_one_error_with_advice(checkpoint: Path, change: Change, says: str) -> None:
    change(checkpoint)
    with pytest.raises(WeightsUnusable, match=says) as error:
        verify(checkpoint)
    assert "internvl-mcp" in error.value.hint


def test_no_folder_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnusable, match="there is no folder"):
        verify(tmp_path / "nothing")


def test_a_repository_that_is_not_here_says_how_to_fetch_it(cache: Path) -> None:
    with pytest.raises(WeightsUnusable, match="is not on this machine") as error:
        find_checkpoint(REPOSITORY, cache=cache)
    assert error.value.hint == f"Fetch it: internvl-mcp pull {REPOSITORY}."


def test_a_pulled_checkpoint_is_found_by_its_repository(puller: MakePuller, cache: Path) -> None:
    puller().pull(REPOSITORY)
    for revision in (None, "main", COMMIT):
        found = find_checkpoint(REPOSITORY, revision, cache)
        assert (found.repository, found.commit) == (REPOSITORY, COMMIT)
    assert find_snapshot(REPOSITORY, "v1", cache) is None


def test_a_pinned_checkpoint_is_found_without_a_revision(puller: MakePuller, cache: Path) -> None:
    puller().pull(REPOSITORY, COMMIT)
    assert find_checkpoint(REPOSITORY, cache=cache).commit == COMMIT


def test_a_half_pulled_checkpoint_is_told_from_a_whole_one(
    puller: MakePuller, cache: Path, folder: RepositoryFolder
) -> None:
    puller().pull(REPOSITORY)
    assert list(local_checkpoints([(REPOSITORY, None), ("a/b", None)], cache)) == [REPOSITORY]
    (folder.snapshot(COMMIT) / SHARDS[1]).resolve().unlink()
    assert local_checkpoints([(REPOSITORY, None)], cache) == {}
    with pytest.raises(WeightsUnusable, match="incomplete") as error:
        find_checkpoint(REPOSITORY, cache=cache)
    assert f"internvl-mcp pull {REPOSITORY}" in error.value.hint


def test_a_repository_of_code_names_its_native_one(puller: MakePuller, cache: Path, folder: RepositoryFolder) -> None:
    puller().pull(REPOSITORY)
    (folder.snapshot(COMMIT) / "config.json").resolve().write_text('{"model_type": "internvl_chat"}')
    with pytest.raises(WeightsUnusable) as error:
        find_checkpoint(REPOSITORY, cache=cache)
    assert f"{REPOSITORY}-HF" in error.value.hint


def test_looking_for_checkpoints_loads_no_library() -> None:
    ask = "import sys, vision.weights.snapshot, vision.weights.job; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    heavy = {"huggingface_hub", "safetensors", "torch", "transformers", "numpy", "httpx2", "filelock", "PIL"}
    assert not heavy & set(told.stdout.split())
