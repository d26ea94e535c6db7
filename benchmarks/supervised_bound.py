"""How well phones could be read from 128 codes: a network trained on the phones of the training subset, its outputs quantized to as many codes.

    python benchmarks/supervised_bound.py --store dump --align align/phones.ctm --encoder encoder.safetensors

The network reads z_e of an encoder over seven codes (one hidden layer of 256) and learns the phone at the middle one, silence left
out. Its probabilities, as square roots, are clustered into as many codes as the encoder has, and each stands for the phone that it
met most often, as in vqvc-probe. Printed are both accuracies on dev (speakers of training) and test (unseen speakers).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.cli._models import read_encoder
from vqvc.corpus.alignment import code_labels, read_ctm
from vqvc.corpus.phones import CLASSES
from vqvc.corpus.store import PackedStore
from vqvc.nn.quantizer import kmeans, nearest

REACH = 3  # codes on either side
EPOCHS, BATCH, RATE, HIDDEN = 4, 1024, 2e-3, 256
FIT_ROWS = 50_000  # on which codes are found
SILENCE = CLASSES.index("pau")


@torch.inference_mode()
def windows(found, store: PackedStore, alignment: dict) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """z_e of each code of the aligned utterances and its neighbours (N, (2 REACH + 1) D), phones (N,) and subsets (N,)."""
    hop, rows, labels, subsets = found.model.hop_length, [], [], []
    for utterance in store.utterances:
        if not alignment.get(utterance.utt_id):
            continue
        samples = store.waveform(utterance)
        z = found.model.latents(torch.from_numpy(np.pad(samples, (0, -len(samples) % hop)))[None])[0].T
        padded = nn.functional.pad(z.T[None], (REACH, REACH), mode="replicate")[0].T
        rows.append(torch.cat([padded[i : i + len(z)] for i in range(2 * REACH + 1)], dim=1).half())
        labels.append(code_labels(alignment[utterance.utt_id], len(z), hop, store.sample_rate))
        subsets += [utterance.subset] * len(z)
    return torch.cat(rows), np.concatenate(labels), np.array(subsets)


def main() -> None:
    """Print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--align", type=Path, required=True)
    parser.add_argument("--encoder", default="phones", help="a name that vqvc-encode --codes takes, or a file")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = read_encoder(args.encoder)
    x, labels, subsets = windows(found, PackedStore(args.store), read_ctm(args.align))
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    mean, deviation = x.float().mean(0), x.float().std(0) + 1e-6
    network = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(0.2), nn.Linear(HIDDEN, len(CLASSES)))
    train = torch.from_numpy(np.flatnonzero((subsets == "train") & (labels != SILENCE)))
    optimizer, y = torch.optim.Adam(network.parameters(), RATE), torch.from_numpy(labels.astype(np.int64))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * -(-len(train) // BATCH))
    for _ in range(EPOCHS):
        for part in train[torch.randperm(len(train), generator=generator)].split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network((x[part].float() - mean) / deviation), y[part]).backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.inference_mode():
        scores = torch.cat([network((part.float() - mean) / deviation) for part in x.split(16384)])
    likeliest, roots = scores.argmax(1).numpy(), scores.softmax(1).sqrt()
    fitted = torch.from_numpy(np.flatnonzero(subsets == "train"))
    fitted = fitted[torch.randperm(len(fitted), generator=generator)[:FIT_ROWS]]
    size = found.config.quantizer.codebook_size
    codes = nearest(roots, kmeans(roots[fitted], size, generator, 15, 20 * size)).numpy()
    counts = np.zeros((size, len(CLASSES)))
    np.add.at(counts, (codes[train.numpy()], labels[train.numpy()]), 1)
    named = counts.argmax(1)[codes]
    for subset in ("dev", "test"):
        scored = (subsets == subset) & (labels != SILENCE)
        right = [100 * float((guess[scored] == labels[scored]).mean()) for guess in (likeliest, named)]
        print(f"{subset}: {right[0]:.1f} % of {scored.sum()} frames; quantized to {size} codes {right[1]:.1f} %")


if __name__ == "__main__":
    main()
