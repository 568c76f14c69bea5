"""Trains the nano model: the tower on what each patch shows, then all of it on the tasks, those of one tile first.

Usage: python -m tests.nano.train FOLDER [--minutes M] [--seed S]
FOLDER receives the checkpoint in the published layout, and state.pt, from which the same command goes on.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, GenerationConfig, InternVLConfig, InternVLForConditionalGeneration

from scripts.tiny_checkpoint import CHAT_TEMPLATE, Shape, make_checkpoint, write_processors
from tests.nano.batches import HOMES, TOKENS_A_TILE, Batch, Kinds, Stream
from tests.nano.drawing import CHARACTERS, COLOURS, LABELS, PATCHES, SHAPES, SIDE, UNKNOWN
from tests.nano.scenes import SCENES, draw
from tests.nano.tasks import COLOUR_ZH, DEFAULT, PLACES, SHAPE_ZH, WAY_ZH, Maker, messages
from vision.chat.types import TextPart

NANO = Shape((192, 576, 5, 6), (192, 576, 4, 6, 2), 32, 1024, "float32")
# What a patch's character and place in its shape are worth against the answer.
_LABEL_WEIGHTS = {"character": 3.0, "shape": 1.0, "colour": 1.0, "value": 1.0}
_EDGE_WEIGHT = 0.5
# Most tokens of an answer follow from those before.
_ANSWER_WEIGHT = 3.0
# What is drawn towards words is this times a picture's tokens: they stay about as large as words, so that layers can
# still write into them which frame or tile they are of.
_BOLDNESS = 0.5
# Layers of the text model after which a picture's tokens shall know whose they are.
_HOME_LAYER = 2
# Layers in which a head learns to look at what a word means in the pictures: from the word itself, and from before it.
_LIKE, _NEXT = 1, 2
_POINTING = 2.0
# Four characters in a token are the most that it has to tell apart: by less, one of thirty was lost.
_LETTERS = 6.0
_LABELS_BESIDE_ANSWERS = 0.25
# Share of a step in the running mean of the weights, which is what is saved as the model.
_MEAN = 0.01
_WARM_UP = 30
# Of normalised queries and keys at first: in heads of 32, at 1, no token could be picked out among a hundred.
_SHARPNESS = 1.7
# What in a query is by chance at first, the rest being the key of the same token; and how much of what attention finds
# is passed on at first.
_APART = 0.7
_COPIED = 0.2


# The labels that have names, and those that are numbers, with their classes.
_NAMED = {name: LABELS[name] for name in ("character", "shape", "colour")}
_PLACED = {name: count for name, count in LABELS.items() if name not in _NAMED}
# Tokens a side of a tile.
_SIDE = PATCHES // 2


def _names() -> list[tuple[str, ...]]:
    """All words for each class of the labels that have names."""
    shapes = [(name, f" {name}", f" {name}s", SHAPE_ZH[name]) for name in SHAPES]
    colours = [(name, f" {name}", COLOUR_ZH[name], f"{COLOUR_ZH[name]}的") for name in COLOURS]
    return [(), *((character, f" {character}") for character in CHARACTERS), (), *shapes, (), (), *colours]


_WORDS_ZH = [*COLOUR_ZH.values(), *SHAPE_ZH.values(), *PLACES.values(), *WAY_ZH.values()]
# What names the side of a tile in which a token is, for each row and each column of tokens.
_UPPER, _LOWER = (" top", "上面", "上"), (" bottom", "下面", "下")
_LEFT, _RIGHT = (" left", "左边", "左"), (" right", "右边", "右")


class Nano(nn.Module):
    """The model and, for training alone, what reads labels off the tower, and where things are off the projector."""

    def __init__(self, network: Any, tokenizer: Any) -> None:
        super().__init__()
        self.network = network
        self.labels = nn.Linear(network.config.vision_config.hidden_size, sum(LABELS.values()))
        # Of each of a token's four patches the character: what is said in order must be told apart in a token.
        self.letters = nn.Linear(network.config.text_config.hidden_size, 4 * LABELS["character"])
        # Of each the edges and the value; and the token's own row and column.
        self.places = nn.Linear(network.config.text_config.hidden_size, 4 * sum(_PLACED.values()) + 2 * _SIDE)
        self.homes = nn.Linear(network.config.text_config.hidden_size, sum(HOMES))
        self.words: torch.Tensor
        self.register_buffer("words", _shares([*_names()], tokenizer, network), persistent=False)
        sides = [(_UPPER, _LOWER)[row >= _SIDE // 2] for row in range(_SIDE) for _ in range(_SIDE)]
        across = [(_LEFT, _RIGHT)[column >= _SIDE // 2] for _ in range(_SIDE) for column in range(_SIDE)]
        self.sides: torch.Tensor
        shares = _shares(sides, tokenizer, network) + _shares(across, tokenizer, network)
        self.register_buffer("sides", shares, persistent=False)

    def losses(self, batch: Batch, tower: bool) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, float]]:
        """(of the labels, of the answers, what was right). `tower`: whether it learns too."""
        model = self.network.model
        with torch.set_grad_enabled(tower):
            patches = model.vision_tower(pixel_values=batch.pixels).last_hidden_state[:, 1:]
            seen, right = self._label_loss(patches, batch.labels) if tower else (torch.zeros(()), {})
        if batch.ids is None or batch.targets is None or batch.branches is None:
            return seen, None, right
        places = batch.ids == self.network.config.image_token_id
        patches = patches[: int(places.sum()) // TOKENS_A_TILE]
        side = round(patches.shape[1] ** 0.5)
        shuffled = model.pixel_shuffle(patches.reshape(len(patches), side, side, -1), scale_factor=0.5)
        features = model.multi_modal_projector(shuffled.reshape(len(patches), TOKENS_A_TILE, -1))
        labels = batch.labels[: len(features)]
        named = self._named(labels)
        seen = seen + self._named_loss(features, named) + self._placed_loss(features, labels)
        seen = seen + self._letters_loss(features, labels)
        embedded = model.language_model.embed_tokens(batch.ids)
        embedded = embedded.masked_scatter(places[..., None], features.to(embedded.dtype))
        out = model.language_model(
            inputs_embeds=embedded,
            attention_mask={"full_attention": _mask(batch.branches).to(embedded.dtype)},
            position_ids=batch.positions,
            use_cache=False,
            output_hidden_states=True,
            output_attentions=True,
        )
        seen = seen + self._pointing_loss(out.attentions, batch, places, named)
        seen = seen + self._home_loss(out.hidden_states[_HOME_LAYER][places], batch.homes)
        hidden = out.last_hidden_state
        wanted = batch.targets[:, 1:]
        chosen = wanted != UNKNOWN
        logits = self.network.lm_head(hidden[:, :-1][chosen]).float()
        right["answer"] = (logits.argmax(-1) == wanted[chosen]).float().mean().item()
        weights = batch.weights[:, 1:][chosen]
        lost = functional.cross_entropy(logits, wanted[chosen], reduction="none")
        return seen, _ANSWER_WEIGHT * (weights * lost).sum() / weights.sum(), right

    def _named(self, labels: torch.Tensor) -> torch.Tensor:
        """The words for what is there in each of a picture's tokens, (tiles, tokens, vocabulary)."""
        starts = torch.tensor([0, *itertools.accumulate(_NAMED.values())][: len(_NAMED)])
        classes = _of_tokens(labels[..., : len(_NAMED)].clamp(min=0) + starts).flatten(2)
        return self.words.float()[classes].sum(-2)

    def _pointing_loss(
        self, attentions: Sequence[torch.Tensor], batch: Batch, places: torch.Tensor, named: torch.Tensor
    ) -> torch.Tensor:
        """How far words are from looking at what they mean in the pictures, in one head, and what is before a word at
        what that shall mean, in one of a later layer.
        """
        assert batch.ids is not None and batch.targets is not None and batch.spelled is not None
        meant = torch.zeros(*batch.ids.shape, named.shape[-1], dtype=torch.bool)
        meant[places] = (named > 0).flatten(0, 1)
        meant = meant.transpose(1, 2)
        following = functional.pad(batch.targets[:, 1:], (0, 1), value=UNKNOWN)
        spelled = torch.zeros(*batch.ids.shape, batch.ids.shape[1], dtype=torch.bool)
        spelled[tuple(batch.spelled.T)] = True
        total = torch.zeros(())
        for words, layer in ((batch.ids.masked_fill(places, UNKNOWN), _LIKE), (following, _NEXT)):
            those = meant.gather(1, words.clamp(min=0)[..., None].expand(-1, -1, words.shape[1]))
            if layer == _NEXT:
                those = torch.where(spelled.any(-1, keepdim=True), spelled, those)
            seen = (attentions[layer][:, 0].float() * (those & (words >= 0)[..., None])).sum(-1)
            if (seen > 0).any():
                total = total - _POINTING * seen[seen > 0].log().mean()
        return total

    def _named_loss(self, features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """How far what the projector makes of a picture is from the words for what is there, and on which side."""
        there = wanted.sum(-1) > 0
        wanted = wanted + self.sides.float()
        embeddings = self.network.model.language_model.embed_tokens.weight
        said = (_BOLDNESS * features[there] @ embeddings.T).float().log_softmax(-1)
        return -(wanted[there] / wanted[there].sum(-1, keepdim=True) * said).sum(-1).mean()

    def _letters_loss(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """How far each patch's character is from being read off what the projector makes, if there is any."""
        wanted = _of_tokens(labels[..., :1])[..., 0]
        logits = self.letters(features).float().unflatten(-1, (4, -1))
        there = (wanted != UNKNOWN) & (wanted > 0).any(-1, keepdim=True)
        return _LETTERS * functional.cross_entropy(logits[there], wanted[there]) if there.any() else torch.zeros(())

    def _placed_loss(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """How far where things are, and the bars' values, is from being read off what the projector makes."""
        logits = self.places(features).float()
        rows, columns, rest = logits.split([_SIDE, _SIDE, 4 * sum(_PLACED.values())], -1)
        index = torch.arange(_SIDE**2).expand(logits.shape[:2])
        total = functional.cross_entropy(rows.transpose(1, 2), index // _SIDE)
        total = total + functional.cross_entropy(columns.transpose(1, 2), index % _SIDE)
        wanted = _of_tokens(labels[..., len(_NAMED) :])
        parts = rest.unflatten(-1, (4, -1)).split(list(_PLACED.values()), -1)
        for place, part in enumerate(parts):
            known = wanted[..., place] != UNKNOWN
            if known.any():
                total = total + functional.cross_entropy(part[known], wanted[..., place][known])
        return _EDGE_WEIGHT * total

    def _home_loss(self, hidden: torch.Tensor, homes: torch.Tensor) -> torch.Tensor:
        """How far it is from being read off a picture's tokens within the text model whose they are."""
        parts = self.homes(hidden).float().split(list(HOMES), -1)
        wanted = homes.repeat_interleave(TOKENS_A_TILE, 0)
        return sum(functional.cross_entropy(part, wanted[:, place]) for place, part in enumerate(parts))

    def _label_loss(self, patches: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        total = torch.zeros(())
        right: dict[str, float] = {}
        for place, (name, logits) in enumerate(
            zip(LABELS, self.labels(patches).float().split(list(LABELS.values()), -1), strict=True)
        ):
            wanted = labels[..., place]
            known = wanted != UNKNOWN
            if not known.any():
                continue
            total = total + _LABEL_WEIGHTS.get(name, _EDGE_WEIGHT) * functional.cross_entropy(
                logits[known], wanted[known]
            )
            something = known & (wanted > 0) if name in ("character", "shape", "colour") else known
            if something.any():
                right[name] = (logits.argmax(-1) == wanted)[something].float().mean().item()
        return total, right


def _shares(names: Sequence[Sequence[str]], tokenizer: Any, network: Any) -> torch.Tensor:
    """(names, vocabulary): the words for each that are one token, sharing 1."""
    shares = torch.zeros(len(names), network.config.text_config.vocab_size)
    for place, words in enumerate(names):
        known = [ids[0] for ids in (tokenizer(word).input_ids for word in words) if len(ids) == 1]
        shares[place, known] = 1 / max(1, len(known))
    return shares


def _of_tokens(labels: torch.Tensor) -> torch.Tensor:
    """(tiles, patches, labels) to (tiles, tokens, 4, labels): what pixel shuffle puts into a token."""
    count = labels.shape[-1]
    apart = labels.reshape(-1, _SIDE, 2, _SIDE, 2, count).transpose(2, 3)
    return apart.reshape(-1, _SIDE**2, 4, count)


def _mask(branches: torch.Tensor) -> torch.Tensor:
    """What is added to attention, (rows, 1, tokens, tokens): a branch sees itself and what all share."""
    before = torch.ones(2 * branches.shape[-1:], dtype=torch.bool).tril()
    seen = (branches[:, None] == branches[:, :, None]) | (branches[:, None] == 0)
    return torch.zeros(()).where(before & seen, torch.finfo(torch.bfloat16).min)[:, None]


def new_network(tokenizer: Any = None) -> tuple[Any, Any]:
    """(model, tokenizer) before any training; without a tokenizer with one that knows the prompts' words."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_checkpoint(Path(folder), shape=NANO)
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(made).train_new_from_iterator(
            corpus(), NANO.vocabulary, min_frequency=1, show_progress=False
        )
        config: Any = InternVLConfig.from_pretrained(made)
    number = tokenizer.convert_tokens_to_ids
    config.image_token_id = number("<IMG_CONTEXT>")
    config.tie_word_embeddings = False
    config.text_config.eos_token_id, config.text_config.pad_token_id = number("<|im_end|>"), number("<|endoftext|>")
    network = InternVLForConditionalGeneration(config)
    network.generation_config = GenerationConfig(
        bos_token_id=None, eos_token_id=number("<|im_end|>"), pad_token_id=number("<|endoftext|>"), do_sample=False
    )
    with torch.no_grad():
        for name, parameter in network.model.vision_tower.named_parameters():
            if "lambda_" in name:
                parameter.fill_(1.0)
            elif "position_embeddings" in name:
                parameter.normal_(0, 0.2)
        for name, parameter in network.model.language_model.named_parameters():
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                parameter.fill_(_SHARPNESS)
        for name, parameter in [*network.model.named_parameters(), *network.lm_head.named_parameters("lm_head")]:
            if "vision_tower" not in name and parameter.ndim == 2:  # the usual 0.02 is for wide models
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                parameter.normal_(0, 0.5 if "embed" in name else parameter.shape[1] ** -0.5 * (0.2 if last else 1))
        network.model.multi_modal_projector.linear_2.weight.mul_(0.5)
        for layer in network.model.language_model.layers[1:]:
            _match_and_copy(layer.self_attn)
    return network, tokenizer


def _match_and_copy(attention: Any) -> None:
    """Makes a layer's attention begin with what it must come to: a token looks for its like, and brings what else is
    there. From weights by chance that is found only after thousands of conversations.
    """
    heads = len(attention.q_proj.weight) // attention.head_dim
    groups = len(attention.k_proj.weight) // attention.head_dim

    def shared(weight: torch.Tensor) -> torch.Tensor:
        """For each query's head what its group has."""
        return weight.unflatten(0, (groups, -1)).repeat_interleave(heads // groups, 0).flatten(0, 1)

    attention.q_proj.weight.mul_(_APART).add_(shared(attention.k_proj.weight) * (1 - _APART**2) ** 0.5)
    attention.o_proj.weight.add_(_COPIED * shared(attention.v_proj.weight).T / (heads // groups))


def corpus() -> list[str]:
    """What the tools say and what is answered, without the words and numbers in pictures: those stay characters."""
    texts: list[str] = []
    for kind, chinese in itertools.product(SCENES, (0.0, 1.0)):
        make = Maker("tokenizer", "train", chinese)
        for _ in range(60):
            scene = draw(make, kind)
            for question in scene.questions:
                said = messages(scene, [question], encode=False)
                parts = [part.text for message in said for part in message.parts if isinstance(part, TextPart)]
                around = [part.replace(question.text or "\n", "\n") for part in parts]
                texts += [*around, *(_spelled(text) for text in (question.text or "", question.answer))]
    return [*texts, *["system\n", "user\n", "assistant\n", DEFAULT] * 50]


def _spelled(text: str) -> str:
    """Capitals in a row become a break, so that what stands in pictures is spelled; of Chinese only names are words."""
    text = re.sub("[A-Z]{2,}", "\n", text)
    return re.sub(f"({'|'.join(_WORDS_ZH)}|[\u3000-\uffef])", r"\n\1\n", text)


def save(folder: Path, place: tuple[int, int], learner: Learner, tokenizer: Any) -> None:
    """The checkpoint in the published layout, in float16, and what training goes on from at `place`: (stage, step)."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {name.removeprefix("network."): v.half() for name, v in learner.mean.items() if name.startswith("network.")}
    learner.replicas[0].network.save_pretrained(folder, state_dict=half)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for part in (config, config["vision_config"], config["text_config"]):
        part["dtype"] = "float16"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    write_processors(folder, SIDE, TOKENS_A_TILE)
    state = {"place": place, "model": learner.kept, "mean": learner.mean, "optimizer": learner.optimizer.state_dict()}
    torch.save(state, folder / "state.new")
    (folder / "state.new").replace(folder / "state.pt")


def _of_tower(name: str) -> bool:
    return "vision_tower" in name or name.startswith("labels")


@dataclass(frozen=True)
class Stage:
    """`kinds`: of scenes; `size`: tiles of the tower's stage, scenes of the others a step. The rate rises at the
    beginning, stays, and falls to nothing over the last `decay` steps; the tower learns at `tower_share` of it, or not.
    """

    kinds: Kinds
    steps: int
    size: int
    rate: float
    tower_share: float = 1.0
    decay: int = 0

    @property
    def tower(self) -> bool:
        return self.tower_share > 0

    def share_of_rate(self, step: int) -> float:
        return min(1.0, (step + 1) / _WARM_UP, max(0.02, (self.steps - step) / max(1, self.decay)))


RECIPE = (
    Stage("tower", 2500, 80, 1.5e-3, decay=800),
    Stage("one-tile", 500, 16, 2.5e-3, tower_share=0),
    Stage("all", 6000, 16, 2e-3, tower_share=0, decay=3600),
)


class Learner:
    """Two replicas that share their weights, one for each core: weights in bfloat16, the optimiser's in float32.

    A processor with bfloat16 instructions learns about three times as fast so, and eager attention is the fastest for
    tiles as small as these. `mean`: the running mean of the weights, which is what is saved as the model.
    """

    def __init__(self, nano: Nano, stage: Stage) -> None:
        self.stage = stage
        nano.network.model.vision_tower.set_attn_implementation("eager")
        nano.network.model.language_model.set_attn_implementation("eager")
        self.kept = {name: value.detach().float().clone() for name, value in nano.named_parameters()}
        self.mean = {name: value.clone() for name, value in self.kept.items()}
        self.replicas = [nano.to(torch.bfloat16), copy.deepcopy(nano)]
        for own, other in zip(*(replica.parameters() for replica in self.replicas), strict=True):
            other.data = own.data
        tower = [value for name, value in self.kept.items() if _of_tower(name)]
        text = [value for name, value in self.kept.items() if not _of_tower(name)]
        groups: list[dict[str, Any]] = [{"params": tower, "share": stage.tower_share}] if stage.tower else []
        if stage.kinds != "tower":
            groups.append({"params": text, "share": 1.0})
        self.optimizer = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.02)
        self.pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,))

    def step(self, number: int, batches: list[Batch]) -> list[dict[str, float]]:
        """Learns from the batches, the replicas side by side; what was right in each."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate * group["share"] * self.stage.share_of_rate(number)
        # The shortest go with the longest.
        shared = (batches[::3], batches[1:3]) if len(batches) == 4 else (batches[::2], batches[1::2])
        right = list(self.pool.map(self._learn, self.replicas, shared))
        with torch.no_grad():
            for kept, own, other in zip(
                self.kept.values(), *(replica.parameters() for replica in self.replicas), strict=True
            ):
                grads = [value.grad.float() for value in (own, other) if value.grad is not None]
                kept.grad = sum(grads[1:], grads[0]) if grads else None
                own.grad = other.grad = None
            torch.nn.utils.clip_grad_norm_(self.kept.values(), 1.0)
            self.optimizer.step()
            for kept, own in zip(self.kept.values(), self.replicas[0].parameters(), strict=True):
                own.copy_(kept)
            for mean, kept in zip(self.mean.values(), self.kept.values(), strict=True):
                mean.lerp_(kept, max(_MEAN, 1 / (number + 1)))
        return right

    def _learn(self, nano: Nano, batches: Sequence[Batch]) -> dict[str, float]:
        """What was right, on average."""
        found: list[dict[str, float]] = []
        for batch in batches:
            batch.pixels = batch.pixels.bfloat16()
            seen, answered, right = nano.losses(batch, self.stage.tower)
            labels = seen / 2 / len(batches)
            (labels if answered is None else answered * batch.share + _LABELS_BESIDE_ANSWERS * labels).backward()
            right["loss"] = (seen if answered is None else answered).item()
            found.append(right)
        return {name: sum(right.get(name, 0.0) for right in found) / len(found) for name in found[0]}


def train(folder: Path, minutes: float, seed: int) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    ends = time.monotonic() + 60 * minutes
    state: dict[str, Any] | None = torch.load(folder / "state.pt") if (folder / "state.pt").exists() else None
    network, tokenizer = new_network(AutoTokenizer.from_pretrained(folder) if state else None)
    nano = Nano(network, tokenizer)
    at, step = state["place"] if state else (0, 0)
    if state:
        nano.load_state_dict(state["model"], strict=False)
    for place in range(at, len(RECIPE)):
        learner = Learner(nano, RECIPE[place])
        if state and step:
            learner.mean = state["mean"]
            learner.optimizer.load_state_dict(state["optimizer"])
        step = _stage(folder, learner, tokenizer, (place, step), f"{seed} {step}", ends)
        if step < RECIPE[place].steps:
            return
        nano.float().load_state_dict(learner.kept, strict=False)
        step = 0


def _stage(folder: Path, learner: Learner, tokenizer: Any, at: tuple[int, int], seed: str, ends: float) -> int:
    """The stage from step at[1] on, as far as the time goes; how far that was."""
    stage = learner.stage
    stream = Stream(stage.kinds, stage.size, stage.tower, seed, tokenizer)
    batches = iter(DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4))
    said = time.monotonic()
    sums: dict[str, list[float]] = {}
    step = at[1]
    while step < stage.steps and said < ends:
        for right in learner.step(step, next(batches)):
            for name, value in right.items():
                sums.setdefault(name, []).append(value)
        step += 1
        if step % 25 == 0:
            now = time.monotonic()
            means = " ".join(f"{name} {sum(values) / len(values):.3f}" for name, values in sums.items())
            sys.stdout.write(f"{stage.kinds} {step} {25 / (now - said):.2f}/s {means}\n")
            sys.stdout.flush()
            said, sums = now, {}
        if step % 100 == 0:
            save(folder, (at[0], step), learner, tokenizer)
    done = step == stage.steps
    save(folder, (at[0] + 1, 0) if done and at[0] + 1 < len(RECIPE) else (at[0], step), learner, tokenizer)
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    train(given.folder, given.minutes, given.seed)


if __name__ == "__main__":
    main()
