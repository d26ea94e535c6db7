"""Random crops of the packed store.

A batch depends only on the seed and the number of the step, so a resumed run needs no position in the data.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vqvc.corpus.store import FULL_SCALE, PackedStore, Utterance
from vqvc.errors import CorpusError
from vqvc.training.unit_targets import UnitTargets


@dataclass(frozen=True)
class Batch:
    """A batch of B crops of T samples.

    waveform: (B, T) float32, in [-1, 1]. history: (B, P) float32, the P samples before each crop, 0 before the
        utterance.
    source: (B, T) float32, the encoder's input: the waveform, or the same samples of a perturbed or converted copy.
    speaker: (B,) int64, row of the speaker table. scored: (B, T) bool, which samples count in the loss: False in the
    context and past the end of the utterance. utt_ids: of the B utterances.
    units: (B, codes) int64, acoustic units of the waveform, -1 past the end of the utterance; None without unit
        targets.
    """

    step: int
    waveform: np.ndarray
    history: np.ndarray
    source: np.ndarray
    speaker: np.ndarray
    scored: np.ndarray
    utt_ids: tuple[str, ...]
    units: np.ndarray | None = None


class Crops:
    """Random crops of one subset.

    A speaker is drawn first, then an utterance of the speaker in proportion to its length, then a start at any sample,
    so that the grid of codes shifts at random.

    speaker_balance: 0 draws speakers in proportion to the length of their recordings, 1 draws them uniformly.
    context_samples: at the start of a crop that are not scored, unless the utterance begins there.
    perturbed_fraction: share of the crops whose source is one of the store's copies, drawn uniformly.
    share: (rank, workers); ``batch`` returns this worker's crops.

    Raises CorpusError if the subset is empty, or if copies are needed and the store has none.
    """

    def __init__(
        self,
        store: PackedStore,
        subset: str,
        speakers: tuple[str, ...],
        *,
        batch_size: int,
        crop_samples: int,
        context_samples: int = 0,
        history_samples: int = 64,
        speaker_balance: float = 0.0,
        perturbed_fraction: float = 0.0,
        seed: int = 1,
        share: tuple[int, int] = (0, 1),
    ):
        self.store, self.seed = store, seed
        self.targets: UnitTargets | None = None  # sets ``units`` of the batches
        self.perturbed_fraction = perturbed_fraction
        if perturbed_fraction and not store.copies:
            raise CorpusError(
                f"{store.path}: has no copies, which training.perturbed_fraction wants; run vqvc-pack --perturb or --converted"
            )
        self.batch_size, self.crop_samples = batch_size, crop_samples
        self.context_samples, self.history_samples = context_samples, history_samples
        self.rank, self.workers = share
        self.by_speaker: list[tuple[Utterance, ...]] = []
        self.index: list[int] = []
        utterances = store.subset(subset)
        for number, speaker in enumerate(speakers):
            of_speaker = tuple(utterance for utterance in utterances if utterance.speaker == speaker)
            if of_speaker:
                self.by_speaker.append(of_speaker)
                self.index.append(number)
        if not self.by_speaker:
            raise CorpusError(f"{store.path}: the subset {subset} is empty; prepare a larger corpus")
        self.lengths = [
            np.array([utterance.length_samples for utterance in of_speaker], np.float64)
            for of_speaker in self.by_speaker
        ]
        totals = np.array([lengths.sum() for lengths in self.lengths])
        weights = (totals / totals.sum()) ** (1 - speaker_balance)
        self.weights = weights / weights.sum()
        self.total_samples = int(totals.sum())

    def batch(self, step: int, whole: bool = False) -> Batch:
        """Draw the batch of ``step``: this worker's share, or the ``whole`` batch.

        Raises CorpusError if an utterance is cut short in the store.
        """
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step]))
        picks = [self._pick(rng) for _ in range(self.batch_size)]
        if not whole:
            picks = picks[self.rank :: self.workers]
        audio = [self.store.audio, *self.store.copies]
        size, context, past = len(picks), self.context_samples, self.history_samples
        padded = np.zeros((size, past + self.crop_samples), np.float32)
        source = np.zeros((size, self.crop_samples), np.float32)
        scored = np.zeros((size, self.crop_samples), bool)
        for row, (_, utterance, start, copy) in enumerate(picks):
            first, end = max(0, start - past), min(start + self.crop_samples, utterance.length_samples)
            pcm = self.store.audio[utterance.offset_samples + first : utterance.offset_samples + end]
            if len(pcm) < end - first:
                raise CorpusError(
                    f"{self.store.path}: {utterance.utt_id} is cut short in the store; run vqvc-pack again"
                )
            at = past - (start - first)
            padded[row, at : at + len(pcm)] = pcm / np.float32(FULL_SCALE)
            samples = audio[copy][utterance.offset_samples + start : utterance.offset_samples + end]
            source[row, : len(samples)] = samples / np.float32(FULL_SCALE)
            scored[row, context if start else 0 : end - start] = True  # the start of an utterance needs no context
        units = None
        if self.targets is not None:
            units = np.stack([self.targets.of(utterance, start, self.crop_samples) for _, utterance, start, _ in picks])
        return Batch(
            step=step,
            waveform=padded[:, past:],
            history=padded[:, :past],
            source=source,
            speaker=np.array([self.index[pick[0]] for pick in picks], np.int64),
            scored=scored,
            utt_ids=tuple(pick[1].utt_id for pick in picks),
            units=units,
        )

    def _pick(self, rng: np.random.Generator) -> tuple[int, Utterance, int, int]:
        """Draw (speaker, utterance, start in samples, source); source 0 is the original, 1, 2, ... are copies."""
        speaker = int(rng.choice(len(self.weights), p=self.weights))
        lengths = self.lengths[speaker]
        utterance = self.by_speaker[speaker][int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
        start = int(rng.integers(-self.context_samples, max(1, utterance.length_samples - self.crop_samples + 1)))
        copy = 0
        if self.perturbed_fraction and rng.random() < self.perturbed_fraction:
            copy = int(rng.integers(1, len(self.store.copies) + 1))
        return speaker, utterance, max(0, start), copy

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """Yield the batches of steps first_step to last_step - 1; a thread prepares each during the step before."""
        with ThreadPoolExecutor(1) as loader:
            upcoming = loader.submit(self.batch, first_step)
            for step in range(first_step, last_step):
                ready = upcoming.result()
                if step + 1 < last_step:
                    upcoming = loader.submit(self.batch, step + 1)
                yield ready
