"""The report's page from its templates: escaped by Jinja2, style, script, sound and pictures inside, nothing loaded."""

import base64
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent


@cache
def _environment() -> Environment:
    """Templates of this folder; no name or transcript can become markup."""
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_encodable,
    )


def _encodable(value: object) -> object:
    """Names of files may hold bytes that are no UTF-8; a page cannot."""
    return value if hasattr(value, "__html__") else str(value).encode("utf-8", "replace").decode("utf-8")


def page(context: Mapping[str, object]) -> str:
    """The whole page of ``report.html``."""
    inside = {
        name: Markup((HERE / file).read_text(encoding="utf-8"))
        for name, file in (("style", "style.css"), ("script", "script.js"))
    }
    return _environment().get_template("report.html").render({**context, **inside})


def part(name: str, *arguments: object) -> str:
    """One macro of ``parts.html``."""
    return str(getattr(_environment().get_template("parts.html").module, name)(*arguments))


def picture_url(png: bytes) -> str:
    """A PNG as a URL that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def sound_url(samples: np.ndarray, sample_rate: int) -> str:
    """Samples (T,) as a URL that holds lossless FLAC."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(buffer.getvalue()).decode()}"
