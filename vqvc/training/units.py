"""Finding the acoustic units of ``vqvc.nn.acoustic_units`` in training speech, without labels."""

import logging
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn

from vqvc.corpus.store import PackedStore
from vqvc.errors import TrainingError
from vqvc.nn.acoustic_units import COEFFICIENTS, DISCRIMINANTS, OFFSETS, AcousticUnits
from vqvc.nn.features import slope
from vqvc.nn.quantizer import kmeans, nearest

CLASSES = 256  # most clusters that the discriminant separates
CLASS_FRAMES = 50  # fewest frames for each of them
STATIC = 13  # cepstra that the clusters are of, with first and second differences
FIT_ROWS = 150_000  # frames on which k-means and the discriminant are fitted
SHRINKAGE = 0.01  # of covariances towards a multiple of the identity
STARTS = 8  # of them for each cluster, from which k-means begins
LAGS = (4, 5, 6)  # frames of 10 ms after which units are counted as following one another
MOST_FRAMES = 1_000_000  # of speech, 2.8 hours
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
    device, generator, size = encoder.basis.device, torch.Generator().manual_seed(seed), len(encoder.units)
    windows, frames = [], 0
    for waveform in waveforms:
        windows.append(encoder.windows(_whole(waveform, encoder.hop, device))[0])
        frames += len(windows[-1])
        if frames >= MOST_FRAMES:
            break
    if frames < 2 * size:
        raise TrainingError(
            f"{size} acoustic units need twice as many frames of 10 ms; the training speech has {frames}"
        )
    logger.info("finding acoustic units in %.1f minutes of speech", frames / 6000)
    lengths, rows = [len(utterance) for utterance in windows], torch.cat(windows)
    chosen = torch.randperm(frames, generator=generator)[:FIT_ROWS].to(device)
    sample = rows[chosen]
    cepstra = torch.cat([_with_differences(utterance) for utterance in windows])[chosen]
    encoder.discriminant.copy_(_discriminant(sample, _clusters(cepstra, generator)))
    seen = sample @ encoder.discriminant
    encoder.units.copy_(kmeans(seen, size, generator, start_from=STARTS * size))
    encoder.spread.copy_((seen - encoder.units[nearest(seen, encoder.units)]).square().mean())
    numbers = nearest(rows @ encoder.discriminant, encoder.units).split(lengths)
    encoder.embedding.copy_(
        torch.from_numpy(follow([part.cpu().numpy() for part in numbers], size, encoder.embedding.shape[1]))
    )
    encoder.embedding.div_(encoder.place(seen[::10]).std(0).square().mean().sqrt().clamp(min=1e-12))


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


def _whole(waveform: np.ndarray, hop: int, device: torch.device) -> Tensor:
    """(T,) -> (1, T'), padded to whole codes."""
    return torch.from_numpy(np.pad(waveform, (0, -len(waveform) % hop)))[None].to(device)


def _with_differences(windows: Tensor) -> Tensor:
    """Windows (F, len(OFFSETS) * COEFFICIENTS) of an utterance -> (F, 3 * STATIC): its frames and their differences."""
    middle = windows.view(len(windows), len(OFFSETS), COEFFICIENTS)[:, len(OFFSETS) // 2 - 1 : len(OFFSETS) // 2 + 1]
    static = middle[:, :, :STATIC].mean(1).T[None]
    first = slope(static)
    return torch.cat([static, first, slope(first)], dim=1)[0].T


def _clusters(rows: Tensor, generator: Generator) -> Tensor:
    """(N, D) -> (N,) numbers of k-means clusters, each dimension counting alike."""
    rows, size = rows / (rows.std(0) + 1e-6), max(2, min(CLASSES, len(rows) // CLASS_FRAMES))
    return nearest(rows, kmeans(rows, size, generator, start_from=STARTS * size))


def _discriminant(rows: Tensor, labels: Tensor) -> Tensor:
    """Rows (N, D) of so many classes -> (D, DISCRIMINANTS): directions in which classes differ most (Fisher's).

    The eigenvectors of the covariance between classes in units of that within them, which is shrunk by SHRINKAGE
    towards a multiple of the identity (scikit-learn's LinearDiscriminantAnalysis with solver "eigen" finds the same).
    """
    rows64, total = rows.double(), len(rows)
    within = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device)
    for label in labels.unique():
        members = rows64[labels == label]
        within += len(members) / total * _shrunk_covariance(members)
    between = _shrunk_covariance(rows64) - within
    lower = torch.linalg.cholesky(within)
    half = torch.linalg.solve_triangular(lower, between, upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.T, upper=False)
    vectors = torch.linalg.eigh((whitened + whitened.T) / 2).eigenvectors.flip(1)  # the largest eigenvalue first
    found = torch.linalg.solve_triangular(lower.T, vectors, upper=True)[:, :DISCRIMINANTS].to(rows)
    return nn.functional.pad(found, (0, DISCRIMINANTS - found.shape[1]))


def _shrunk_covariance(rows: Tensor) -> Tensor:
    """(D, D) of rows (N, D)."""
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / len(rows)
    size = len(covariance)
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * covariance.trace() / size * torch.eye(size).to(covariance)
