"""Two packed stores as one: known speakers from the first, speakers that are not in training from the second."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from vqvc.corpus.store import PackedStore, Speaker, Utterance
from vqvc.errors import CorpusError


class WithStrangers:
    """Has the interface of a PackedStore. Utterances of ``strangers`` are in subset test.

    known: the model's speakers, whose utterances in ``strangers`` are ignored. Raises CorpusError if the sample rates
    differ, if an utterance is in both stores, or if the model knows all speakers of ``strangers``.
    """

    def __init__(self, store: PackedStore, strangers: PackedStore, known: Collection[str]):
        if store.sample_rate != strangers.sample_rate:
            raise CorpusError(
                f"{strangers.path}: {strangers.sample_rate} Hz, {store.path} has {store.sample_rate} Hz; pack it again"
            )
        others = [item for item in strangers.utterances if item.speaker not in known]
        if not others:
            raise CorpusError(f"{strangers.path}: the model knows all of its speakers; give speech of others")
        both = {item.utt_id for item in store.utterances} & {item.utt_id for item in others}
        if both:
            raise CorpusError(f"{strangers.path}: utterance {min(both)} is in {store.path} too; leave it out of one")
        self._stores, self._second = (store, strangers), {item.utt_id for item in others}
        self.path, self.sample_rate = store.path, store.sample_rate
        self.sha256 = f"{store.sha256}+{strangers.sha256}"
        self.utterances: tuple[Utterance, ...] = (*store.utterances, *(replace(item, subset="test") for item in others))
        names = {item.speaker for item in others}
        self.speakers: tuple[Speaker, ...] = (
            *(item for item in store.speakers if item.speaker not in names),
            *(item for item in strangers.speakers if item.speaker in names),
        )

    def subset(self, name: str) -> list[Utterance]:
        """The utterances of train, dev or test."""
        return [item for item in self.utterances if item.subset == name]

    def utterance(self, utt_id: str) -> Utterance:
        """The utterance of that name, of the store as it is there; raises CorpusError when there is none."""
        return self._stores[utt_id in self._second].utterance(utt_id)

    def waveform(self, item: Utterance | str) -> np.ndarray:
        """The samples (T,) float32 of an utterance, or of the one of that name."""
        utt_id = item if isinstance(item, str) else item.utt_id
        return self._stores[utt_id in self._second].waveform(item)
