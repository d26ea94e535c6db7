"""Finding the acoustic units of ``vqvc.nn.acoustic_units`` in training speech, without labels."""

import logging
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vqvc.corpus.store import PackedStore
from vqvc.errors import TrainingError
from vqvc.nn.acoustic_units import COEFFICIENTS, DISCRIMINANTS, OFFSETS, AcousticUnits
from vqvc.nn.quantizer import nearest

CLASSES = 256  # most clusters that the discriminant tells apart
CLASS_FRAMES = 50  # fewest frames for each of them
STATIC = 13  # cepstra that the clusters are of, with first and second differences
FIT_ROWS = 150_000  # frames on which k-means and the discriminant are fitted
LAGS = (4, 5, 6)  # frames of 10 ms after which units are counted as following one another
MOST_FRAMES = 1_200_000  # of speech, 3.3 hours
logger = logging.getLogger("vqvc.training")


def shuffled(store: PackedStore, speakers: Sequence[str], seed: int) -> Iterator[np.ndarray]:
    """Waveforms (T,) of the speakers' training utterances, in an order drawn at random."""
    speech = [utterance for utterance in store.subset("train") if utterance.speaker in speakers]
    for index in np.random.default_rng(seed).permutation(len(speech)):
        yield store.waveform(speech[index])


@torch.no_grad()
def find_units(encoder: AcousticUnits, waveforms: Iterable[np.ndarray], seed: int) -> None:
    """Set all that ``encoder`` knows from whole training utterances, each (T,) float32.

    Raises TrainingError when there are fewer frames than units.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    device, rng = encoder.basis.device, np.random.default_rng(seed)
    hop, windows, frames = encoder.frames_per_code * encoder.log_mel.hop, [], 0
    for waveform in waveforms:
        padded = np.pad(waveform, (0, -len(waveform) % hop))
        windows.append(encoder.windows(torch.from_numpy(padded)[None].to(device))[0].cpu())
        frames += len(windows[-1])
        if frames >= MOST_FRAMES:
            break
    if frames < 2 * len(encoder.units):
        raise TrainingError(f"{len(encoder.units)} acoustic units need twice as many frames of 10 ms; the training speech has {frames}")
    offsets, rows = np.cumsum([0, *map(len, windows)]), torch.cat(windows)
    logger.info("finding acoustic units in %.1f minutes of speech", frames / 6000)
    chosen = np.sort(rng.choice(frames, min(FIT_ROWS, frames), replace=False))
    sample = rows[chosen].numpy()
    labels = _clusters(np.concatenate([_with_differences(utterance) for utterance in windows])[chosen], seed)
    discriminant = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.01).fit(sample, labels)
    matrix = np.zeros((len(OFFSETS) * COEFFICIENTS, DISCRIMINANTS), np.float32)
    found = discriminant.scalings_[:, :DISCRIMINANTS]
    matrix[:, : found.shape[1]] = found
    seen = sample @ matrix
    units = _kmeans(seen, len(encoder.units), seed)
    encoder.discriminant.copy_(torch.from_numpy(matrix))
    encoder.units.copy_(torch.from_numpy(units))
    encoder.spread.fill_(float(np.square(seen - units[_nearest(seen, units)]).mean()))
    numbers = np.concatenate([_nearest(part.numpy() @ matrix, units) for part in rows.split(65536)])
    utterances = [numbers[begin:end] for begin, end in zip(offsets[:-1], offsets[1:])]
    embedding = torch.from_numpy(follow(utterances, len(units), encoder.embedding.shape[1]))
    encoder.embedding.copy_(embedding)
    encoder.embedding.div_(encoder.place(encoder.discriminant.new_tensor(seen[::10])).std(0).square().mean().sqrt().clamp(min=1e-12))


def follow(utterances: Sequence[np.ndarray], units: int, dim: int) -> np.ndarray:
    """(units, dim) float32: vectors that lie near one another for units that follow one another.

    utterances: unit numbers, one for each 10 ms. How often two units are ``LAGS`` apart, less how often they would be if the
    utterance were shuffled (so that sharing a speaker or a room counts for nothing), over the root of how often both occur:
    its largest eigenvectors, each as long as its eigenvalue.
    """
    follows, counts = np.zeros(units * units), np.full(units, 5.0)
    shares = np.zeros((len(utterances), units))
    for row, numbers in enumerate(utterances):
        own = np.bincount(numbers, minlength=units)
        counts += own
        shares[row] = own / np.sqrt(max(1, len(numbers)))
        for lag in LAGS:
            pairs, times = np.unique(numbers[:-lag] * units + numbers[lag:], return_counts=True)
            follows[pairs] += times / len(LAGS)
    chance = shares.T @ shares
    follows = follows.reshape(units, units)
    related = ((follows + follows.T) / 2 - chance) / np.sqrt(counts[:, None] * counts)
    values, vectors = np.linalg.eigh(related)
    values, vectors = values[::-1][:dim].clip(min=0), vectors[:, ::-1][:, :dim]
    found = np.zeros((units, dim), np.float32)
    found[:, : vectors.shape[1]] = vectors * values / np.sqrt(counts)[:, None]
    return found


def _with_differences(windows: Tensor) -> np.ndarray:
    """Windows (F, len(OFFSETS) * COEFFICIENTS) of an utterance -> (F, 3 * STATIC): its frames and their differences."""
    from vqvc.audio.features import deltas

    middle = windows.view(len(windows), len(OFFSETS), COEFFICIENTS)[:, len(OFFSETS) // 2 - 1 : len(OFFSETS) // 2 + 1]
    static = middle[:, :, :STATIC].mean(1).numpy().T
    first = deltas(static)
    return np.concatenate([static, first, deltas(first)]).T


def _clusters(rows: np.ndarray, seed: int) -> np.ndarray:
    """(N, D) -> (N,) numbers of k-means clusters, each dimension counting alike."""
    rows = rows / (rows.std(0) + 1e-6)
    return _nearest(rows, _kmeans(rows, max(2, min(CLASSES, len(rows) // CLASS_FRAMES)), seed))


def _kmeans(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(count, batch_size=16384, n_init=1, max_iter=60, random_state=seed)
    return model.fit(rows).cluster_centers_.astype(np.float32)


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    codebook = torch.from_numpy(centres)
    parts: list[Tensor] = [nearest(part, codebook) for part in torch.from_numpy(np.ascontiguousarray(rows)).split(16384)]
    return torch.cat(parts).numpy()
