"""The released model: what the commands and ``vqvc.load()`` use when no other is named. README.md is its card."""

from pathlib import Path

RELEASED = Path(__file__).parent / "vctk-small.safetensors"
