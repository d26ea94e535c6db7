"""Names of speakers, voices and recordings as parts of the names of files."""

NOT_ALLOWED = '/\\:*?"<>|'  # what means a folder, or what a system refuses
MOST_BYTES = 60  # of a speaker's or voice's name; systems allow 255 for the whole


def part(name: str, most_bytes: int = MOST_BYTES) -> str:
    """The beginning of ``name``, at most so many bytes, with ``_`` for what file names may not hold."""
    return beginning("".join("_" if c in NOT_ALLOWED or not c.isprintable() else c for c in name), most_bytes)


def beginning(text: str, most_bytes: int) -> str:
    """The beginning of a text, at most so many bytes, in whole characters."""
    return text.encode(errors="surrogateescape")[:most_bytes].decode(errors="ignore")
