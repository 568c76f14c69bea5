"""Frames of a video, in the reference's form: `Frame1: <image>\\nFrame2: <image>\\n{question}`, one tile a frame.

The times come as words behind the frames: between them they would break the form the model was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vision.chat.types import ImagePart, TextPart
from vision.prompts.describe import HONESTLY
from vision.prompts.language import Words
from vision.prompts.prompt import Parts, Prompt, user

_TIMES = Words("The frames were taken at {times} seconds.", "各帧的时间依次为{times}秒。")
_DESCRIBE = "Describe this video in detail."


@dataclass(frozen=True)
class Frame:
    time_s: float
    picture: ImagePart


@dataclass(frozen=True)
class VideoPrompt(Prompt):
    """`frames` and `question` again, to be asked with fewer frames."""

    frames: tuple[Frame, ...] = ()
    question: str | None = None

    def lighter(self) -> tuple[Prompt, str] | None:
        if len(self.frames) <= 1:
            return None
        fewer = self.frames[::2] if len(self.frames) > 2 else self.frames[:1]
        return ask_video(fewer, self.question), f"looked at {len(fewer)} frames"


def ask_video(frames: Sequence[Frame], question: str | None) -> VideoPrompt:
    """Answers `question` about the video; without one describes it."""
    times = ", ".join(f"{frame.time_s:.1f}" for frame in frames)
    text = f"{question}\n{HONESTLY.for_question(question)}" if question else _DESCRIBE
    parts = frame_parts(frames, f"{_TIMES.for_question(question).format(times=times)}\n{text}")
    return VideoPrompt(user(parts), 1, frames=tuple(frames), question=question)


def frame_parts(frames: Sequence[Frame], text: str) -> Parts:
    parts: list[TextPart | ImagePart] = []
    for number, frame in enumerate(frames, 1):
        parts += [TextPart(text=f"Frame{number}: "), frame.picture]
    return (*parts, TextPart(text=text))
