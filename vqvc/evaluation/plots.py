"""Pictures. matplotlib (extra ``plots``) is imported only when one is drawn, without a display."""

import os
from collections.abc import Sequence

import numpy as np

from vqvc._util.atomic import atomic_path
from vqvc.errors import MissingExtraError


def pyplot():
    """matplotlib.pyplot with the Agg backend; MissingExtraError when matplotlib is absent or broken."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt
    except (ImportError, OSError, RuntimeError):
        raise MissingExtraError("matplotlib", "plots") from None
    return plt


def save(figure, path: str | os.PathLike, dots_per_inch: int = 110) -> None:
    """Write a matplotlib figure atomically and forget it."""
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=dots_per_inch, bbox_inches="tight", metadata={"Software": None})
    pyplot().close(figure)


def code_order(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(phones, codes) in the order of the heat map: phones by frequency; codes by their commonest phone, surest first."""
    phones = np.argsort(-joint.sum(axis=0), kind="stable")
    phones = phones[joint.sum(axis=0)[phones] > 0]
    used = np.flatnonzero(joint.sum(axis=1))
    share = joint[used] / joint[used].sum(axis=1, keepdims=True)
    place = np.argsort(phones, kind="stable") if len(phones) == joint.shape[1] else _places(phones, joint.shape[1])
    order = np.lexsort((-share.max(axis=1), place[share.argmax(axis=1)]))
    return phones, used[order]


def _places(phones: np.ndarray, classes: int) -> np.ndarray:
    place = np.full(classes, classes)
    place[phones] = np.arange(len(phones))
    return place


def heat_map(joint: np.ndarray, classes: Sequence[str], path: str | os.PathLike, title: str) -> None:
    """Draw P(phone | code) of a table of counts (codes, phones): one column per used code, one row per phone."""
    plt = pyplot()
    phones, codes = code_order(joint)
    share = (joint[codes] / joint[codes].sum(axis=1, keepdims=True))[:, phones].T
    figure, axes = plt.subplots(figsize=(min(16, 5 + len(codes) * 0.03), 0.19 * len(phones) + 1.4))
    picture = axes.imshow(share, aspect="auto", cmap="magma", vmin=0, vmax=max(0.5, float(share.max())), interpolation="nearest")
    axes.set_yticks(range(len(phones)), [classes[phone] for phone in phones], fontsize=7)
    axes.set_xlabel(f"{len(codes)} used codes of {len(joint)}, sorted by their commonest phone")
    axes.set_ylabel("phone, commonest first")
    axes.set_title(title, fontsize=10)
    figure.colorbar(picture, ax=axes, label="P(phone | code)", pad=0.01)
    save(figure, path)
