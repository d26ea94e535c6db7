"""vqvc: voice conversion through discrete speech codes."""

__version__ = "0.2.0"


def load(path=None):
    """The model in the file at ``path``, or the released one, as a :class:`vqvc.api.VoiceConverter`.

    >>> vqvc.load().convert("a.wav", "p225")
    """
    from vqvc.api import VoiceConverter  # torch is imported only when a model is asked for
    from vqvc.models import RELEASED

    return VoiceConverter.load(RELEASED if path is None else path)
