"""Fetch VCTK 0.92 with torchaudio's own dataset class: python torchaudio_download.py OUT."""

import sys


def main(out: str) -> int:
    """Download and unpack into OUT/VCTK-Corpus-0.92; torchaudio checks the archive's hash. Returns the exit status."""
    try:
        from torchaudio.datasets import VCTK_092
    except (ImportError, OSError, RuntimeError) as error:
        print(
            f"error: the package torchaudio cannot be used ({str(error).splitlines()[0]}); "
            "install it with: pip install 'vqvc[torchaudio]', or download with --with curl",
            file=sys.stderr,
        )
        return 1
    VCTK_092(out, download=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
