from __future__ import annotations

from typing import Any

import pytest

from vision.errors import UnknownVariant
from vision.variants.catalogue import Benchmark, Variant, variant_named, variants

ALL = [pytest.param(variant, id=variant.name) for variant in variants()]


@pytest.mark.parametrize(
    "name",
    ["InternVL3.5-8B", "internvl3.5-8b", "3.5-8B", "3_5-8b", "OpenGVLab/InternVL3_5-8B-HF", " InternVL3_5-8B-HF "],
)
def test_a_variant_is_found_by_every_name_it_goes_by(name: str):
    assert variant_named(name).name == "InternVL3.5-8B"


def test_every_name_means_one_variant():
    for variant in variants():
        assert variant_named(variant.name) is variant
        assert variant_named(variant.repository.upper()) is variant
        assert variant_named(variant.name.removeprefix("InternVL")) is variant


def test_a_name_that_is_almost_right_is_offered_what_comes_close():
    with pytest.raises(UnknownVariant) as wrong:
        variant_named("InternVL3.5-9B")
    assert wrong.value.hint.startswith("Did you mean") and "InternVL3.5-8B" in wrong.value.hint
    with pytest.raises(UnknownVariant) as far:
        variant_named("???")
    assert all(variant.name in far.value.hint for variant in variants())


def test_the_catalogue_reaches_from_1b_to_241b_in_native_repositories():
    names = [variant.name for variant in variants()]
    assert len(names) == len(set(names)) == len({variant.repository for variant in variants()}) == 18
    for size in ("1B", "2B", "4B", "8B", "14B", "38B", "30B-A3B", "241B-A28B", "GPT-OSS-20B-A4B"):
        assert f"InternVL3.5-{size}" in names
    for size in ("1B", "2B", "8B", "9B", "14B", "38B", "78B"):
        assert f"InternVL3-{size}" in names
    assert all(variant.repository.lower().endswith("-hf") for variant in variants())


@pytest.mark.parametrize("variant", ALL)
def test_published_scores_are_percentages_with_a_source(variant: Variant):
    benchmarks: list[Benchmark] = [
        "docvqa",
        "chartqa",
        "infovqa",
        "ocrbench",
        "mathvista",
        "mmmu",
        "mvbench",
        "videomme",
    ]
    assert sorted(variant.scores) == (sorted(benchmarks) if variant.family != "InternVL2.5" else [])
    for name, score in variant.scores.items():
        assert score.source.startswith("arXiv") and 30 < score.percent(name) < 100


@pytest.mark.parametrize("variant", ALL)
def test_figures_agree_with_each_other(variant: Variant):
    counts, text = variant.parameters, variant.text
    assert counts.vision + counts.projector + counts.language == counts.total
    assert variant.bytes.bf16 == 2 * counts.total
    full_layers = text.layers // 2 if text.sliding_window else text.layers
    assert variant.kv_bytes_per_token == 2 * 2 * full_layers * text.kv_heads * text.head_dim
    assert (counts.fused_experts > 0) == (text.experts > 0) == (variant.bytes.nf4 is None)
    assert variant.context <= text.max_positions
    if variant.bytes.int8 and variant.bytes.nf4:
        assert variant.bytes.nf4 < variant.bytes.int8 < variant.bytes.bf16


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("variant", ALL)
def test_counts_are_those_of_the_model_that_transformers_builds(variant: Variant):
    torch = pytest.importorskip("torch", reason="counting parameters needs the extra [local]")
    model = _on_meta(variant)
    counted = dict.fromkeys(("total", "vision", "projector", "language", "fused_experts", "linear", "rows"), 0)
    linear = {id(m.weight): m for m in model.modules() if isinstance(m, torch.nn.Linear)}
    for name, parameter in model.named_parameters():
        size = parameter.numel()
        where = "vision" if "vision_tower" in name else "projector" if "projector" in name else "language"
        counted["total"] += size
        counted[where] += size
        if where == "language" and ".experts." in name:
            counted["fused_experts"] += size
        elif where == "language" and id(parameter) in linear and "lm_head" not in name:
            counted["linear"] += size
            counted["rows"] += parameter.shape[0]
    assert {k: counted[k] for k in ("total", "vision", "projector", "language", "fused_experts")} == {
        k: getattr(variant.parameters, k) for k in ("total", "vision", "projector", "language", "fused_experts")
    }
    active = counted["total"]
    if variant.text.experts:
        idle = variant.text.experts - variant.text.experts_per_token
        active -= counted["fused_experts"] * idle // variant.text.experts
    assert variant.parameters.active == active
    if variant.bytes.int8 and variant.bytes.nf4:
        kept = 2 * (counted["total"] - counted["linear"])
        assert variant.bytes.int8 == kept + counted["linear"] + 4 * counted["rows"]
        assert variant.bytes.nf4 == int(kept + counted["linear"] * 4.127 / 8)


def _on_meta(variant: Variant) -> Any:
    import torch
    from transformers import InternVLForConditionalGeneration

    from benchmarks.shapes import config_of

    config = config_of(variant)
    with torch.device("meta"):
        return InternVLForConditionalGeneration(config)
