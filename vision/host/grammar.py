"""Answers that are held to a JSON Schema: of the tokens that could come next, only those that keep the answer valid are
left. llguidance (github.com/guidance-ai/llguidance), imported here alone, works in linear time and within limits of its
own, for compiling as for each token, so that no schema and no pattern can hold the others up.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vision.errors import EngineUnavailable, InvalidArgument, ModelFailed

if TYPE_CHECKING:
    from llguidance import LLMatcher
    from llguidance._lib import JsonCompileOptions  # only its stub has it

    from vision.host.model import Model

# One way to write each value: a small model that may choose blanks can go on with them for ever.
_WRITTEN: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_KEPT = 16
_SHOWN_CHARACTERS = 300


class Grammar:
    """One answer's place in its schema. Not for several threads at a time."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def hold(self, logits: torch.Tensor) -> None:
        """Leaves only the tokens that may come next: all others of (vocabulary,) become -inf, in place."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        barred = np.ones(logits.shape[0], np.bool_)
        known = min(len(bits), len(barred))
        barred[:known] = bits[:known] == 0
        if logits.device.type == "cpu":  # torch would wake its threads for it: ten times as long beside other work
            np.copyto(logits.numpy(), -np.inf, where=barred)
        else:
            logits.masked_fill_(torch.from_numpy(barred).to(logits.device), float("-inf"))

    def take(self, token: int) -> ModelFailed | None:
        """Goes on by a token; the error to end with where the schema asks for more work than a token may take."""
        if self._matcher.consume_token(token):
            return None
        return ModelFailed(
            f"the answer could not be held to the schema: {_short(self._matcher.get_error())}",
            "Ask with a simpler schema: fewer alternatives, shorter patterns.",
        )


class Grammars:
    """Compiles schemas for one model's tokens, and keeps the last ones. Not for several threads."""

    def __init__(self) -> None:
        self._tokens: Any = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def begin(self, schema: dict[str, Any], model: Model) -> Grammar:
        """The start of an answer. Raises InvalidArgument for a schema that nothing is valid under, or that cannot be
        held to; EngineUnavailable without llguidance.
        """
        key = json.dumps(schema)
        known = self._compiled.get(key)
        if known is None:
            known = self._compile(schema, model)
            self._compiled[key] = known
            while len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return Grammar(known.deep_copy())

    def _compile(self, schema: dict[str, Any], model: Model) -> LLMatcher:
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ImportError as e:
            raise EngineUnavailable(
                "answers under a JSON Schema need llguidance, which is not installed",
                "Install the extra [local] anew: uv pip install 'internvl-mcp[local]'.",
            ) from e
        if self._tokens is None:
            self._tokens = from_tokenizer(model.tokenizer, eos_token=sorted(model.ends))
        matcher = LLMatcher(self._tokens, LLMatcher.grammar_from_json_schema(schema, overrides=_WRITTEN), log_level=0)
        if matcher.is_error():
            raise InvalidArgument(
                f"no answer can be held to this schema: {_short(matcher.get_error())}",
                "Mend the schema, or leave out what this names.",
            )
        return matcher


def _short(error: str) -> str:
    return " ".join(error.split())[:_SHOWN_CHARACTERS]
