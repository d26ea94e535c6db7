"""A corpus for the probe without a download: synthetic speech with exact phone times, encoded by a model.

The maps are fitted on six voices. They are scored on other sentences of these voices (dev), and on other sentences of
two other voices (test).
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc._util.platform import cores
from vqvc.audio import io
from vqvc.corpus import alignment, phones, synthetic, textgrid
from vqvc.corpus.alignment import Segment
from vqvc.corpus.codes import CodeArchive

logger = logging.getLogger("vqvc.probe")

VOICES, HELD_OUT_VOICES = 8, 2
SENTENCES, HELD_OUT_SENTENCES = 14, 3  # of each voice, including those that all voices read


@dataclass(frozen=True)
class EncodedCorpus:
    """The probe's input: codes, phone segments by utterance id, and the folder of the recordings."""

    archive: CodeArchive
    segments: dict[str, list[Segment]]
    folder: Path
    sample_rate: int  # Hz, of ``waveform``

    def waveform(self, utt_id: str) -> np.ndarray:
        """(T,) float32 of an utterance, at the model's rate."""
        return io.read(self.folder / "wav" / utt_id.partition("_")[0] / f"{utt_id}.wav", self.sample_rate).samples


def synthesize_and_encode(model_file, folder: Path, jobs: int | None = None) -> EncodedCorpus:
    """Synthesize the corpus into ``folder``, which must not exist, and encode it with a ModelFile.

    jobs: utterances at a time, the number of cores when None. Recordings are not trimmed, so that phone times are
    exact. Raises MissingExtraError if eSpeak NG is not installed.
    """
    import torch

    from vqvc.conversion.encoding import encode_recording

    jobs = jobs or cores()
    made = synthetic.generate(folder, speakers=VOICES, count=SENTENCES, jobs=jobs)
    paths = [(subset, path) for path in sorted(folder.glob("wav/*/*.wav")) if (subset := _subset(path))]
    logger.info("encoding %d sentences of %d voices, %.1f min", len(paths), made.speakers, made.seconds / 60)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one utterance per core is faster than one utterance on all
    try:
        with ThreadPoolExecutor(jobs) as pool:
            encoded = list(pool.map(lambda item: encode_recording(model_file.model, item[1], equalizer=False), paths))
    finally:
        torch.set_num_threads(threads)
    rate = model_file.config.audio.sample_rate
    archive = CodeArchive.build(
        [
            (path.stem, path.parent.name, subset, length, codes)
            for (subset, path), (codes, length) in zip(paths, encoded)
        ],
        hop_length=model_file.config.hop_length,
        sample_rate=rate,
        codebook_size=model_file.config.quantizer.codebook_size,
        model=model_file.checksum,
    )
    segments = {path.stem: _segments(folder, path, length / rate) for (_, path), (_, length) in zip(paths, encoded)}
    return EncodedCorpus(archive, segments, folder, rate)


def _subset(path: Path) -> str:
    """train, dev or test; "" for a sentence of a held-out voice that the other voices read too."""
    names = [voice.name for voice in synthetic.VOICES[:VOICES]]
    number = int(path.stem.rpartition("_")[2])
    if path.parent.name in names[-HELD_OUT_VOICES:]:
        return "test" if number > synthetic.COMMON else ""
    return "dev" if number > SENTENCES - HELD_OUT_SENTENCES else "train"


def _segments(folder: Path, path: Path, duration_s: float) -> list[Segment]:
    grid = textgrid.read(folder / "phones" / path.parent.name / f"{path.stem}.TextGrid")
    return alignment.from_textgrid(grid, phones.from_any, trim_start_s=0.0, duration_s=duration_s)
