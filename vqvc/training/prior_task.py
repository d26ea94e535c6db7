"""The training task of ``vqvc-prior``: the prior on crops of encoded utterances."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.config import PriorSettings
from vqvc.corpus.codes import CodeArchive
from vqvc.errors import ModelError
from vqvc.nn.precision import working_dtype
from vqvc.nn.prior import Prior
from vqvc.training.average import AveragedModel
from vqvc.training.code_crops import CodeBatch, CodeCrops
from vqvc.training.task import Position

VALID_CODES = 20000  # codes scored in a validation during training; the last validation scores all
UNSEEN_CROPS = 4  # held-out crops on which the weights are checked before a checkpoint is written


@dataclass(frozen=True)
class HeldOutCodes:
    """bits_per_code: mean -log2 p of a held-out code given its speaker, with averaged weights. codes: how many."""

    bits_per_code: float
    codes: int

    @property
    def bits(self) -> float:
        return self.bits_per_code

    def as_dict(self) -> dict:
        """The figures as plain numbers, for the log."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return f"held out {self.bits_per_code:.3f} bits per code"


@torch.inference_mode()
def bits_of(model: Prior, codes: np.ndarray, speaker: int = 0, dtype: torch.dtype = torch.float32) -> float:
    """-log2 p of an utterance of codes (T,). speaker: the prior's index, 0 if unknown. dtype: of the layers."""
    if not len(codes):
        return 0.0
    device = next(model.parameters()).device
    rows = torch.from_numpy(np.asarray(codes, np.int64))[None].to(device)
    nll = model.nll(rows, torch.tensor([speaker], device=device), dtype=dtype)
    return float(nll.double().sum()) / math.log(2)


class PriorTask:
    """Trains a prior on the subset ``train`` of a code archive. speakers: names in the order of its speaker table."""

    unit = "codes"

    def __init__(
        self,
        settings: PriorSettings,
        archive: CodeArchive,
        speakers: tuple[str, ...],
        *,
        device: torch.device | str = "cpu",
    ):
        self.all_settings, self.archive, self.speakers = settings, archive, speakers
        self.settings = training = settings.training
        self.device = torch.device(device)
        self.dtype = working_dtype(training.precision, self.device)
        self.units_per_step = training.batch_size * training.crop_codes
        self.guess_bits = math.log2(archive.codebook_size)
        self.crops = self._crops("train", training.batch_size)
        self.held_out = bool(np.isin(archive.speakers[archive.subsets == "dev"], speakers).any())
        self.unseen = self._crops("dev" if self.held_out else "train", min(UNSEEN_CROPS, training.batch_size)).batch(0)
        torch.manual_seed(training.seed)
        self.model = Prior(archive.codebook_size, len(speakers), **dataclasses.asdict(settings.prior)).to(self.device)
        self.average = AveragedModel(self.model, training.weight_average)
        adam = torch.optim.AdamW(
            self.model.parameters(),
            lr=training.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.optimizers = [adam]

    def _crops(self, subset: str, batch_size: int) -> CodeCrops:
        training = self.settings
        return CodeCrops(
            self.archive,
            self.speakers,
            subset,
            batch_size=batch_size,
            crop_codes=training.crop_codes,
            context_codes=training.context_codes,
            anonymous=training.anonymous,
            seed=training.seed,
        )

    # --- the data

    def check_data(self) -> None:
        """Does nothing: the archive was checked when it was read."""

    def prepare(self) -> None:
        """Does nothing: training needs only the codes."""

    def describe(self) -> dict:
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "train_codes": self.crops.total_codes,
            "speakers": len(self.speakers),
            "config": self.all_settings.hash(),
            "precision": str(self.dtype).removeprefix("torch."),
        }

    def configuration(self) -> dict:
        return self.all_settings.to_dict()

    def batches(self, first_step: int, last_step: int) -> Iterator[CodeBatch]:
        return map(self.crops.batch, range(first_step, last_step))

    # --- learning

    def train_step(self, batch: CodeBatch, position: Position, rate: float) -> dict | None:
        training = self.settings
        generator = torch.Generator().manual_seed(training.seed * 1_000_003 + position.step)
        self.model.train()
        loss = self._loss(self.model, batch, generator)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), training.gradient_clip)
        if not torch.isfinite(loss.detach() + norm):
            return None
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        return {"nll": loss.detach(), "gradient_norm": norm, "learning_rate": rate}

    def _loss(self, model: Prior, batch: CodeBatch, generator: torch.Generator | None = None) -> Tensor:
        """Mean -log p in nats of a batch's scored codes."""
        arrays = (batch.codes, batch.before, batch.speaker, batch.scored)
        codes, before, speaker, scored = (torch.from_numpy(array).to(self.device) for array in arrays)
        nll = model.nll(codes, speaker, before, dtype=self.dtype, generator=generator)
        return (nll * scored).sum() / scored.sum()

    def end_step(self, step: int, log: Callable[..., None]) -> None:
        """Does nothing: no figure is collected over an epoch."""

    # --- figures

    def figures(self, result: dict) -> tuple[dict, str]:
        bits = float(result["nll"]) / math.log(2)
        values = {
            "bits_per_code": bits,
            "gradient_norm": float(result["gradient_norm"]),
            "learning_rate": result["learning_rate"],
        }
        return values, f"{bits:.3f} bits per code (train)"

    @torch.no_grad()
    def unseen_bits(self, model: Prior, position: Position) -> float:
        return float(self._loss(model.eval(), self.unseen)) / math.log(2)

    def validate(self, position: Position, final: bool, stop: Callable[[], bool]) -> HeldOutCodes | None:
        utt_ids = self.archive.subset("dev")
        total = sum(len(self.archive.codes_of(utt_id)) for utt_id in utt_ids)
        bits, scored = 0.0, 0
        stride = 1 if final else max(1, math.ceil(total / VALID_CODES))
        for utt_id in utt_ids[::stride]:
            if stop():
                return None
            codes, speaker = self.archive.codes_of(utt_id), self.archive.speaker_of(utt_id)
            index = 1 + self.speakers.index(speaker) if speaker in self.speakers else 0
            bits += bits_of(self.average.module, codes, index, self.dtype)
            scored += len(codes)
        return HeldOutCodes(bits / scored, scored) if scored else None

    def finish(self) -> None:
        """Does nothing: a released prior needs no further measurement."""

    # --- checkpoints

    def facts(self) -> dict:
        return {
            "codes_of_model": self.archive.model,
            "codebook_size": self.archive.codebook_size,
            "speakers": list(self.speakers),
            "prior": self.all_settings.to_dict()["prior"],
            "codes": _identity(self.archive),
        }

    def require_same(self, facts: dict, path: Path) -> None:
        for key, value in self.facts().items():
            if key == "codes" and key not in facts:
                continue  # checkpoints of older versions have no checksum of the codes
            if facts.get(key) != value:
                raise ModelError(f"{path}: was made with another {key}; train in another folder, or give --overwrite")

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: dict[str, Tensor], facts: dict) -> None:
        """Does nothing: model, average and optimizer are all the state."""


def _identity(archive: CodeArchive) -> str:
    """A checksum of codes, names and subsets, which must be the same for a resumed run."""
    digest = hashlib.sha256(np.ascontiguousarray(archive.codes).tobytes())
    digest.update(np.ascontiguousarray(archive.offsets).tobytes())
    table = zip(archive.utt_ids.tolist(), archive.speakers.tolist(), archive.subsets.tolist())
    digest.update("\n".join("\t".join(row) for row in table).encode())
    return digest.hexdigest()
