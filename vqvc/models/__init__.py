"""The released models: what the commands and ``vqvc.load()`` use when no other is named. README.md holds their cards."""

from pathlib import Path

RELEASED = Path(__file__).parent / "vctk-small-2.safetensors"
CODE_ENCODERS = {"phones": Path(__file__).parent / "phones.safetensors"}  # of vqvc-encode --codes, by name
