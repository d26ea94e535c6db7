"""TextGrids in Praat's short text form."""

from vqvc.corpus.textgrid import TextGrid


def format_short(grid: TextGrid) -> str:
    """The short text form, as Praat writes it; vqvc reads it and writes the long one."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", repr(grid.start_s), repr(grid.end_s)]
    lines += ["<exists>", str(len(grid.tiers))]
    for tier in grid.tiers:
        lines += ['"TextTier"' if tier.points else '"IntervalTier"', _quoted(tier.name)]
        lines += [repr(tier.start_s), repr(tier.end_s), str(len(tier.items))]
        for item in tier.items:
            lines += [repr(item.time_s)] if tier.points else [repr(item.start_s), repr(item.end_s)]
            lines.append(_quoted(item.text))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
