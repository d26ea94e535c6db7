"""The codebook of an encoder that is computed without a gradient and has no decoder: k-means on its outputs for whole utterances.

Acoustic units are normalised over the whole input, so the vectors of crops, and a codebook of them, would differ from those of
whole utterances. (An encoder that is trained by masked prediction keeps the codebook that it was trained with.)
"""

import logging
from collections.abc import Sequence

import torch

from vqvc.corpus.store import PackedStore
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.quantizer import kmeans
from vqvc.training.whole_utterances import latents_of

FIT_ROWS = 150_000  # vectors
STARTS = 20  # of them for each code, from which k-means begins
ROUNDS = 25  # of k-means
logger = logging.getLogger("vqvc.training")


@torch.no_grad()
def fit(model: CodeEncoder, store: PackedStore, speakers: Sequence[str], seed: int) -> None:
    """Set the codebook of ``model``, in evaluation mode, from whole training utterances of the speakers.

    Nothing changes where there are fewer vectors than codes.
    """
    codebook, generator = model.quantizer.codebook, torch.Generator().manual_seed(seed)
    found = latents_of(
        model.latents, store, speakers, model.hop_length, codebook.device, most_codes=FIT_ROWS, seed=seed
    )
    rows = torch.cat([codebook.new_zeros(0, codebook.shape[1]).cpu(), *(vectors for _, vectors in found)])
    if len(rows) < len(codebook):
        logger.warning("%d codes of training speech are too few for a codebook of %d", len(rows), len(codebook))
        return
    model.quantizer.start_at(kmeans(rows.to(codebook), len(codebook), generator, ROUNDS, STARTS * len(codebook)))
