"""Writing copies of a store's audio beside it: other samples, laid out as ``audio.s16`` is, and a table of how they were made."""

import hashlib
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

    made_by: what a copy depends on beside the audio; copies that are there already and were made by the same are kept, others are
    removed. make: the samples (T,) int16 of every utterance for copy 1, 2, ..., in the store's order. A copy that was interrupted
    begins again.
    """
    known = {**made_by, "audio_sha256": store.sha256}
    digests = kept(store, kind, made_by)
    atomic.remove_stale_partials(store.path)
    if not digests:
        _remove(store, kind)
    for copy in range(len(digests) + 1, copies + 1):
        logger.info("%s: %s copy %d of %d", store.path, kind, copy, copies)
        target = store.path / copy_name(kind, copy)
        with atomic.atomic_path(target) as partial, open(partial, "wb") as file:
            for samples in make(copy):
                file.write(samples.tobytes())
                yield 1
        digests = (*digests, sha256_of_file(target))
        atomic.write_json(store.path / copies_table(kind), {**known, "sha256": list(digests)})


def kept(store: PackedStore, kind: str, made_by: dict) -> tuple[str, ...]:
    """Checksums of the copies of a kind that are there already and were made by the same; none where something differs."""
    facts = store.copies_facts[kind]
    same = facts.items() >= {**made_by, "audio_sha256": store.sha256}.items()
    return tuple(facts["sha256"]) if same else ()


def _remove(store: PackedStore, kind: str) -> None:
    """Remove all copies of a kind, their table first, so that it never lists what is not there."""
    (store.path / copies_table(kind)).unlink(missing_ok=True)
    for path in store.path.glob(copy_name(kind, "*")):
        path.unlink()


def draw_key(seed: int, copy: int, utt_id: str) -> int:
    """64 bits by which whatever is drawn for an utterance of a copy depends on these three alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\t{copy}\t{utt_id}".encode()).digest()[:8], "little")
