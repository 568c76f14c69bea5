"""Answers to a JSON Schema from servers that may ignore it: what is not valid never passes for an answer.

jsonschema is imported here alone, with the first such answer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from io import StringIO
from typing import Any

from vision.chat.types import ChatEvent, Delta, Finished
from vision.errors import InvalidArgument
from vision.schema.patterns import matches, require_linear


async def held_to(
    schema: dict[str, Any], answer: AsyncGenerator[ChatEvent, None], server_of: str
) -> AsyncGenerator[ChatEvent, None]:
    """The events as they come. Raises InvalidArgument in the place of the end when the whole answer is not valid under
    the schema; of an answer that was cut off, its end says so. `server_of`: the model's name.
    """
    said = StringIO()
    async with aclosing(answer) as events:
        async for event in events:
            if isinstance(event, Delta):
                said.write(event.text)
            elif isinstance(event, Finished) and event.reason == "stop" and not _valid(said.getvalue(), schema):
                raise not_held(server_of)
            yield event


def not_held(server_of: str) -> InvalidArgument:
    """The error for a server that does not hold an answer to a JSON Schema."""
    return InvalidArgument(
        f"the server of {server_of} does not hold an answer to a JSON Schema",
        "Leave the schema out, or use vLLM, SGLang, LMDeploy or llama.cpp.",
    )


def _valid(said: str, schema: dict[str, Any]) -> bool:
    """Raises InvalidArgument for what is no schema, or points out of itself: nothing is fetched."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError, ValidationError
    from jsonschema.validators import extend
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[ValidationError]:
        # Python's own engine may need for ever.
        require_linear(wanted, "the schema")
        if isinstance(value, str) and not matches(wanted, value):
            yield ValidationError("it does not match the pattern")

    try:
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(()))
        validator = extend(Draft202012Validator, {"pattern": pattern})
        return validator(schema, registry=Registry()).is_valid(json.loads(said))
    except (SchemaError, Unresolvable, InvalidArgument) as e:
        raise InvalidArgument("this is no JSON Schema (2020-12) that stands by itself", "Mend the schema.") from e
    except (ValueError, RecursionError):  # prose, or brackets without end
        return False
