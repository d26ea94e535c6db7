"""µ-law companding (ITU-T G.711's curve, continuous form): 256 classes, silence is class 128.

The grid of classes has no point at 0, which lies between 127 and 128; class 128 stands for exactly 0. The tensors'
twin is in ``vqvc.nn.features``, and a test holds the two together.
"""

import numpy as np

from vqvc.errors import AudioError

MU = 255
CLASSES = 256
SILENCE = 128


def encode(samples: np.ndarray) -> np.ndarray:
    """Classes (int64 in [0, 255]) of float samples in [-1, 1]; louder ones are limited to that range.

    Raises AudioError for samples that are not finite.
    """
    samples = np.asarray(samples, dtype=np.float64)
    if not np.isfinite(samples).all():
        raise AudioError(
            f"non-finite at sample {int(np.argmin(np.isfinite(samples).ravel()))}; only finite samples have a class"
        )
    samples = samples.clip(-1.0, 1.0)
    companded = np.sign(samples) * np.log1p(MU * np.abs(samples)) / np.log1p(MU)
    return np.floor((companded + 1) / 2 * MU + 0.5).astype(np.int64)


def decode(classes: np.ndarray) -> np.ndarray:
    """Float32 samples in [-1, 1] of integer classes in [0, 255]; ``encode(decode(k)) == k`` for every class.

    Raises AudioError for a class out of range.
    """
    classes = np.asarray(classes)
    if classes.size and (classes.min() < 0 or classes.max() >= CLASSES):
        raise AudioError(f"class {int(classes.min())} to {int(classes.max())}: classes lie in [0, {CLASSES - 1}]")
    companded = 2 * classes.astype(np.float64) / MU - 1
    samples = np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(MU)) / MU
    return np.where(classes == SILENCE, 0.0, samples).astype(np.float32)
