"""Which layers stand on which device.

The first device holds everything beside the layers, final norm and lm_head too: ids go in and logits come out on one
device, and between the layers accelerate's hooks move what a layer is given. Devices are taken in order of the bytes
they offer, so that more bytes on any of them never make a model fit worse.
"""

from __future__ import annotations

from typing import NamedTuple

from vision.variants.estimate import Build, Capacity, base_cost, layer_cost, part
from vision.variants.plan import PartBytes


class Offer(NamedTuple):
    """Bytes that may be used on a device."""

    available: int
    device: int


class Layout(NamedTuple):
    """Devices in the order in which the layers run through them, with the layers each holds."""

    devices: tuple[int, ...]
    layers: tuple[int, ...]
    parts: tuple[PartBytes, ...]


def largest_first(offers: list[Offer]) -> list[Offer]:
    return sorted(offers, key=lambda offer: (-offer.available, offer.device))


class Needs(NamedTuple):
    """Bytes of a build at one capacity: the first device and any other without layers, and one layer."""

    first: int
    other: int
    layer: int
    layers: int

    @classmethod
    def of(cls, build: Build, capacity: Capacity, feature_cache: int = 0) -> Needs:
        return cls(
            base_cost(build, capacity, first=True, feature_cache=feature_cache).total,
            base_cost(build, capacity, first=False).total,
            layer_cost(build, capacity).total,
            build.variant.text.layers,
        )

    @property
    def together(self) -> int:
        """The whole model on a single device."""
        return self.first + self.layers * self.layer


def rooms(needs: Needs, offers: list[Offer]) -> list[int] | None:
    """Layers that each device can take, given largest first; None when the model does not fit."""
    first = offers[0].available - needs.first
    if first < 0:
        return None
    found = [first // needs.layer, *(max(0, offer.available - needs.other) // needs.layer for offer in offers[1:])]
    return found if sum(found) >= needs.layers else None


def place(build: Build, capacity: Capacity, offers: list[Offer], feature_cache: int = 0) -> Layout | None:
    """The layout that leaves the most bytes free on the fullest device; None where the model does not fit."""
    room = rooms(Needs.of(build, capacity, feature_cache), offers)
    if room is None:
        return None
    layer = layer_cost(build, capacity)
    bases = [base_cost(build, capacity, first=i == 0, feature_cache=feature_cache) for i in range(len(offers))]
    held = [0] * len(offers)
    for _ in range(build.variant.text.layers):
        left = [
            (offer.available - base.total - count * layer.total, -i)
            for i, (offer, base, count) in enumerate(zip(offers, bases, held, strict=True))
            if count < room[i]
        ]
        held[-max(left)[1]] += 1
    used = [i for i, count in enumerate(held) if count or i == 0]
    parts = tuple(
        part(device_name(build, offers[i].device), bases[i], layer, held[i], offers[i].available) for i in used
    )
    return Layout(tuple(offers[i].device for i in used), tuple(held[i] for i in used), parts)


def device_map(layout: Layout) -> dict[str, int]:
    """Submodule to device index as accelerate takes it, named as in transformers' InternVLForConditionalGeneration."""
    if len(layout.devices) < 2:
        return {}
    first = layout.devices[0]
    language = "model.language_model"
    placed = dict.fromkeys(
        (
            "model.vision_tower",
            "model.multi_modal_projector",
            f"{language}.embed_tokens",
            f"{language}.rotary_emb",
            f"{language}.norm",
            "lm_head",
        ),
        first,
    )
    owners = [device for device, count in zip(layout.devices, layout.layers, strict=True) for _ in range(count)]
    return placed | {f"{language}.layers.{i}": device for i, device in enumerate(owners)}


def device_name(build: Build, index: int) -> str:
    return build.kind if build.kind in ("cpu", "mps") else f"{build.kind}:{index}"
