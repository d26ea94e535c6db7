"""Initialization from a trained model instead of random weights, to train further or to add speakers."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from vqvc.config import ModelConfig, model_from_dict
from vqvc.errors import ModelError
from vqvc.nn.vqvae import VQVAE

# tables with a row for each speaker, and the factor on the mean of the rows that a new speaker's row begins with
PER_SPEAKER = {"conditioning.speaker.weight": 1.0, "f0_conditioner.f0_sums": 0.0, "global_variance": 1.0}
logger = logging.getLogger("vqvc.training")


@dataclass(frozen=True)
class Initialization:
    """A trained model to begin from.

    speakers: names in the order of its speaker table. path: of its file, for messages.
    """

    model: VQVAE
    speakers: tuple[str, ...]
    path: Path

    @torch.no_grad()
    def give(self, model: VQVAE, speakers: tuple[str, ...]) -> None:
        """Copy all weights into ``model``, whose speaker table is ``speakers``.

        The rows of speakers that the trained model does not know begin as the mean of its rows. Raises ModelError if
        the two models have different settings.
        """
        require_same_model(model.config, self.model.config.to_dict(), self.path, "give its configuration")
        row_of = {speaker: row for row, speaker in enumerate(self.speakers)}
        weights = self.model.state_dict()
        for name in PER_SPEAKER.keys() & weights.keys():
            table = weights[name]
            new_row = table.mean(0) * PER_SPEAKER[name]
            rows = [table[row_of[speaker]] if speaker in row_of else new_row for speaker in speakers]
            weights[name] = torch.stack(rows)
        model.load_state_dict(model.state_dict() | weights)
        known = len(row_of.keys() & set(speakers))
        logger.info("beginning from %s: %d of its speakers, %d new ones", self.path, known, len(speakers) - known)


def require_same_model(config: ModelConfig, other: dict, path: Path, remedy: str) -> None:
    """Raise ModelError if the settings ``other`` describe another network than ``config``.

    other: from ``ModelConfig.to_dict``. path: of the file that holds it. remedy: what the user can do, for the message.
    """
    ours, theirs = config.to_dict(), model_from_dict(other).to_dict()  # settings that ``other`` lacks get their default
    for section in ("audio", "encoder", "quantizer", "decoder"):
        for key, value in ours[section].items():
            if theirs[section][key] != value:
                raise ModelError(
                    f"{path}: was made with {section}.{key} = {theirs[section][key]}, not {value}; {remedy}"
                )
