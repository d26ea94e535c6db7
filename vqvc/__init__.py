"""vqvc: voice conversion through discrete speech codes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from vqvc.api import VoiceConverter
    from vqvc.conversion.speech_encoder import SpeechEncoder

__version__ = "0.2.0"


def load(path: "str | Path | None" = None, device: str | None = None) -> "VoiceConverter":
    """The model in the file at ``path``, or the released one, as a :class:`vqvc.api.VoiceConverter`.

    device: "cpu", "cuda", "cuda:1" or "mps", as in PyTorch; a CUDA GPU where there is one, else the CPU, when None. All of a
    conversion runs there. Raises ModelError for a file that is no model, UsageError for a device that is not there.

    >>> vqvc.load().convert("a.wav", "p225", out="a_p225.wav")
    """
    from vqvc.api import VoiceConverter  # torch is imported only when a model is asked for
    from vqvc.models import RELEASED

    return VoiceConverter.load(RELEASED if path is None else path, device)


def load_encoder(name: "str | Path" = "phones", device: str | None = None) -> "SpeechEncoder":
    """What makes codes of speech, without a decoder: ``phones``, which comes with the package, or the file at a path.

    The file may be ``encoder.safetensors`` or ``model.safetensors`` of vqvc-train. device: as of :func:`load`. Raises ModelError
    for a file that is neither, UsageError for a name that there is not.

    >>> vqvc.load_encoder("phones").encode("a.wav")  # (T,) int64, 25 a second
    """
    from vqvc.conversion.speech_encoder import SpeechEncoder
    from vqvc.models import code_encoder

    return SpeechEncoder.load(code_encoder(name), device)
