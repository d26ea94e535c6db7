"""Writing copies of a store's audio beside it: other samples, laid out as ``audio.s16`` is, and a table of how they were made."""

import logging
from collections.abc import Callable, Iterator

import numpy as np

from vqvc._util import atomic
from vqvc._util.checksum import sha256_of_file
from vqvc.corpus.store import PackedStore, copies_table, copy_name

logger = logging.getLogger("vqvc.corpus")


def write_copies(
    store: PackedStore, kind: str, copies: int, made_by: dict, make: Callable[[int], Iterator[np.ndarray]]
) -> Iterator[int]:
    """Have ``copies`` copies of a kind of ``store.COPIES``; yields 1 for each utterance and copy when it is made.

    made_by: what a copy depends on beside the audio; copies that are there already and were made by the same are kept.
    make: the samples (T,) int16 of every utterance for copy 1, 2, ..., in the store's order. A copy that was interrupted begins again.
    """
    known = {**made_by, "audio_sha256": store.sha256}
    facts = store.copies_facts[kind]
    digests = facts["sha256"] if facts and facts.items() >= known.items() else ()
    atomic.remove_stale_partials(store.path)
    for copy in range(len(digests) + 1, copies + 1):
        logger.info("%s: %s copy %d of %d", store.path, kind, copy, copies)
        target = store.path / copy_name(kind, copy)
        with atomic.atomic_path(target) as partial, open(partial, "wb") as file:
            for samples in make(copy):
                file.write(samples.tobytes())
                yield 1
        digests = (*digests, sha256_of_file(target))
        atomic.write_json(store.path / copies_table(kind), {**known, "sha256": list(digests)})
