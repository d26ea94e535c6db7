"""The released models: what the commands and ``vqvc.load()`` use when no other is named. README.md holds their cards."""

from pathlib import Path

RELEASED = Path(__file__).parent / "vctk-small-3.1.safetensors"
CODE_ENCODERS = {"phones": Path(__file__).parent / "phones.safetensors"}  # without a decoder, by name


def code_encoder(name: str | Path) -> Path:
    """The file of an encoder: one that comes with the package, by its name, or the path itself.

    Raises UsageError for a word that is neither a name nor looks like a path.
    """
    from vqvc.errors import UsageError

    if str(name) in CODE_ENCODERS:
        return CODE_ENCODERS[str(name)]
    if isinstance(name, str) and "." not in name and "/" not in name:
        raise UsageError(f"{name}: there is no such encoder; there are {', '.join(CODE_ENCODERS)}, or give a file")
    return Path(name)
