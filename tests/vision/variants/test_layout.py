from __future__ import annotations

import itertools
import random

import pytest

from tests.vision.variants.test_catalogue import _on_meta
from vision.variants.candidates import GPU_LADDER
from vision.variants.catalogue import variant_named
from vision.variants.estimate import Build, Capacity
from vision.variants.layout import Layout, Needs, Offer, device_map, largest_first, place, rooms

GB = 10**9
SMALL = Capacity(context=4096, batch=1, max_tiles=8, max_frames=8, prefix_tokens=0)
BUILD = Build(variant_named("3.5-14B"), "none", "bfloat16", "cuda")


def offers(*sizes: float) -> list[Offer]:
    return largest_first([Offer(int(size * GB), index) for index, size in enumerate(sizes)])


def test_layers_fill_uneven_devices_by_what_each_has():
    layout = place(BUILD, SMALL, offers(12, 24, 8))
    assert layout is not None
    assert layout.devices[0] == 1  # the largest holds what goes before and after the layers
    assert sum(layout.layers) == BUILD.variant.text.layers
    assert all(part.total <= part.available for part in layout.parts)
    left = [part.available - part.total for part in layout.parts]
    assert max(left) - min(left) < 2 * GB


def test_what_does_not_fit_has_no_layout():
    assert place(BUILD, SMALL, offers(12, 12)) is None
    assert place(BUILD, SMALL, offers(3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3)) is None


def test_more_bytes_on_any_device_never_take_rooms_away():
    draw = random.Random(7)
    needs = Needs.of(BUILD, SMALL)
    fitted = 0
    for _ in range(500):
        sizes = [draw.uniform(1, 24) for _ in range(draw.randint(1, 6))]
        before = rooms(needs, offers(*sizes))
        sizes[draw.randrange(len(sizes))] += draw.uniform(0, 12)
        after = rooms(needs, offers(*sizes))
        assert before is None or after is not None
        fitted += before is not None
    assert 50 < fitted < 450


def test_a_higher_rung_needs_at_least_as_much_everywhere():
    for name in ("3.5-1B", "3-9B", "3.5-GPT-OSS-20B-A4B", "3.5-241B-A28B"):
        build = BUILD._replace(variant=variant_named(name))
        all_needs = [Needs.of(build, rung) for rung in GPU_LADDER]
        for lower, higher in itertools.pairwise(all_needs):
            assert all(a <= b for a, b in zip(lower, higher, strict=True))


def test_one_device_needs_no_map():
    assert device_map(Layout((2,), (40,), ())) == {}


def test_layers_run_through_the_devices_in_blocks_and_ids_and_logits_share_one():
    found = device_map(Layout((1, 0), (25, 15), ()))
    layers = [found[f"model.language_model.layers.{i}"] for i in range(40)]
    assert layers == [1] * 25 + [0] * 15
    ends = ("model.vision_tower", "model.multi_modal_projector", "model.language_model.embed_tokens", "lm_head")
    assert {found[name] for name in (*ends, "model.language_model.norm", "model.language_model.rotary_emb")} == {1}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["3.5-8B", "3-78B", "3.5-30B-A3B", "3-9B", "3.5-GPT-OSS-20B-A4B"])
def test_the_map_names_every_part_of_transformers_model_once(name: str):
    pytest.importorskip("torch", reason="building the model needs the extra [local]")
    variant = variant_named(name)
    half = variant.text.layers // 2
    found = device_map(Layout((0, 1), (half, variant.text.layers - half), ()))
    model = _on_meta(variant)
    modules = dict(model.named_modules())
    assert set(found) <= set(modules)
    for tensor, _ in [*model.named_parameters(), *model.named_buffers()]:
        owners = [part for part in found if tensor.startswith(f"{part}.")]
        assert len(owners) == 1, f"{tensor}: {owners}"
