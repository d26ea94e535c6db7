"""Training of the prior over codes: the same checkpoints, log, signals and averaged weights as the model's training."""

import dataclasses
import logging
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from tqdm import tqdm

from vqvc._util.atomic import write_text
from vqvc.config import PriorSettings
from vqvc.corpus.codes import CodeArchive
from vqvc.errors import ModelError, TrainingError
from vqvc.nn.precision import working_dtype
from vqvc.nn.prior import Prior
from vqvc.training import checkpoint
from vqvc.training.average import AveragedModel
from vqvc.training.code_crops import CodeBatch, CodeCrops
from vqvc.training.folder import hold
from vqvc.training.interrupt import Interrupt
from vqvc.training.tracker import Tracker
from vqvc.training.trainer import LOG_EVERY, learning_rate

VALID_CODES = 20000  # codes scored while training; the last validation scores everything
logger = logging.getLogger("vqvc.training")


@dataclass(frozen=True)
class FinishedPrior:
    """How a run ended; bits_per_code: mean -log2 p of a code of unseen sentences, None without any."""

    model: Prior
    step: int
    minutes: float
    bits_per_code: float | None
    signal: int | None


@torch.inference_mode()
def bits_of(model: Prior, codes: np.ndarray, speaker: int = 0, dtype: torch.dtype = torch.float32) -> float:
    """-log2 p of a whole utterance of codes (T,); ``speaker`` is the prior's index, 0 for nobody in particular."""
    if not len(codes):
        return 0.0
    device = next(model.parameters()).device
    rows = torch.from_numpy(np.asarray(codes, np.int64))[None].to(device)
    nll = model.nll(rows, torch.tensor([speaker], device=device), dtype=dtype)
    return float(nll.double().sum()) / math.log(2)


class PriorTrainer:
    """Trains one prior in one folder on the subset ``train`` of a code archive; ``speakers`` is its table.

    anew: begin again, rather than refuse, where the folder's checkpoints are of other codes or of another prior.
    """

    def __init__(
        self,
        settings: PriorSettings,
        archive: CodeArchive,
        folder: Path,
        speakers: tuple[str, ...],
        *,
        device: torch.device | str = "cpu",
        minutes_limit: float | None = None,
        anew: bool = False,
    ):
        self.settings, self.archive, self.folder, self.speakers = settings, archive, Path(folder), speakers
        self.device, self.minutes_limit, self.anew = torch.device(device), minutes_limit, anew
        training = settings.training
        self.dtype = working_dtype(training.precision, self.device)
        self.crops = CodeCrops(
            archive, speakers, batch_size=training.batch_size, crop_codes=training.crop_codes,
            lead_codes=training.lead_codes, anonymous=training.anonymous, seed=training.seed,
        )  # fmt: skip
        torch.manual_seed(training.seed)
        self.model = Prior(archive.codebook_size, len(speakers), **dataclasses.asdict(settings.prior)).to(self.device)
        self.average = AveragedModel(self.model, training.weight_average)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=training.learning_rate, betas=(0.9, 0.99), weight_decay=training.weight_decay,
            fused=True,
        )  # fmt: skip
        self.names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        self.step, self.seconds = 0, 0.0
        self.last_checkpoint: Path | None = None

    @property
    def minutes(self) -> float:
        return self.seconds / 60

    def run(self) -> FinishedPrior:
        """Train to the end, or until a signal; resumes from the newest sound checkpoint in the folder.

        Raises TrainingError for a folder in use and a loss that is not a number, ModelError for checkpoints of
        another prior or of other codes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with hold(self.folder), Interrupt() as interrupt:
            self._resume()
            checkpoint.sweep(self.folder)
            write_text(self.folder / "config.yaml", yaml.safe_dump(self.settings.to_dict(), sort_keys=False))
            tracker = Tracker(self.folder)
            try:
                return self._loop(tracker, interrupt)
            finally:
                tracker.close()

    def _loop(self, tracker: Tracker, interrupt: Interrupt) -> FinishedPrior:
        training = self.settings.training
        self._tell(tracker, "start", parameters=sum(p.numel() for p in self.model.parameters()),
                   train_codes=self.crops.total_codes, speakers=len(self.speakers), config=self.settings.hash(),
                   threads=torch.get_num_threads(), device=str(self.device))  # fmt: skip
        last_save, last_valid, bits = self.seconds, self.seconds, None
        before = time.perf_counter()
        with tqdm(total=training.steps, initial=self.step, unit="step", disable=None, file=sys.stderr) as bar:
            while (progress := self._progress()) < 1:
                figures = self._train_step(self.crops.batch(self.step), progress)
                self.step += 1
                now = time.perf_counter()
                took, before = now - before, now
                self.seconds += took
                bar.update()
                if self.step % LOG_EVERY == 0 or self.step == 1:
                    self._log_step(tracker, figures, took)
                if self.seconds - last_valid > 60 * training.valid_minutes:
                    bits, last_valid = self._validate(tracker, VALID_CODES, interrupt), self.seconds
                stopped = interrupt.received is not None
                if stopped or self.seconds - last_save > 60 * training.checkpoint_minutes:
                    self._save()
                    last_save = self.seconds
                if stopped:
                    logger.warning("stopped by a signal at step %d; the same command goes on from here", self.step)
                    return FinishedPrior(self.average.module, self.step, self.minutes, bits, interrupt.received)
        self._save()
        bits = self._validate(tracker, math.inf, interrupt, "end")
        return FinishedPrior(self.average.module, self.step, self.minutes, bits, interrupt.received)

    def _progress(self) -> float:
        by_time = self.minutes / self.minutes_limit if self.minutes_limit else 0.0
        return max(self.step / self.settings.training.steps, by_time)

    def _train_step(self, batch: CodeBatch, progress: float) -> dict:
        training = self.settings.training
        codes, before, speaker, scored = (
            torch.from_numpy(a).to(self.device) for a in (batch.codes, batch.before, batch.speaker, batch.scored)
        )
        generator = torch.Generator().manual_seed(training.seed * 1_000_003 + self.step)
        self.model.train()
        nll = self.model.nll(codes, speaker, before, dtype=self.dtype, generator=generator)
        loss = (nll * scored).sum() / scored.sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), training.gradient_clip)
        if not torch.isfinite(loss.detach() + norm):
            raise TrainingError(
                f"step {self.step}: the loss or its gradient is not a number (utterances {', '.join(batch.utt_ids[:4])}, "
                f"...); last good checkpoint: {self.last_checkpoint or 'none yet'}; a lower training.learning_rate may help"
            )
        rate = learning_rate(training, self.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.average.update(self.model, self.step)
        return {"bits_per_code": float(loss.detach()) / math.log(2), "gradient_norm": float(norm), "learning_rate": rate}

    # --- what is told

    def _tell(self, tracker: Tracker, event: str, **values) -> None:
        tracker.write(event, step=self.step, minutes=self.minutes, **values)

    def _log_step(self, tracker: Tracker, figures: dict, took: float) -> None:
        speed = self.settings.training.batch_size * self.settings.training.crop_codes / took
        self._tell(tracker, "train", codes_per_second=round(speed), **figures)
        if self.step % (5 * LOG_EVERY) == 0:
            logger.info("step %d, %.1f min: %.3f bits per code (train), %.0f codes/s",
                        self.step, self.minutes, figures["bits_per_code"], speed)  # fmt: skip

    def _validate(self, tracker: Tracker, most_codes: float, interrupt: Interrupt, event: str = "valid") -> float | None:
        """Bits per code of unseen sentences, speakers told, with the averaged weights; None when a signal came."""
        utt_ids = self.archive.subset("dev")
        total = sum(len(self.archive.codes_of(utt_id)) for utt_id in utt_ids)
        bits, scored = 0.0, 0
        for utt_id in utt_ids[:: max(1, math.ceil(total / most_codes))]:
            if interrupt.received is not None:
                return None
            codes, speaker = self.archive.codes_of(utt_id), self.archive.speaker_of(utt_id)
            index = 1 + self.speakers.index(speaker) if speaker in self.speakers else 0
            bits += bits_of(self.average.module, codes, index, self.dtype)
            scored += len(codes)
        if not scored:
            return None
        self._tell(tracker, event, bits_per_code=bits / scored, codes=scored)
        logger.info("step %d, %.1f min: held out %.3f bits per code", self.step, self.minutes, bits / scored)
        return bits / scored

    # --- saving and resuming

    def _facts(self) -> dict:
        return {
            "codes_of_model": self.archive.model,
            "codebook_size": self.archive.codebook_size,
            "speakers": list(self.speakers),
            "prior": self.settings.to_dict()["prior"],
        }

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.module.state_dict().items()}
        tensors |= checkpoint.flatten_optimizer(self.optimizer, self.names)
        facts = self._facts() | {"step": self.step, "seconds": self.seconds}
        self.last_checkpoint = checkpoint.save(self.folder, self.step, tensors, facts)

    def _resume(self) -> None:
        newest = checkpoint.load_newest(self.folder)
        if newest is None:
            return
        path, tensors, facts = newest
        different = [key for key, value in self._facts().items() if facts.get(key) != value]
        if different and self.anew:
            logger.warning("%s: was made with another %s; beginning anew", path, different[0])
            checkpoint.clear(self.folder)
            return
        if different:
            raise ModelError(f"{path}: was made with another {different[0]}; train in another folder, or give --overwrite")
        part = lambda prefix: {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
        self.model.load_state_dict(part("model."))
        self.average.module.load_state_dict(part("average."))
        checkpoint.restore_optimizer(self.optimizer, self.names, tensors)
        self.step, self.seconds, self.last_checkpoint = facts["step"], facts["seconds"], path
        logger.info("resuming at step %d (%.1f min) from %s", self.step, self.minutes, path)
