"""The loop that owns the model: admits questions, moves the batch forward, keeps what may be of use again.

Admission and steps take turns in about equal time, so that a long prompt does not silence the answers that are being
written, nor they it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import torch

from vision.chat.types import Stage
from vision.errors import ModelFailed, VisionError
from vision.host.admission import Admission, Admitted, Prepared
from vision.host.batch import Batch, Row
from vision.host.model import Interrupted, Model, is_out_of_memory, out_of_memory

if TYPE_CHECKING:
    from vision.host.scheduler import Scheduler
    from vision.variants.plan import Plan


class Loop:
    def __init__(self, scheduler: Scheduler, model: Model, plan: Plan) -> None:
        self._scheduler = scheduler
        self._model = model
        self._most_rows = plan.batch if model.sliceable else 1
        self._admission = Admission(model, plan)
        self._batch = Batch(model)
        self._current: Prepared | None = None
        self._steps: Generator[Stage, None, Admitted] | None = None
        self._retried = False

    def run(self) -> None:
        """Until the scheduler is closed. An error that leaves the device unusable comes out of it."""
        error: VisionError = ModelFailed("the model host is ending", "Call again: a new one is started.")
        try:
            with torch.inference_mode():
                while not self._scheduler.closed:
                    self._turn()
        except Exception as e:
            error = ModelFailed("the device failed while the model worked", "Call again: a new host is started.")
            raise error from e
        finally:
            for work in [row.work for row in self._batch.rows] + ([self._current.work] if self._current else []):
                work.emit(error)

    def _turn(self) -> None:
        began = time.monotonic()
        if self._current is None and len(self._batch.rows) < self._most_rows:
            prepared = self._scheduler.next(self._model, wait=not self._batch.rows)
            if prepared is not None:
                self._begin(prepared)
        if self._current is not None:
            self._admit()
        spent = time.monotonic() - began
        self._drop_cancelled()
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

    def _admit(self) -> None:
        """One part of the current admission."""
        assert self._current is not None and self._steps is not None
        work = self._current.work
        self._model.interruptible(lambda: work.cancelled or self._scheduler.closed)
        try:
            stage = next(self._steps)
        except StopIteration as done:
            self._current = None
            self._join(done.value)
        except Interrupted:
            self._current = None
        except VisionError as error:
            self._current = None
            work.emit(error)
        except (RuntimeError, MemoryError) as error:
            self._admission_failed(error)
        else:
            if work.cancelled:
                self._current = None
            else:
                work.emit(stage)
        finally:
            self._model.interruptible(None)

    def _admission_failed(self, error: BaseException) -> None:
        """Out of memory: once more without what was kept, then the question is refused. Else it is the device."""
        assert self._current is not None
        if not is_out_of_memory(error):
            raise error
        self._make_room()
        if self._retried:
            self._current.work.emit(out_of_memory("this question"))
            self._current = None
        else:
            self._retried = True
            self._steps = self._admission.run(self._current)

    def _make_room(self) -> None:
        self._steps = None  # it holds the tensors of the failed attempt
        self._admission.forget()
        self._model.release_unused()

    def _join(self, admitted: Admitted) -> None:
        row = admitted.row
        if row.work.cancelled or row.take(row.sampler.pick(admitted.logits)):
            return
        self._batch.add(row, admitted.cache)

    def _step(self) -> None:
        try:
            done = self._batch.step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._step_failed()
            return
        for row in done:
            self._keep(row)
        self._batch.remove(done)

    def _step_failed(self) -> None:
        """Out of memory: room is made, and where nothing was kept, the latest question gives way."""
        self._batch.undo_step()
        kept = self._admission.prefixes.size
        self._make_room()
        if self._current is not None:
            self._steps = self._admission.run(self._current)
        if not kept:  # always so where layers forget: such a step cannot be undone
            last = self._batch.rows[-1]
            last.work.emit(out_of_memory("this question"))
            self._batch.remove([last])

    def _keep(self, row: Row) -> None:
        """The KV of prompt and answer, for the next turn of the conversation."""
        if not self._admission.prefixes.capacity:
            return
        keys = np.concatenate([row.prompt.keys, np.array(row.tokens[:-1], dtype=np.int64)])
        try:
            self._admission.prefixes.put(keys, row.prompt.digests, self._batch.kv(row))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._admission.forget()

    def _drop_cancelled(self) -> None:
        self._batch.remove([row for row in self._batch.rows if row.work.cancelled])

    def _publish(self) -> None:
        self._scheduler.publish(
            working=len(self._batch.rows) + (self._current is not None),
            device_bytes=self._model.device_bytes(),
            feature_cache_bytes=self._admission.feature_bytes,
            prefix_cache_bytes=self._admission.prefixes.size,
        )
