"""The loaded model: what of torch and transformers the generator needs, and nothing more.

Native checkpoints only (InternVLForConditionalGeneration of transformers), never code from a repository.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from jinja2 import TemplateError
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    DynamicCache,
    InternVLConfig,
    InternVLForConditionalGeneration,
)
from transformers.cache_utils import DynamicLayer
from transformers.utils import logging as transformers_logging

from vision.chat.host_spec import HostSpec
from vision.chat.types import ImagePart, Message, TextPart
from vision.errors import EngineUnavailable, OutOfMemory, VisionError, WeightsUnusable
from vision.host.caches import KV
from vision.host.prompt import IMAGE, TileShape, text_of
from vision.host.tiling import normalised

if TYPE_CHECKING:
    from vision.variants.plan import Plan

logger = logging.getLogger("internvl_mcp")

# Tiles that go through the vision tower at once: on a processor one, so that cancelling need not wait for more.
_TILES_AT_ONCE = {"cpu": 1}
_TILES_AT_ONCE_ON_GPU = 8
# With the vision tower's full path: its bare name silently quantises it all the same (bitsandbytes 0.50).
_NOT_QUANTISED = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
# What processors, Apple's devices and CUDA's libraries say in a plain RuntimeError.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "Invalid buffer size")
# A configuration with wrong values fails wherever they are first used, by whatever that raises.
_LOADING_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, StrictDataclassError)
_LOADING_ERRORS += (SafetensorError, ImportError, RuntimeError, MemoryError)


class Interrupted(Exception):
    """Raised between two layers when whoever asked has gone away."""


class Model:
    """Not for several threads, and only under `torch.inference_mode()`.

    Token tensors are (1, tokens) or (batch, 1), features (tokens, hidden size).
    """

    def __init__(self, network: Any, tokenizer: Any, plan: Plan) -> None:
        self._network = network
        self._text = network.model.language_model
        self._vision_device = next(network.model.vision_tower.parameters()).device
        self._text_device = network.get_input_embeddings().weight.device
        self._interrupted: Callable[[], bool] | None = None
        config = network.config
        side = _side(config.vision_config.image_size)
        patches = side // _side(config.vision_config.patch_size)
        self.tile = TileShape(side, round((patches * config.downsample_ratio) ** 2))
        self.tokenizer = tokenizer
        self.tiles_at_once = _TILES_AT_ONCE.get(plan.device, _TILES_AT_ONCE_ON_GPU)
        self.context = min(plan.context, config.text_config.max_position_embeddings)
        self.ends = _end_tokens(network, tokenizer)
        # Layers that forget (sliding windows) cannot be cut to a prefix or joined to a batch.
        layers = DynamicCache(config=config.text_config).layers
        self.sliceable = all(type(layer) is DynamicLayer for layer in layers)
        for layer in (*network.model.vision_tower.encoder.layer, *self._text.layers):
            layer.register_forward_pre_hook(self._check)

    def _check(self, *_: Any) -> None:
        if self._interrupted is not None and self._interrupted():
            raise Interrupted

    def interruptible(self, interrupted: Callable[[], bool] | None) -> None:
        """From now on every layer asks this first and raises Interrupted when it says so; None: none asks."""
        self._interrupted = interrupted

    def see(self, pixels: np.ndarray) -> list[torch.Tensor]:
        """(tiles, side, side, 3) uint8 to the features of each tile, (tokens, hidden size), in ordinary memory."""
        values = torch.from_numpy(normalised(pixels)).to(self._vision_device)
        features = self._network.model.get_image_features(pixel_values=values, return_dict=True).pooler_output
        return [tile.clone() for tile in features.to("cpu")]

    def embed(self, ids: np.ndarray, image_id: int, features: torch.Tensor | None) -> torch.Tensor:
        """(1, tokens, hidden size): the tokens' embeddings, the features at the picture tokens' places, in order."""
        tokens = torch.from_numpy(ids)[None].to(self._text_device)
        embedded = self._network.get_input_embeddings()(tokens)
        if features is None:
            return embedded
        seen = features.to(embedded.device, embedded.dtype)
        return embedded.masked_scatter((tokens == image_id)[..., None], seen)

    def prefill(self, embedded: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Runs the next part of one prompt; the logits (1, vocabulary) after its last token, float32."""
        start = cache.get_seq_length()
        places = torch.arange(start, start + embedded.shape[1], device=embedded.device)[None]
        return self._forward(embedded, cache, places, None)

    def step(
        self, tokens: torch.Tensor, cache: DynamicCache, mask: torch.Tensor | None, places: torch.Tensor
    ) -> torch.Tensor:
        """One token more for each row: `tokens` and `places` (batch, 1), `mask` (batch, tokens so far and this one),
        None where no row is padded. The logits (batch, vocabulary), float32.
        """
        embedded = self._network.get_input_embeddings()(tokens.to(self._text_device))
        mask = None if mask is None else mask.to(self._text_device)
        return self._forward(embedded, cache, places.to(self._text_device), mask)

    def _forward(
        self, embedded: torch.Tensor, cache: DynamicCache, places: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        hidden = self._text(
            inputs_embeds=embedded, past_key_values=cache, position_ids=places, attention_mask=mask, use_cache=True
        ).last_hidden_state
        return self._network.lm_head(hidden[:, -1]).float()

    def cache(self, kv: KV | None = None) -> DynamicCache:
        """A cache that begins with `kv`, whose tensors are not written to."""
        made = DynamicCache(config=self._network.config.text_config)
        layers: list[Any] = made.layers
        for layer, (keys, values) in zip(layers, kv or (), strict=kv is not None):
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values  # not copied: a layer grows by making new tensors
        return made

    def device_bytes(self) -> int | None:
        """Memory the model's tensors take on its devices; None where only the system knows (a processor)."""
        kind = self._text_device.type
        if kind == "mps":
            return torch.mps.current_allocated_memory()
        if kind == "cpu":
            return None
        module = torch.get_device_module(kind)
        return sum(module.memory_allocated(i) for i in range(module.device_count()))

    def release_unused(self) -> None:
        """Gives memory that torch holds in reserve back to the device."""
        if self._text_device.type != "cpu":
            torch.get_device_module(self._text_device.type).empty_cache()


def kv_of(cache: DynamicCache) -> KV:
    layers: list[Any] = cache.layers
    return tuple((layer.keys, layer.values) for layer in layers)


# While transformers loads, it swaps methods of its classes and torch's default type for the whole process: two loads
# side by side can leave those swapped for good.
LOADING = threading.Lock()


def load(spec: HostSpec, progress: Callable[[float], None]) -> Model:
    """Loads what the plan says from the checkpoint's folder; `progress` gets the share of tensors in place.

    Raises WeightsUnusable, OutOfMemory, EngineUnavailable.
    """
    with LOADING:
        transformers_logging.set_verbosity_error()
        transformers_logging.set_tqdm_hook(_counting(progress))
        try:
            return _load(spec)
        except _LOADING_ERRORS as e:
            raise _explained(e, spec) from e
        finally:
            transformers_logging.set_tqdm_hook(None)


def _load(spec: HostSpec) -> Model:
    plan, folder = spec.own, spec.folder
    config = InternVLConfig.from_pretrained(folder, local_files_only=True)
    # The key is absent in the published configurations and means True then, although most hold a head of their own.
    config.tie_word_embeddings = not _has_head(folder)
    loaded: Any = InternVLForConditionalGeneration.from_pretrained(
        folder,
        config=config,
        dtype=getattr(torch, plan.dtype),
        device_map=_device_map(plan),
        attn_implementation=plan.attention,
        quantization_config=_quantisation(plan),
        local_files_only=True,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # reported below, by name
        output_loading_info=True,
    )
    network, report = loaded
    wrong = [*report["missing_keys"], *(str(entry[0]) for entry in report["mismatched_keys"])]
    if wrong:
        raise WeightsUnusable(
            f"the checkpoint in {folder.name} lacks {len(wrong)} tensors or has them in other shapes than its "
            f"configuration tells, {sorted(wrong)[0]} among them",
            f"Fetch it again: internvl-mcp pull {plan.variant}.",
        )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    _require_whole(network, tokenizer)
    return Model(network.eval(), tokenizer, plan)


def _require_whole(network: Any, tokenizer: Any) -> None:
    """That the parts fit each other: what does not shows only with the first picture, or as a fault of the device.

    Raises ValueError.
    """
    vision, ratio = network.config.vision_config, network.config.downsample_ratio
    side, patch = _side(vision.image_size), _side(vision.patch_size)
    if side % patch or (side // patch * ratio) % 1:
        raise ValueError(f"pictures of {side} pixels cannot be cut into patches of {patch} and joined by {ratio}")
    if network.config.vision_feature_select_strategy != "default":
        raise ValueError("its pictures' features count one that is no patch (vision_feature_select_strategy)")
    if tokenizer.get_vocab().get(IMAGE) is None:
        raise ValueError(f"the tokenizer has no token {IMAGE}")
    highest, rows = max(tokenizer.get_vocab().values()), network.get_input_embeddings().weight.shape[0]
    if highest >= rows:
        raise ValueError(f"the tokenizer has tokens up to {highest}, the model {rows} embeddings")
    asked = Message(role="user", parts=(ImagePart(data=b""), TextPart(text="?")))
    try:
        pictures = text_of((asked,), tokenizer).count(IMAGE)
    except TemplateError as e:
        raise ValueError(f"its chat template is broken: {e}") from e
    if pictures != 1:
        raise ValueError("its chat template takes no pictures")


def _has_head(folder: Path) -> bool:
    """Published repositories call it language_model.lm_head, the class itself lm_head."""
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as opened:
            if any(name.endswith("lm_head.weight") for name in opened.keys()):  # noqa: SIM118 - not a mapping
                return True
    return False


def _device_map(plan: Plan) -> dict[str, Any]:
    if plan.device_map:
        return dict(plan.device_map)
    return {"": f"{plan.device}:{plan.devices[0]}" if plan.devices else plan.device}


def _quantisation(plan: Plan) -> BitsAndBytesConfig | None:
    if plan.quantisation == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,  # the catalogue's bytes count on it
            bnb_4bit_compute_dtype=getattr(torch, plan.dtype),
            llm_int8_skip_modules=_NOT_QUANTISED,
        )
    if plan.quantisation == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=_NOT_QUANTISED)
    return None


def _counting(progress: Callable[[float], None]) -> Callable[..., Any]:
    """A hook for transformers' progress bars that counts and shows nothing."""

    class Counter:
        def __init__(self, iterable: Any = None, **options: Any) -> None:
            self._iterable = iterable
            self._total = options.get("total") or (len(iterable) if hasattr(iterable, "__len__") else 0)

        def __iter__(self) -> Any:
            for place, item in enumerate(self._iterable):
                yield item
                progress((place + 1) / max(self._total, place + 1))

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, _: int = 1) -> None: ...

        def set_postfix(self, *_: Any, **__: Any) -> None: ...

        def close(self) -> None: ...

    return lambda _factory, args, options: Counter(*args, **options)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that a device or the machine has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def out_of_memory() -> OutOfMemory:
    return OutOfMemory(
        "there is not enough memory for this question",
        "Ask with fewer or smaller pictures or frames, end other programs on the device, or choose a smaller variant.",
    )


def _explained(error: Exception, spec: HostSpec) -> VisionError:
    if isinstance(error, VisionError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(
            "there is not enough memory for loading the model",
            "End other programs on the device, or choose a smaller variant or a quantisation.",
        )
    if isinstance(error, ImportError):
        return EngineUnavailable(
            f"a library that {spec.plan.quantisation} needs is missing: {error}",
            "Install it (pip install 'internvl-mcp[local]'), or set quantisation to none.",
        )
    logger.error("loading failed", exc_info=error)
    first = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    return WeightsUnusable(
        f"the checkpoint in {spec.folder.name} cannot be loaded: {first}",
        f"Fetch it again: internvl-mcp pull {spec.plan.variant}.",
    )


def _side(size: Any) -> int:
    """Sizes stand as a number or as a pair of equal numbers."""
    return int(size[0] if isinstance(size, list | tuple) else size)


def _end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    named = network.generation_config.eos_token_id
    ends = {int(tokenizer.eos_token_id)} if tokenizer.eos_token_id is not None else set()
    if named is not None:
        ends |= {int(token) for token in (named if isinstance(named, list) else [named])}
    return frozenset(ends)
