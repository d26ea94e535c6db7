"""One training step: losses, their gradient, new weights. On a GPU it is recorded once as a CUDA graph and then replayed.

A step is some 1,400 kernels; launching them one by one from Python takes a GPU of today longer than running them.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

from vqvc.config import TrainingConfig
from vqvc.nn.draws import SharedGenerator
from vqvc.nn.quantizer import count
from vqvc.nn.vqvae import VQVAE
from vqvc.training import distributed
from vqvc.training.crops import Batch
from vqvc.training.muon import optimizers
from vqvc.training.objective import TERMS, Objective, Phase
from vqvc.training.teacher import Teacher

UNRECORDED = 3  # steps of a phase before its recording: libraries set themselves up, optimizers make their state
FIGURES = ("nll", *TERMS, "teacher", "gradient_norm")


class TrainingStep:
    """Steps of one worker (rank, workers) on the model's device; ``optimizers`` have the state that has to be kept.

    teacher: gives the conditioning frames to learn, for ``training.teacher_weight``. What a step draws at random comes from
    a generator of that device, seeded by the step's number alone, by position in the batch of all workers.
    """

    def __init__(
        self,
        model: VQVAE,
        objective: Objective,
        settings: TrainingConfig,
        dtype: torch.dtype,
        worker: tuple[int, int] = (0, 1),
        teacher: Teacher | None = None,
    ):
        self.model, self.objective, self.settings = model, objective, settings
        self.dtype, self.teacher = dtype, teacher
        self.rank, self.workers = worker
        self.optimizers = optimizers(model, settings)
        self.device = next(model.parameters()).device
        self.generator = Generator(self.device)
        self.shared = SharedGenerator(self.generator, settings.batch_size, self.rank, self.workers)
        # a part of a crop begins where a number says that no recording can read, and workers' exchanges are not recorded
        self.records = self.device.type == "cuda" and self.workers == 1 and not settings.decoder_crop_samples
        self.stream = torch.cuda.Stream() if self.device.type == "cuda" else None
        self._phase: Phase | None = None
        self._steps, self._recorded = 0, {}  # in this phase

    def __call__(self, batch: Batch, number: int, rate: float, phase: Phase) -> tuple[Tensor, Tensor] | None:
        """``FIGURES``, a number each, and how often each code was chosen (K,), float32 on the device and good until the next step.

        number, rate: of this step, and its learning rate. None when a figure is not finite, on every worker; no weight has moved
        then.
        """
        self.generator.manual_seed(self.settings.seed * 1_000_003 + number * 1009)
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        inputs = [
            torch.from_numpy(a)
            for a in (batch.waveform, batch.history, batch.source, batch.speaker, batch.scored, batch.units)
            if a is not None
        ]
        if phase != self._phase:
            self._phase, self._steps, self._recorded = phase, 0, {}
        self.model.train()
        if self.stream is None:
            return self._take(inputs)
        # one stream for all steps, recorded or not: gradients are then added up where they were recorded
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            found = self._take(inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        return found

    def _take(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor] | None:
        figures, counts = self._run(self._learn, inputs)
        if not torch.isfinite(figures.sum()):  # the one time in a step that a GPU is waited for
            return None
        self._run(self._move, [])
        self._steps += 1
        return figures, counts

    def _run(self, work: Callable, inputs: list[Tensor]):
        """``work`` of inputs, from its recording after ``UNRECORDED`` steps of a phase."""
        if not self.records or self._steps < UNRECORDED:
            return work(*(part.to(self.device) for part in inputs))
        if work.__name__ not in self._recorded:
            self._recorded[work.__name__] = Recording(work, inputs, self.device, self.generator)
        return self._recorded[work.__name__](inputs)

    def _learn(
        self,
        waveform: Tensor,
        history: Tensor,
        source: Tensor,
        speaker: Tensor,
        scored: Tensor,
        units: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The figures and counts of a batch, and every parameter's gradient."""
        settings, model = self.settings, self.model
        losses = self.objective(
            model, waveform, speaker, history, source=source, units=units, phase=self._phase, dtype=self.dtype,
            generator=self.shared,
        )  # fmt: skip
        # the mean of the workers' losses is the loss of the whole batch, also when their shares are unequal
        share = len(waveform) * self.workers / settings.batch_size
        scored = scored[: len(losses.nll), losses.decoded]
        if losses.decoded.start:
            scored[:, : settings.context_samples] = False
        nll = (losses.nll * scored).sum() / distributed.mean_over_workers(scored.sum().float()).clamp(min=1)
        terms = {name: share * term for name, term in losses.terms.items()}
        total = self.objective.total(nll, terms)
        teacher = torch.zeros_like(nll)
        if self.teacher is not None:
            teacher = self.teacher.error(losses.frames, waveform, speaker, losses.f0_contour, self.dtype)
            total = total + settings.teacher_weight * teacher
        model.zero_grad(set_to_none=True)
        if total.requires_grad:  # not where the encoder is found and there is no decoder
            total.backward()
        distributed.average_gradients(model.parameters())
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        figures = distributed.mean_over_workers(torch.stack([nll, *terms.values(), teacher]).detach())
        return torch.cat([figures, norm[None]]), count(losses.codes, model.config.quantizer.codebook_size)

    def _move(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


class Recording:
    """``work`` of tensors as a CUDA graph; draws come from ``generator`` as it stands when the graph is replayed."""

    def __init__(self, work: Callable, inputs: Sequence[Tensor], device: torch.device, generator: Generator):
        self.inputs = [part.to(device) for part in inputs]
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(generator)
        with torch.cuda.graph(self.graph, stream=torch.cuda.current_stream()):
            self.outputs = work(*self.inputs)

    def __call__(self, inputs: Sequence[Tensor]):
        for mine, theirs in zip(self.inputs, inputs):
            mine.copy_(theirs)
        self.graph.replay()
        return self.outputs
