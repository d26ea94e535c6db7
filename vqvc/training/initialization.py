"""Beginning from a trained model instead of random weights: to train on, or to learn new speakers."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from vqvc.config import ModelConfig, model_from_dict
from vqvc.errors import ModelError
from vqvc.nn.vqvae import VQVAE

# tables with a row for each speaker, and how much of the rows' mean a new speaker begins with
PER_SPEAKER = {"conditioning.speaker.weight": 1.0, "f0_conditioner.f0_sums": 0.0, "global_variance": 1.0}
logger = logging.getLogger("vqvc.training")


@dataclass(frozen=True)
class Initialization:
    """A trained model to begin from; speakers in the order of its table; path: where it came from, for messages."""

    model: VQVAE
    speakers: tuple[str, ...]
    path: Path

    @torch.no_grad()
    def give(self, model: VQVAE, speakers: tuple[str, ...]) -> None:
        """Copy everything into ``model``; of ``speakers``, those that are new begin as the mean of those that are known.

        Raises ModelError when the two are not built alike.
        """
        require_same_model(model.config, self.model.config.to_dict(), self.path, "give its configuration")
        theirs = {speaker: index for index, speaker in enumerate(self.speakers)}
        weights = self.model.state_dict()
        for name in PER_SPEAKER.keys() & weights.keys():
            rows, mean = weights[name], weights[name].mean(0) * PER_SPEAKER[name]
            weights[name] = torch.stack([rows[theirs[s]] if s in theirs else mean for s in speakers])
        model.load_state_dict(model.state_dict() | weights)
        known = len(theirs.keys() & set(speakers))
        logger.info("beginning from %s: %d of its speakers, %d new ones", self.path, known, len(speakers) - known)


def require_same_model(config: ModelConfig, other: dict, path: Path, remedy: str) -> None:
    """Raise ModelError, naming ``path`` and a ``remedy``, when ``other`` (its ``to_dict``) is not built like ``config``."""
    ours, theirs = config.to_dict(), model_from_dict(other).to_dict()  # what the other does not state has its default
    for section in ("audio", "encoder", "quantizer", "decoder"):
        for key, value in ours[section].items():
            if theirs[section][key] != value:
                raise ModelError(
                    f"{path}: was made with {section}.{key} = {theirs[section][key]}, not {value}; {remedy}"
                )
