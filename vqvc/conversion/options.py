"""Keywords of everything that synthesizes, and of everything that converts."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, TypedDict

import numpy as np

from vqvc.errors import UsageError

TEMPERATURE = 0.9  # of the draws; 1 is what the model learned, less is steadier


KINDS = (
    ("seed", Integral, "a whole number"),
    ("temperature", Real, "a number above 0, such as 0.9"),
    ("postfilter", (bool, np.bool_), "True or False"),
    ("equalizer", (bool, np.bool_), "True or False"),
)


class Synthesis(TypedDict, total=False):
    """Keywords of everything that synthesizes."""

    seed: int  # of the draws; 0
    temperature: float  # of the draws; TEMPERATURE
    fold: str  # "auto" cuts speech into streams that are made at once, "off" leaves it whole
    postfilter: bool  # correct the spectrum, see ``conversion.postfilter``; True
    progress: Callable[[int], object] | None  # called with the number of samples that were just made


class Conversion(Synthesis, total=False):
    """Keywords of everything that converts recordings."""

    equalizer: bool  # correct the channel of recordings, see ``conversion.equalizer``; True


def settled(options: Synthesis, kind: type[Synthesis] = Synthesis) -> tuple[int, dict[str, Any]]:
    """The seed, and keywords of ``pipeline.synthesize`` for the rest.

    kind: with Conversion, ``equalizer`` is allowed, and left out of the result. Raises TypeError for a keyword that is none,
    UsageError for a value of another type.
    """
    allowed = kind.__annotations__
    unknown = options.keys() - allowed.keys()
    if unknown:
        raise TypeError(f"unexpected keyword {', '.join(sorted(unknown))}; there are {', '.join(allowed)}")
    for name, expected, wanted in KINDS:
        if name in options and not isinstance(options[name], expected):
            raise UsageError(f"{name}={options[name]!r}: give {wanted}")
    rest = {
        "temperature": options.get("temperature", TEMPERATURE),
        "folding": options.get("fold", "auto"),
        "postfilter": options.get("postfilter", True),
        "progress": options.get("progress") or (lambda samples: None),
    }
    return options.get("seed", 0), rest
