"""A conversion that is made as it is read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqvc.audio import output, resample


@dataclass(frozen=True, eq=False)
class Speech:
    """Converted speech, as long and as loud as its source. It is made while ``blocks`` are read, once."""

    blocks: Iterator[np.ndarray]  # (T,) float32 each, at sample_rate
    sample_rate: int  # Hz, the model's
    source_rate: int  # Hz
    source_length_samples: int  # at that rate
    notes: tuple[str, ...] = ()  # what was converted when the source was read
    tags: Mapping[str, str] = field(default_factory=dict)  # of its files, see ``disclosure.tags_of``

    def samples(self) -> np.ndarray:
        """All of it, (T,) float32 at ``sample_rate``."""
        return np.concatenate([np.zeros(0, np.float32), *self.blocks])

    def length_at(self, sample_rate: int) -> int:
        """Samples at that rate."""
        return resample.resampled_length(self.source_length_samples, self.source_rate, sample_rate)

    def at(self, sample_rate: int) -> Iterator[np.ndarray]:
        """The blocks, resampled; together at most a sample longer or shorter than ``length_at``."""
        return resample.resample_blocks(self.blocks, self.sample_rate, sample_rate)

    def write(
        self,
        path: str | Path,
        sample_rate: int | None = None,
        *,
        subtype: str | None = None,
        normalise: bool = False,
        tag: bool = True,
        finished: Callable[[Path], None] = lambda partial: None,
    ) -> Path:
        """Write a sound file at ``sample_rate`` (the source's when None), in the format that its suffix names.

        subtype: libsndfile's name of how samples are stored; 16 bits where the format has them when None. normalise: bring
        the peak to -1 dB. tag: write ``tags`` into the metadata, where the format has a place. finished: called with the whole file before it takes its name. Memory holds one block.
        """
        rate = self.source_rate if sample_rate is None else sample_rate
        output.write_blocks(
            path,
            self.at(rate),
            rate,
            self.length_at(rate),
            subtype,
            normalise=normalise,
            finished=finished,
            tags=self.tags if tag else output.NO_TAGS,
        )
        return Path(path)
