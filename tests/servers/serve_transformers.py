"""`transformers serve` for an InternVL, without torchvision.

transformers' processor of InternVL wants a video processor, which wants torchvision, whose wheels fit no torch without
CUDA. Through the HTTP interface we send pictures only, so a processor without that part is registered, in the way that
transformers has for processors of others; all else is the server as it is, the resampling by Pillow.

Usage: python -m tests.servers.serve_transformers CHECKPOINT [options of transformers serve]
The checkpoint's files must name PicturesProcessor as their processor_class: see `named_for_it`.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from transformers import AutoProcessor, InternVLConfig
from transformers.cli.transformers import main
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.processing_utils import ProcessorMixin


class PicturesProcessor(InternVLProcessor):
    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_length: int = 256,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template, **kwargs)
        self.image_seq_length = image_seq_length
        self.start_image_token = tokenizer.start_image_token
        self.end_image_token = tokenizer.end_image_token
        self.start_image_token_id = tokenizer.start_image_token_id
        self.end_image_token_id = tokenizer.end_image_token_id
        self.image_token = tokenizer.context_image_token
        self.video_token = tokenizer.video_token
        self.image_token_id = tokenizer.context_image_token_id
        self.multimodal_pattern = re.compile(f"(?P<image>{re.escape(self.image_token)})")


def named_for_it(checkpoint: Path, folder: Path) -> Path:
    """A copy of the checkpoint whose files name this processor."""
    shutil.copytree(checkpoint, folder)
    for path in folder.glob("*.json"):
        known = json.loads(path.read_text(encoding="utf-8"))
        if "processor_class" in known:
            path.write_text(json.dumps(known | {"processor_class": PicturesProcessor.__name__}), encoding="utf-8")
    return folder


if __name__ == "__main__":
    AutoProcessor.register(InternVLConfig, PicturesProcessor, exist_ok=True)
    sys.argv[1:1] = ["serve"]
    main()
