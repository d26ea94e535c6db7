"""A corpus with manual phone labels, such as TIMIT, encoded by a model for the probe.

    TIMIT/TRAIN/DR1/FCJF0/SI1027.WAV, .PHN     or any folder of recordings, each with NAME.phn or NAME.TextGrid beside
    it

The name of a recording's folder is the speaker, the name of the file is the sentence (in TIMIT, a sentence has the same
name for all speakers). If there are folders ``train`` and ``test``, the speakers in ``test`` are the unseen ones.
Otherwise, and for held-out sentences, hashes of the names decide, see ``vqvc.corpus.splits``.
"""

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc._util.platform import cores
from vqvc.audio import io
from vqvc.audio.folder import recordings_in
from vqvc.corpus import alignment, ids, phone_sets, splits
from vqvc.corpus.align_store import READERS
from vqvc.corpus.alignment import Segment
from vqvc.corpus.codes import CodeArchive
from vqvc.errors import CorpusError, VqvcError

UNSEEN_SPEAKERS, HELD_OUT_SENTENCES = 0.2, 0.1  # shares
PARTS = ("train", "test")  # names of the folders that divide the speakers
logger = logging.getLogger("vqvc.probe")


@dataclass(frozen=True)
class Labelled:
    """A recording and its labels."""

    utt_id: str
    speaker: str
    sentence: str
    part: str  # train, test, or empty
    recording: Path
    labels: Path


@dataclass(frozen=True)
class EncodedCorpus:
    """The probe's input: codes, phone segments and recordings by utterance id."""

    archive: CodeArchive
    segments: dict[str, list[Segment]]
    recordings: dict[str, Path]
    sample_rate: int  # Hz, of ``waveform``

    def waveform(self, utt_id: str) -> np.ndarray:
        """(T,) float32 of an utterance, at the model's rate."""
        return io.read(self.recordings[utt_id], self.sample_rate).samples


def find(folder: str | Path) -> list[Labelled]:
    """Find the recordings below ``folder`` that have labels, in the order of their ids.

    Raises CorpusError if there are none, and if two recordings have the same speaker and sentence.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder of recordings with labels")
    beside = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in READERS and not path.name.startswith("."):
            beside[path.parent, path.stem.lower()] = path
    by_id = {}
    for recording in sorted(recordings_in(folder).recordings):
        labels = beside.get((recording.parent, recording.stem.lower()))
        if labels is None:
            continue
        above = [part.lower() for part in recording.relative_to(folder).parts[:-1]]
        part = next((one for one in above if one in PARTS), "")
        speaker, sentence = ids.spell(recording.parent.name), recording.stem.lower()
        utt_id = ids.spell(f"{speaker}_{sentence}")
        if utt_id in by_id:
            raise CorpusError(
                f"{recording}: {by_id[utt_id].recording} is also sentence {sentence} of {speaker}; give one corpus at a time"
            )
        by_id[utt_id] = Labelled(utt_id, speaker, sentence, part, recording, labels)
    if not by_id:
        raise CorpusError(
            f"{folder}: holds no recording with labels beside it; give the folder of TIMIT, or of recordings with NAME.phn or "
            "NAME.TextGrid"
        )
    return [by_id[utt_id] for utt_id in sorted(by_id, key=str.encode)]


def subsets(items: list[Labelled]) -> dict[str, str]:
    """The subset of each utterance id.

    train: for fitting. dev: the same speakers, other sentences. test: other speakers and sentences. "": not used, a
    sentence of train by another speaker.
    """
    if {item.part for item in items} == set(PARTS):
        unseen = {item.speaker for item in items if item.part == "test"}
    else:
        unseen = set(splits.choose_unseen((item.speaker for item in items), UNSEEN_SPEAKERS))
    seen = [item for item in items if item.speaker not in unseen]
    held_out = splits.choose_held_out((item.sentence for item in seen), HELD_OUT_SENTENCES)
    subset_of = {item.utt_id: "dev" if item.sentence in held_out else "train" for item in seen}
    trained = {item.sentence for item in seen if subset_of[item.utt_id] == "train"}
    for item in items:
        if item.speaker in unseen:
            subset_of[item.utt_id] = "" if item.sentence in trained else "test"
    return subset_of


def encode(model_file, folder: str | Path, jobs: int | None = None) -> EncodedCorpus:
    """Encode the corpus in ``folder`` with a model file or a code encoder's file, ``jobs`` recordings at a time.

    Recordings that cannot be read are listed in the log and left out. Raises CorpusError if none is left.
    """
    import torch

    from vqvc.conversion.encoding import encode_recording

    items = find(folder)
    subset = subsets(items)
    items = [item for item in items if subset[item.utt_id]]
    rate = model_file.config.audio.sample_rate

    def work(item: Labelled) -> tuple[np.ndarray, int, list[Segment]] | VqvcError:
        try:
            codes, length = encode_recording(model_file.model, item.recording, equalizer=False)
            return codes, length, _segments(item.labels, length / rate)
        except VqvcError as error:
            return error

    jobs, threads = jobs or cores(), torch.get_num_threads()
    torch.set_num_threads(1)  # one utterance per core is faster than one utterance on all
    try:
        with ThreadPoolExecutor(jobs) as pool:
            done = list(zip(items, pool.map(work, items)))
    finally:
        torch.set_num_threads(threads)
    for _, result in done:
        if isinstance(result, VqvcError):
            logger.warning("left out: %s", result)
    done = [(item, *result) for item, result in done if not isinstance(result, VqvcError)]
    if not done:
        raise CorpusError(f"{folder}: none of its {len(items)} recordings could be read; the log says why")
    counts = Counter(subset[item.utt_id] for item, *_ in done)
    logger.info("%s: %s", folder, ", ".join(f"{counts[name]} utterances in {name}" for name in splits.SUBSETS))
    archive = CodeArchive.build(
        [(item.utt_id, item.speaker, subset[item.utt_id], length, codes) for item, codes, length, _ in done],
        hop_length=model_file.config.hop_length,
        sample_rate=rate,
        codebook_size=model_file.config.quantizer.codebook_size,
        model=model_file.checksum,
    )
    segments = {item.utt_id: found for item, _, _, found in done}
    return EncodedCorpus(archive, segments, {item.utt_id: item.recording for item, *_ in done}, rate)


def _segments(labels: Path, duration_s: float) -> list[Segment]:
    grid = READERS[labels.suffix.lower()](labels)
    tier = alignment.phone_tier(grid)
    to_class = phone_sets.choose(interval.text.strip() for interval in tier.items)
    return alignment.from_textgrid(grid, to_class, trim_start_s=0.0, duration_s=duration_s, tier=tier)
