"""Choosing and asking, over a model that says what the test wrote down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from tests.scripted_model import MODEL, NO_MODEL, PLAN, ScriptedModel, Waits, says
from vision.call import Call
from vision.chat.types import Delta, Finished, ImagePart, Stage, Usage
from vision.engine.answer import clean
from vision.errors import (
    EngineUnavailable,
    LimitExceeded,
    ModelFailed,
    ModelLoading,
    OutOfMemory,
    UnknownVariant,
)
from vision.prompts.describe import describe
from vision.prompts.system import DEFAULT, GPT_OSS, THINKING
from vision.prompts.video import Frame, ask_video

pytestmark = pytest.mark.anyio
PICTURE = ImagePart(data=b"png")
FULL = OutOfMemory("the device is full", "Ask for fewer tiles.")


def prompt(tiles: int = 12) -> Any:
    return describe([PICTURE], "What is it?", "normal", tiles)


def soon() -> Call:
    return Call(within_s=0.3)


async def test_an_answer_comes_with_what_made_it() -> None:
    model = ScriptedModel(says("A red square.<|im_end|>", Stage(name="seeing", done=0, total=7)))
    answer = await model.engine().ask(Call(60), prompt())
    assert (answer.text, answer.finish, answer.usage.tiles) == ("A red square.", "stop", 7)
    assert answer.choice is MODEL and not answer.notices and not answer.truncated
    assert answer.messages[-1].role == "assistant"
    assert model.asked[0].temperature == 0 and model.asked[0].max_tokens == 1024


async def test_without_a_model_the_error_says_what_to_do() -> None:
    with pytest.raises(EngineUnavailable) as caught:
        await ScriptedModel(choice=NO_MODEL).engine().ask(Call(60), prompt())
    assert "pull" in caught.value.hint


async def test_what_the_settings_demand_and_cannot_be_had_is_an_error() -> None:
    model = ScriptedModel(choice=UnknownVariant("there is no variant x", "Known: y."))
    with pytest.raises(UnknownVariant):
        await model.engine(engine="internvl").choice()


async def test_progress_tells_loading_tiles_and_text_as_it_comes() -> None:
    heard: list[str] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        heard.append(message)

    stages = (Stage(name="loading", done=43, total=100), Stage(name="seeing", done=2, total=13))
    await ScriptedModel(says("Hello.", *stages)).engine().ask(Call(60, progress), prompt())
    assert heard[:3] == ["loading InternVL3.5-8B, 43 %", "tile 3 of 13", "Hello"]


async def test_progress_of_a_fast_model_is_told_a_few_times_only() -> None:
    heard: list[str] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        heard.append(message)

    await ScriptedModel(says("word " * 300)).engine().ask(Call(60, progress), prompt())
    assert len(heard) < 10


async def test_a_model_still_loading_when_the_reply_is_due_is_a_notice() -> None:
    model = ScriptedModel((Stage(name="loading", done=43, total=100), Waits()))
    answer = await model.engine().ask(soon(), prompt())
    assert answer.text is None
    assert "still being loaded (43 %)" in answer.notices[0] and "Ask again" in answer.notices[0]
    assert model.left == 1


async def test_a_model_still_loading_is_an_error_where_the_settings_demand_it() -> None:
    model = ScriptedModel((Stage(name="loading", done=43, total=100), Waits()))
    with pytest.raises(ModelLoading, match="43 %"):
        await model.engine(engine="internvl").ask(soon(), prompt())


async def test_a_model_that_still_looks_when_the_reply_is_due_says_where_it_was() -> None:
    script = (Stage(name="seeing", done=4, total=13), Waits())
    answer = await ScriptedModel(script).engine().ask(soon(), prompt())
    assert answer.text is None and "tile 5 of 13" in answer.notices[0]
    with pytest.raises(LimitExceeded, match="tile 5 of 13"):
        await ScriptedModel(script).engine(engine="internvl").ask(soon(), prompt())


async def test_when_no_time_is_left_for_the_model_that_is_said() -> None:
    answer = await ScriptedModel().engine().ask(Call(within_s=0.0), prompt())
    assert answer.text is None and "all the time there was" in answer.notices[0]


async def test_an_answer_half_said_when_the_time_ends_comes_in_part() -> None:
    model = ScriptedModel((Delta(text="It shows a "), Waits()))
    answer = await model.engine(engine="internvl").ask(soon(), prompt())
    assert (answer.text, answer.finish, answer.truncated) == ("It shows a", "time", True)
    assert "time for the work" in answer.notices[0]


async def test_cancelling_a_call_drops_the_question() -> None:
    model = ScriptedModel((Delta(text="It"), Waits()))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(model.engine().ask, Call(60), prompt())
            await model.waiting.wait()
            group.cancel_scope.cancel()
    assert model.left == 1


async def test_out_of_memory_is_tried_again_with_half_the_tiles_and_said() -> None:
    model = ScriptedModel((FULL,), (Delta(text="half"), FULL), says("A square."))
    answer = await model.engine().ask(Call(60), prompt(12))
    assert answer.text == "A square."
    assert [asked.max_tiles for asked in model.asked] == [12, 6, 3]
    assert len(answer.notices) == 2 and "at most 3 tiles" in answer.notices[1]
    assert answer.prompt.max_tiles == 3


async def test_a_video_is_tried_again_with_half_the_frames() -> None:
    frames = [Frame(float(i), PICTURE) for i in range(8)]
    model = ScriptedModel((FULL,), says("A race."))
    answer = await model.engine().ask(Call(60), ask_video(frames, None))
    assert [sum(isinstance(p, ImagePart) for p in asked.messages[-1].parts) for asked in model.asked] == [8, 4]
    assert "looked at 4 frames" in answer.notices[0]


async def test_out_of_memory_three_times_is_the_error() -> None:
    model = ScriptedModel((FULL,), (FULL,), (FULL,), says("never"))
    with pytest.raises(OutOfMemory) as caught:
        await model.engine().ask(Call(60), prompt())
    assert caught.value.hint and len(model.asked) == 3


async def test_a_model_that_dies_costs_one_error_and_the_next_question_works() -> None:
    model = ScriptedModel((Delta(text="It"), ModelFailed("the host ended", "Call again.")), says("A square."))
    engine = model.engine()
    with pytest.raises(ModelFailed):
        await engine.ask(Call(60), prompt())
    assert (await engine.ask(Call(60), prompt())).text == "A square."


@pytest.mark.parametrize(
    ("reason", "said", "truncated"), [("length", "max_answer_tokens", True), ("repetition", "repeated", False)]
)
async def test_why_an_answer_ended_early_is_said(reason: str, said: str, truncated: bool) -> None:
    answer = await ScriptedModel(says("on and on", reason=reason)).engine().ask(Call(60), prompt())
    assert said in answer.notices[0] and answer.truncated is truncated


async def test_an_empty_answer_is_none_with_a_notice() -> None:
    answer = await ScriptedModel((Finished(reason="stop", usage=Usage()),)).engine().ask(Call(60), prompt())
    assert answer.text is None and "no answer" in answer.notices[0]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>\nhm\n</think>\n\nTwo.<|im_end|>", "Two."),
        ("hm\n</think>\nTwo.", "Two."),
        ("<think>hm, cut off", ""),
        ("Two. <ref>cat</ref><box>[[1, 2, 3, 4]]</box>", "Two. <ref>cat</ref><box>[[1, 2, 3, 4]]</box>"),
    ],
)
def test_only_the_answer_is_left_of_what_was_said(text: str, left: str) -> None:
    assert clean(text) == left


async def test_the_system_prompt_is_the_reference_s() -> None:
    model = ScriptedModel()
    await model.engine().ask(Call(60), prompt())
    assert (model.asked[0].messages[0].role, model.asked[0].messages[0].parts[0].text) == ("system", DEFAULT)  # type: ignore[union-attr]


async def test_thinking_samples_as_the_reference_does() -> None:
    model = ScriptedModel(says("<think>One. One more.</think>\nTwo."))
    answer = await model.engine(thinking=True).ask(Call(60), prompt())
    asked = model.asked[0]
    assert answer.text == "Two."
    assert asked.messages[0].parts[0].text == THINKING  # type: ignore[union-attr]
    assert (asked.temperature, asked.top_p) == (0.6, 0.95) and asked.seed is not None


async def test_an_answer_under_a_schema_is_held_to_it_and_not_thought_about() -> None:
    model, schema = ScriptedModel(says('{"a": 1}')), {"type": "object"}
    answer = await model.engine(thinking=True).ask(Call(60), replace(prompt(), json_schema=schema))
    asked = model.asked[0]
    assert asked.json_schema == schema and asked.temperature == 0 and answer.text == '{"a": 1}'
    assert asked.messages[0].parts[0].text == DEFAULT  # type: ignore[union-attr]
    assert any("did not think" in notice for notice in answer.notices)


@pytest.mark.parametrize(("variant", "system"), [("InternVL3-8B", DEFAULT), ("InternVL3.5-GPT-OSS-20B", GPT_OSS)])
async def test_a_variant_that_cannot_think_is_not_told_to(variant: str, system: str) -> None:
    choice = MODEL.model_copy(update={"plan": PLAN.model_copy(update={"variant": variant})})
    model = ScriptedModel(choice=choice)
    answer = await model.engine(thinking=True).ask(Call(60), prompt())
    assert model.asked[0].messages[0].parts[0].text == system  # type: ignore[union-attr]
    assert model.asked[0].temperature == 0
    assert "not trained to think" in answer.notices[0]


async def test_the_machine_is_looked_at_once_for_many_questions() -> None:
    model = ScriptedModel()
    engine = model.engine()
    for _ in range(3):
        await engine.ask(Call(60), prompt())
    assert len(model.chosen_with) == 1


async def test_a_model_that_is_up_is_told_to_whoever_chooses() -> None:
    model = ScriptedModel()
    engine = model.engine()
    await engine.ask(Call(60), prompt())
    engine.forget_choice()
    await engine.choice()
    assert [[spec.plan.variant for spec in specs] for specs in model.chosen_with] == [[], ["InternVL3.5-8B"]]


async def test_a_variant_loaded_by_name_comes_first_from_then_on() -> None:
    model = ScriptedModel()
    engine = model.engine()
    await engine.ask(Call(60), prompt())
    await engine.preload("InternVL3-2B")
    await engine.choice()
    assert [spec.plan.variant for spec in model.chosen_with[-1]] == ["InternVL3-2B", "InternVL3.5-8B"]


async def test_unloading_ends_what_is_up_and_says_which() -> None:
    model = ScriptedModel()
    engine = model.engine()
    await engine.preload(None)
    assert [spec.plan.variant for spec in await engine.unload("InternVL3-2B")] == []
    assert [spec.plan.variant for spec in await engine.unload(None)] == ["InternVL3.5-8B"]
    assert await engine.hosts() == ()


def test_tiles_keep_within_plan_setting_and_context() -> None:
    model = ScriptedModel()
    assert model.engine().tiles(MODEL, 24) == 12
    assert model.engine(max_tiles=40).tiles(MODEL, 24) == 24
    assert model.engine(max_tiles=40).tiles(MODEL, 24, pictures=4) == 6
    small = MODEL.model_copy(update={"plan": PLAN.model_copy(update={"context": 4096})})
    assert model.engine(max_tiles=40).tiles(small, 24) == 9
    assert model.engine(max_tiles=40).tiles(small, 24, words=1000) == 5
    with pytest.raises(EngineUnavailable):
        model.engine().tiles(NO_MODEL, 12)
