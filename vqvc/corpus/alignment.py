"""Phone alignments: segments, the file that holds them, and labels at moments in time.

    align/phones.ctm     utt_id start_s duration_s phone      (in the packed store's timeline, sorted, without gaps)

A code stands for samples [i*hop, (i+1)*hop); its label is the phone at its centre, (i + 0.5) * hop / sample_rate.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc._util import atomic, textfile
from vqvc.corpus import phones
from vqvc.corpus.textgrid import TextGrid, Tier
from vqvc.errors import CorpusError

PHONES_CTM, FACTS = "phones.ctm", "align.json"
TOLERANCE_S = 1e-3  # segments that meet this closely meet; other tools' CTM files have two or three decimals
PHONE_TIERS = ("phones", "phone", "segments", "mau", "phonemes", "phoneme")  # names by which aligners call the tier
MISSING_END_S = 0.1  # a TextGrid that ends this much before its recording is not of this recording


@dataclass(frozen=True)
class Segment:
    """A phone (one of the 41 classes) in time."""

    start_s: float
    duration_s: float
    phone: str

    @property
    def end_s(self) -> float:
        """Where it ends."""
        return self.start_s + self.duration_s


def read_ctm(path: str | Path) -> dict[str, list[Segment]]:
    """Segments by utterance, in the file's order; raises CorpusError with path and line."""
    return dict(stream_ctm(path))


def stream_ctm(path: str | Path) -> Iterator[tuple[str, list[Segment]]]:
    """The same, one utterance at a time: memory does not grow with the corpus. An utterance's lines stand together."""
    done: set[str] = set()
    utt_id, segments = "", []
    try:
        with open(path, encoding=textfile.encoding_of_file(path)) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    name, segment = _parse_line(line)
                    if name != utt_id:
                        if segments:
                            yield utt_id, segments
                        done.add(utt_id)
                        utt_id, segments = name, []
                        if name in done:
                            raise CorpusError(f"{name} stands in two places; sort the file")
                    if segments and segment.start_s < segments[-1].end_s - TOLERANCE_S:
                        end_s = segments[-1].end_s
                        raise CorpusError(
                            f"{name} at {segment.start_s:g} s overlaps its line before, until {end_s:g} s"
                        )
                except CorpusError as error:
                    raise CorpusError(f"{path}:{number}: {error}") from None
                segments.append(segment)
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; make it with vqvc-align") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    if segments:
        yield utt_id, segments


def require_store(path: str | Path, store_sha256: str) -> None:
    """Raise CorpusError when the align.json beside the CTM file names another store.

    ``store_sha256``: ``PackedStore.sha256``. Files of other tools have no align.json and pass.
    """
    facts = Path(path).with_name(FACTS)
    try:
        made_of = json.loads(facts.read_text(encoding="utf-8"))["store"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        raise CorpusError(f"{facts}: is damaged; run vqvc-align again") from None
    if made_of != store_sha256:
        raise CorpusError(f"{path}: its times are of another store; run vqvc-align again")


def _parse_line(line: str) -> tuple[str, Segment]:
    fields = line.split()
    if len(fields) != 4:
        raise CorpusError(f"{len(fields)} fields; there should be 4: utt_id start_s duration_s phone")
    try:
        start_s, duration_s = float(fields[1]), float(fields[2])
    except ValueError:
        raise CorpusError(f"{fields[1]} {fields[2]}: start and duration should be numbers") from None
    if not (math.isfinite(start_s) and math.isfinite(duration_s) and start_s >= 0 and duration_s > 0):
        raise CorpusError(f"{fields[1]} {fields[2]}: start should be at least 0 s, the duration over 0 s")
    phones.index(fields[3])
    return fields[0], Segment(start_s, duration_s, fields[3])


def write_ctm(path: str | Path, segments: Mapping[str, Sequence[Segment]]) -> None:
    """Write all utterances in byte order of utt_id, times to the microsecond, atomically."""
    lines = []
    for utt_id in sorted(segments, key=str.encode):
        for segment in segments[utt_id]:
            start_us, end_us = round(segment.start_s * 1e6), round(segment.end_s * 1e6)
            if end_us > start_us:
                lines.append(f"{utt_id} {start_us / 1e6:.6f} {(end_us - start_us) / 1e6:.6f} {segment.phone}\n")
    atomic.write_text(path, "".join(lines))


def labels_at(segments: Sequence[Segment], times_s: np.ndarray) -> np.ndarray:
    """Class of the segment at each time: (N,) float seconds -> (N,) int64 in [0, 41). Where there is none: pau.

    A segment holds its start and not its end. ``segments`` are in order and do not overlap.
    """
    times_s = np.asarray(times_s, np.float64)
    starts = np.array([segment.start_s for segment in segments])
    ends = np.array([segment.end_s for segment in segments])
    classes = np.array([phones.index(segment.phone) for segment in segments] + [phones.index(phones.PAUSE)], np.int64)
    if len(starts) > 1:
        close = starts[1:] - ends[:-1] <= TOLERANCE_S
        ends[:-1][close] = starts[1:][close]  # rounding of a file leaves no holes
    place = np.searchsorted(starts, times_s, side="right") - 1
    inside = (place >= 0) & (times_s < ends[place] if len(ends) else False)
    return classes[np.where(inside, place, -1)]


def code_labels(segments: Sequence[Segment], codes: int, hop_length: int, sample_rate: int) -> np.ndarray:
    """Class at the centre sample of each of ``codes`` codes: (codes,) int64."""
    return labels_at(segments, (np.arange(codes) + 0.5) * hop_length / sample_rate)


def covering(segments: Iterable[Segment], duration_s: float) -> list[Segment]:
    """The segments cut to [0, duration_s], gaps filled with pau, pauses that meet made one."""
    result: list[Segment] = []
    at_s = 0.0
    for segment in segments:
        start_s, end_s = max(segment.start_s, at_s), min(segment.end_s, duration_s)
        if end_s <= start_s:
            continue
        if start_s - at_s > TOLERANCE_S:
            _append(result, at_s, start_s, phones.PAUSE)
            at_s = start_s
        _append(result, at_s, end_s, segment.phone)
        at_s = end_s
    if duration_s > at_s:
        _append(result, at_s, duration_s, phones.PAUSE)
    return result


def _append(segments: list[Segment], start_s: float, end_s: float, phone: str) -> None:
    if segments and segments[-1].phone == phone == phones.PAUSE:
        start_s = segments.pop().start_s
    segments.append(Segment(start_s, end_s - start_s, phone))


def phone_tier(grid: TextGrid, name: str = "", speaker: str = "") -> Tier:
    """The tier of a speaker's phones: by ``name``, else ``phones``, ``SPEAKER - phones``, ``MAU`` and the like, else
    the only one.

    ``{speaker}`` in ``name`` stands for the speaker. Raises CorpusError when there is none, or several speakers'.
    """
    tiers = [tier for tier in grid.tiers if not tier.points]
    if name:
        return _only_named(grid, name.replace("{speaker}", speaker))
    parts = [tier.name.strip().lower().rpartition(" - ") for tier in tiers]
    owned = [(owner, tier) for (owner, dash, kind), tier in zip(parts, tiers) if dash and kind in PHONE_TIERS]
    mine = [tier for owner, tier in owned if owner.strip() == speaker.lower()]
    if mine or len(owned) == 1:
        return mine[0] if mine else owned[0][1]
    if owned:
        names = ", ".join(repr(tier.name) for _, tier in owned)
        raise CorpusError(f"holds phones of several speakers, none called {speaker}: {names}; choose by --tier")
    return grid.tier(*PHONE_TIERS)


def _only_named(grid: TextGrid, name: str) -> Tier:
    for tier in grid.tiers:
        if not tier.points and tier.name.strip().lower() == name.strip().lower():
            return tier
    found = ", ".join(repr(tier.name) for tier in grid.tiers if not tier.points) or "none"
    raise CorpusError(f"no tier named {name}; interval tiers here: {found}")


def from_textgrid(
    grid: TextGrid,
    to_class: Callable[[str], str | tuple[str, ...]],
    *,
    trim_start_s: float,
    duration_s: float,
    tier: Tier | None = None,
) -> list[Segment]:
    """Segments of a packed utterance from a TextGrid in its source's timeline.

    ``trim_start_s`` was cut from the source's start, ``duration_s`` is what was kept. A label of two classes is cut in
    its middle. ``tier``: where the phones are; ``phone_tier(grid)`` without it. Raises CorpusError when the grid has no
    phone tier, holds a label outside its set, or ends before the recording does.
    """
    if grid.end_s < trim_start_s + duration_s - MISSING_END_S:
        raise CorpusError(f"its TextGrid ends at {grid.end_s:.2f} s, the speech at {trim_start_s + duration_s:.2f} s")
    moved = []
    for item in (tier or phone_tier(grid)).items:
        classes = to_class(item.text.strip())
        classes = (classes,) if isinstance(classes, str) else classes
        part_s = (item.end_s - item.start_s) / len(classes)
        moved += [Segment(item.start_s - trim_start_s + n * part_s, part_s, phone) for n, phone in enumerate(classes)]
    return covering(moved, duration_s)
