"""Code files (.vqc) for vqvc-encode and vqvc-decode."""

import argparse
from pathlib import Path

from vqvc.cli._priors import find_prior

SUFFIX = ".vqc"


def write_code_file(model_file, recording: Path, out: Path, prior, *, equalizer: bool = True) -> str:
    """Encode a recording into a code file, under a prior or (None) plainly; returns a line with its size and bit rate."""
    from vqvc.codec import code_file
    from vqvc.conversion.encoding import encode_recording

    settings = model_file.config
    codes, length_samples = encode_recording(model_file.model, recording, equalizer=equalizer)
    coder = (
        prior.coder
        if prior
        else code_file.Coder(model_file.checksum, settings.hop_length, settings.quantizer.codebook_size)
    )
    size = code_file.write(out, codes, length_samples, coder)
    rate = 8 * size * settings.audio.sample_rate / length_samples
    coding = f"under {prior.path}" if prior else "plain"
    return f"{len(codes)} codes, {size} bytes, {rate:.0f} bits/s, {coding}  {out}"


def read_code_file(args: argparse.Namespace, header) -> tuple:
    """Codes (T,) of ``args.codes`` and the recording's length in samples; ``header`` is that of ``args.model``."""
    from vqvc.codec import code_file

    if code_file.coding_of(args.codes) == code_file.UNDER_PRIOR:
        coder = find_prior(args).coder
    else:
        settings = header.config
        coder = code_file.Coder(header.checksum, settings.hop_length, settings.quantizer.codebook_size)
    return code_file.read(args.codes, coder)
