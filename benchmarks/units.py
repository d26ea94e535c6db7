"""ABX and bit rate of codes on one set of speech, a row for each encoder.

    python benchmarks/units.py --store exp/all/dump --align exp/all/align/phones.ctm released phones exp/mine/encoder.safetensors

ABX is measured as ZeroSpeech 2019 does, on phone triples that differ in the middle phone: DTW over the codes' vectors (angles),
and, harder, over the codes as symbols (equal or not). Bit rates are of the same speech: code rate times log2 of the codebook, times
the entropy of single codes, and that of runs with their lengths.
"""

import argparse
from pathlib import Path

import numpy as np

from vqvc.cli._models import read_encoder
from vqvc.conversion.encoding import encode
from vqvc.corpus.alignment import code_labels, read_ctm
from vqvc.corpus.store import PackedStore
from vqvc.evaluation.metrics import abx
from vqvc.evaluation.metrics.codes import bitrates
from vqvc.evaluation.probe import LabelledCodes

SUBSETS = ("dev", "test")


def labelled(found, store: PackedStore, alignment: dict) -> LabelledCodes:
    """The aligned utterances of SUBSETS, encoded."""
    chosen = [u for u in store.utterances if u.subset in SUBSETS and alignment.get(u.utt_id)]
    codes = [encode(found.model, store.waveform(utterance)) for utterance in chosen]
    hop, rate = found.config.hop_length, found.config.audio.sample_rate
    labels = [code_labels(alignment[u.utt_id], len(part), hop, rate) for u, part in zip(chosen, codes)]
    return LabelledCodes(
        codes=np.concatenate(codes),
        labels=np.concatenate(labels),
        offsets=np.cumsum([0, *(len(part) for part in codes)]),
        utt_ids=tuple(utterance.utt_id for utterance in chosen),
        speakers=tuple(utterance.speaker for utterance in chosen),
        codebook_size=found.config.quantizer.codebook_size,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("encoders", nargs="+", help="released, a name that vqvc-encode --codes takes, or a file")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--align", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    store, alignment = PackedStore(args.store), read_ctm(args.align)
    print(
        "| encoder | codes/s | of | bit/s, fixed | single codes | runs | ABX within, % | across, % | symbols: within, % | across, % |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in args.encoders:
        found = read_encoder(None if name == "released" else name)
        data = labelled(found, store, alignment)
        rate_hz = found.config.code_rate_hz
        bits = bitrates(data.codes, data.offsets, data.codebook_size, rate_hz)
        segments = {utt_id: alignment[utt_id] for utt_id in data.utt_ids}
        vectors = found.model.quantizer.codebook.detach().numpy()
        errors = [
            abx.measure({"codes": data}, segments, rate_hz, given, seed=args.seed)["codes"][kind]
            for given in (vectors, None)
            for kind in ("within", "across")
        ]
        cells = [f"{e.value:.1f} [{e.interval[0]:.1f}, {e.interval[1]:.1f}]" for e in errors]
        numbers = [f"{value:,.0f}" for value in (bits.fixed_bps, bits.entropy_bps, bits.run_length_bps)]
        print(
            "|",
            " | ".join([found.path.stem, f"{rate_hz:g}", str(data.codebook_size), *numbers, *cells]),
            "|",
            flush=True,
        )


if __name__ == "__main__":
    main()
