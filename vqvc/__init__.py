"""vqvc: voice conversion through discrete speech codes."""

__version__ = "0.1.0"


def load(path=None):
    """The model in the file at ``path`` as a :class:`vqvc.api.VoiceConverter`.

    >>> vqvc.load("exp/small/model.safetensors").convert("a.wav", "p225")
    """
    from vqvc.api import VoiceConverter  # torch is imported only when a model is asked for

    return VoiceConverter.load(path)
