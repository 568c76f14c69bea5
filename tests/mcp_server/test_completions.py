from __future__ import annotations

import pytest
from mcp import MCPError
from mcp_types import CompleteRequestParams, Completion, CompletionArgument, PromptReference, ResourceTemplateReference

from mcp_server.completions import completed
from mcp_server.vision_resources import TEMPLATE
from vision.variants.catalogue import variants

pytestmark = pytest.mark.anyio
Reference = PromptReference | ResourceTemplateReference
RESULTS = ResourceTemplateReference(uri=TEMPLATE)


async def complete(ref: Reference, argument: str, typed: str, ids: tuple[str, ...] = ()) -> Completion:
    async def result_ids() -> tuple[str, ...]:
        return ids

    params = CompleteRequestParams(ref=ref, argument=CompletionArgument(name=argument, value=typed))
    return (await completed(params, result_ids)).completion


async def test_variants_are_offered_where_an_argument_names_one() -> None:
    offered = await complete(PromptReference(name="set_up_model"), "variant", "")
    assert offered.values == [variant.name for variant in variants()]
    assert (offered.total, offered.has_more) == (len(variants()), False)


async def test_any_part_of_a_name_in_any_case_finds_it() -> None:
    found = (await complete(PromptReference(name="set_up_model"), "variant", "3.5-8b")).values
    assert found and all("3.5-8B" in name for name in found)


async def test_what_begins_as_typed_comes_first() -> None:
    assert (await complete(RESULTS, "id", "b", ("ab", "ba", "cb", "bb", "cd"))).values == ["ba", "bb", "ab", "cb"]


async def test_a_fixed_set_is_offered_and_free_text_is_not() -> None:
    assert (await complete(PromptReference(name="table_to_csv"), "separator", "s")).values == ["semicolon"]
    assert (await complete(PromptReference(name="table_to_csv"), "source", "a")).values == []


async def test_no_more_than_a_hundred_are_sent_and_the_rest_is_told() -> None:
    offered = await complete(RESULTS, "id", "", tuple(f"id{n}" for n in range(250)))
    assert offered.values == [f"id{n}" for n in range(100)]
    assert (offered.total, offered.has_more) == (250, True)


@pytest.mark.parametrize(
    ("ref", "argument", "says"),
    [
        (PromptReference(name="nothing"), "source", "Unknown prompt: nothing"),
        (PromptReference(name="transcribe"), "sauce", "no argument 'sauce'"),
        (ResourceTemplateReference(uri="vision://pages/{id}"), "id", "No such template"),
        (RESULTS, "name", "has no 'name'"),
    ],
)
async def test_what_there_is_not_is_one_clear_error(ref: Reference, argument: str, says: str) -> None:
    with pytest.raises(MCPError, match=says) as raised:
        await complete(ref, argument, "")
    assert raised.value.code == -32602
