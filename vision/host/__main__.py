"""`python -P -m vision.host` with a Launch as JSON on standard input. Started by `vision.chat.keeper`."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NoReturn

from vision.chat.host_spec import HostSpec
from vision.chat.record import Launch
from vision.host.serve import serve
from vision.host.work import Generator
from vision.serving.types import ServingPlan

_LOG_BYTES = 1 << 20


def run(make_generator: Callable[[HostSpec], Generator]) -> NoReturn:
    """The whole life of a host process."""
    os.umask(0o077)
    # Plans number GPUs as the driver's own library does; CUDA would put the fastest first.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    # Threads that wait by spinning take the cores from decoders and recogniser, which run beside: with a busy machine
    # a prompt on a processor took four times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    launch = Launch.model_validate_json(sys.stdin.buffer.read())
    faulthandler.enable()
    _keep_log(launch.log)
    serve(launch, make_generator)
    # Native threads may still be at work, and there is nothing left that they could spoil.
    logging.shutdown()
    os._exit(0)


def _keep_log(path: Path) -> None:
    """A bounded log: what happened to the process, never what was asked."""
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.captureWarnings(True)


def _generator(spec: HostSpec) -> Generator:
    if isinstance(spec.plan, ServingPlan):
        from vision.serving.supervisor import Supervisor

        return Supervisor(spec.plan, spec.folder)
    from vision.host.scheduler import Scheduler  # brings torch: seconds, in a thread, while clients are answered

    return Scheduler(spec)


if __name__ == "__main__":
    run(_generator)
