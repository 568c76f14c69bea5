"""The loop that owns the model: admits questions, moves the batch forward, keeps what may be of use again.

Admission and steps take turns in about equal time, so that a long prompt does not silence the answers that are being
written, nor they it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import numpy as np
import torch

from vision.chat.types import Finished, Stage
from vision.errors import ModelFailed, OutOfMemory, VisionError
from vision.host.admission import Admission, Admitted, Prepared
from vision.host.batch import Batch, End, Row, pick
from vision.host.model import Interrupted, Model, is_out_of_memory, out_of_memory
from vision.host.work import Work

if TYPE_CHECKING:
    from vision.host.scheduler import Scheduler
    from vision.variants.plan import Plan


logger = logging.getLogger("internvl_mcp")


class Loop:
    """A work is in `in_hand` from when it is taken until just before what ends it is emitted."""

    def __init__(self, scheduler: Scheduler, model: Model, plan: Plan) -> None:
        self._scheduler = scheduler
        self._model = model
        self._most_rows = plan.batch if model.sliceable else 1
        self._admission = Admission(model, plan)
        self._batch = Batch(model)
        self._current: Prepared | None = None
        self._steps: Generator[Stage, None, Admitted] | None = None
        self._retried = False
        self._published: dict[str, int | None] = {}

    @property
    def in_hand(self) -> list[Work]:
        return [row.work for row in self._batch.rows] + ([self._current.work] if self._current else [])

    def run(self) -> None:
        """Until the scheduler is closed. Raises ModelFailed on an error that leaves the device unusable."""
        try:
            with torch.inference_mode():
                while not self._scheduler.closed:
                    self._turn()
        except Exception as e:
            logger.error("the device failed", exc_info=e)
            raise ModelFailed("the device failed while the model worked", "Call again: a new host is started.") from e

    def _turn(self) -> None:
        began = time.monotonic()
        if self._current is None and len(self._batch.rows) < self._most_rows:
            prepared = self._scheduler.next(self._model, wait=not self._batch.rows)
            if prepared is not None:
                self._begin(prepared)
        if self._current is not None:
            self._admit(self._current)
        spent = time.monotonic() - began
        self._remove([row for row in self._batch.rows if row.work.cancelled])
        began = time.monotonic()
        while self._batch.rows and not self._scheduler.closed:
            self._step()
            if self._current is None or time.monotonic() - began >= spent:
                break
        self._publish()

    def _begin(self, prepared: Prepared) -> None:
        self._current = prepared
        self._retried = False
        self._steps = self._admission.run(prepared)
        self._publish()

    def _admit(self, current: Prepared) -> None:
        """One part of the current admission."""
        outcome = self._next_part(current.work)
        if current.work.cancelled:
            self._leave()
        elif isinstance(outcome, Stage):
            current.work.emit(outcome)
        elif isinstance(outcome, Admitted):
            self._join(outcome)
        elif isinstance(outcome, OutOfMemory) and not self._retried:
            self._retried = True
            self._make_room()
        elif outcome is not None:
            self._leave()
            self._end(current.work, outcome)

    def _next_part(self, work: Work) -> Stage | Admitted | VisionError | None:
        """What the next part gives or is refused for; None when it was interrupted.

        An error of torch is not handed on: its traceback would keep the tensors of the failed attempt.
        """
        assert self._steps is not None
        self._model.interruptible(lambda: work.cancelled or self._scheduler.closed)
        try:
            return next(self._steps)
        except StopIteration as done:
            return done.value
        except Interrupted:
            return None
        except VisionError as error:
            return error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return out_of_memory()
        finally:
            self._model.interruptible(None)

    def _join(self, admitted: Admitted) -> None:
        row = admitted.row
        end: End | OutOfMemory | None = row.take(pick([row], admitted.logits)[0])
        if end is None and not self._twice(lambda: self._batch.add(row, admitted.cache)):
            end = out_of_memory()
        self._leave()
        if end is not None:
            self._end(row.work, end)

    def _leave(self) -> None:
        """The current question is no more: neither is what its admission holds."""
        self._current = self._steps = None

    def _step(self) -> None:
        ends: list[tuple[Row, End]] = []
        if self._short_of_memory(lambda: ends.extend(self._batch.step())):
            self._step_failed()
        for row, end in ends:
            if isinstance(end, Finished):
                self._keep(row)
        self._remove([row for row, _ in ends])
        for row, end in ends:
            self._end(row.work, end)

    def _step_failed(self) -> None:
        """Out of memory: room is made, and where nothing was kept, the latest question gives way."""
        self._batch.undo_step()
        kept = self._admission.prefixes.size
        self._make_room()
        if not kept:  # always so where layers forget: such a step cannot be undone
            last = self._batch.rows[-1]
            self._remove([last])
            self._end(last.work, out_of_memory())

    def _keep(self, row: Row) -> None:
        """The KV of prompt and answer, for the next turn of the conversation."""
        if not self._admission.prefixes.capacity:
            return
        keys = np.concatenate([row.prompt.keys, np.array(row.tokens[:-1], dtype=np.int64)])
        if self._short_of_memory(lambda: self._admission.prefixes.put(keys, row.prompt.digests, self._batch.kv(row))):
            self._make_room()

    def _remove(self, gone: list[Row]) -> None:
        if not self._twice(lambda: self._batch.remove(gone)):
            rows = [row for row in self._batch.rows if not any(row is other for other in gone)]
            self._batch.clear()
            for row in rows:
                self._end(row.work, out_of_memory())

    def _twice(self, act: Callable[[], None]) -> bool:
        """Whether it could be done, if need be with the memory of what was kept."""
        if not self._short_of_memory(act):
            return True
        self._make_room()
        return not self._short_of_memory(act)

    def _short_of_memory(self, act: Callable[[], None]) -> bool:
        """Does it. The caller makes room once this has returned: the error's traceback keeps tensors."""
        try:
            act()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return True
        return False

    def _make_room(self) -> None:
        """Gives up what was kept; an admission in hand begins anew, for it holds tensors too."""
        self._steps = None
        self._admission.forget()
        self._model.release_unused()
        if self._current is not None:
            self._steps = self._admission.run(self._current)

    def _end(self, work: Work, event: End | VisionError) -> None:
        self._publish()  # first: who reads the end may ask for the figures
        work.emit(event)

    def _publish(self) -> None:
        figures: dict[str, int | None] = {
            "working": len(self.in_hand),
            "feature_cache_bytes": self._admission.feature_bytes,
            "prefix_cache_bytes": self._admission.prefixes.size,
        }
        if figures != self._published:  # not at every step: asking each device takes a while
            self._published = figures
            self._scheduler.publish(**figures, device_bytes=self._model.device_bytes())
