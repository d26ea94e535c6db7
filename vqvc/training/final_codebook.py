"""The codebook of an acoustic-unit encoder without a decoder: k-means on its outputs for whole utterances.

Acoustic units are normalised over the whole input. A codebook from the vectors of crops would not fit those of whole
utterances. An encoder that is trained by masked prediction keeps the codebook that it was trained with.
"""

import logging
from collections.abc import Sequence

import torch

from vqvc.corpus.store import PackedStore
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.quantizer import kmeans
from vqvc.training.whole_utterances import latents_of

FIT_ROWS = 150_000  # vectors that k-means is run on, at most
STARTS = 20  # vectors per code from which k-means++ draws the first centres
ROUNDS = 25  # of k-means
logger = logging.getLogger("vqvc.training")


@torch.no_grad()
def fit(model: CodeEncoder, store: PackedStore, speakers: Sequence[str], seed: int) -> None:
    """Set the codebook of ``model``, which is in evaluation mode, from whole training utterances of the speakers.

    Logs a warning and changes nothing if there are fewer vectors than codes.
    """
    codebook, generator = model.quantizer.codebook, torch.Generator().manual_seed(seed)
    latents = latents_of(
        model.latents, store, speakers, model.hop_length, codebook.device, most_codes=FIT_ROWS, seed=seed
    )
    rows = torch.cat([codebook.new_zeros(0, codebook.shape[1]).cpu(), *(vectors for _, vectors in latents)])
    if len(rows) < len(codebook):
        logger.warning("%d codes of training speech are too few for a codebook of %d", len(rows), len(codebook))
        return
    model.quantizer.start_at(kmeans(rows.to(codebook), len(codebook), generator, ROUNDS, STARTS * len(codebook)))
