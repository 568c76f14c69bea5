"""MuPDF as this project uses it: quiet, and without its layout models. The one place that imports pymupdf."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vision.errors import DamagedMedia, LimitExceeded

_EXTRAS = ("pymupdf.layout", "pymupdf4llm")
_HINT = "Open the document in a viewer and save it again, or name other pages."


def _import_pymupdf() -> Any:
    """pymupdf without its optional companions.

    Where those are installed, `import pymupdf` loads them, and with them onnxruntime and four models (0.5 s and 60 MB
    more) that nothing here uses. None in sys.modules makes their import fail, which pymupdf takes for "not installed".
    """
    absent = [name for name in _EXTRAS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        import pymupdf
    finally:
        for name in absent:
            del sys.modules[name]
    # stdout belongs to the protocol; MuPDF's messages and pymupdf's advertisement both go there by default.
    pymupdf.set_messages(pylogging=True, pylogging_name="pymupdf", pylogging_level=10)
    pymupdf.no_recommend_layout()
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    return pymupdf


if TYPE_CHECKING:
    import pymupdf
    from pymupdf import mupdf
else:
    pymupdf = _import_pymupdf()
    mupdf = pymupdf.mupdf


@contextmanager
def mupdf_errors(doing: str) -> Iterator[None]:
    """Map what MuPDF raises while `doing` (as in "Reading page 3") to DamagedMedia or LimitExceeded."""
    try:
        yield
    except MemoryError as error:
        raise LimitExceeded(f"{doing} needs more memory than there is.", "Ask for a lower resolution.") from error
    except (
        mupdf.FzErrorBase,
        RuntimeError,  # FileDataError, EmptyFileError and most of pymupdf's own checks
        ValueError,
        TypeError,  # objects of the wrong kind in a damaged file reach pymupdf's Python code
        KeyError,
        IndexError,
        AttributeError,
        AssertionError,
        ZeroDivisionError,
        OverflowError,
    ) as error:
        if "malloc" in str(error) or "memory" in str(error):
            raise LimitExceeded(f"{doing} needs more memory than there is.", "Ask for a lower resolution.") from error
        raise DamagedMedia(f"{doing} failed: {_first_line(error)}", _HINT) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__
