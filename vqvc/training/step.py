"""One training step: losses, gradients and the optimizers' update. A GPU records it as a CUDA graph and replays it.

A step launches about 1,400 kernels. Launching them one by one from Python takes longer than running them on current
GPUs.
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

UNRECORDED = 3  # steps of a phase before it is recorded, in which libraries and optimizers initialise their state
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
        # a recording cannot draw the start of the decoder's crop, which is needed on the CPU, nor exchange with workers
        self.records = self.device.type == "cuda" and self.workers == 1 and not settings.decoder_crop_samples
        self.stream = torch.cuda.Stream() if self.device.type == "cuda" else None
        self._phase: Phase | None = None
        self._steps, self._recorded = 0, {}  # in this phase

    def __call__(self, batch: Batch, number: int, rate: float, phase: Phase) -> tuple[Tensor, Tensor] | None:
        """Take step ``number`` with learning rate ``rate``.

        Returns the values of ``FIGURES`` (len(FIGURES),), and how often each code was chosen (K,). Both are float32 on
        the device, and a later step may overwrite them. Returns None on every worker, and changes no weight, if a
        figure is not finite.
        """
        self.generator.manual_seed(self.settings.seed * 1_000_003 + number * 1009)
        self._set_learning_rate(rate)
        arrays = (batch.waveform, batch.history, batch.source, batch.speaker, batch.scored, batch.units)
        inputs = [torch.from_numpy(array) for array in arrays if array is not None]
        if phase != self._phase:
            self._phase, self._steps, self._recorded = phase, 0, {}
        self.model.train()
        if self.stream is None:
            return self._take(inputs)
        # one stream for all steps, recorded or not, so that gradients accumulate on the stream that is recorded
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = self._take(inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def _set_learning_rate(self, rate: float) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):  # a recorded step reads it from the device
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate

    def _take(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor] | None:
        figures, counts = self._run(self._learn, inputs)
        if not torch.isfinite(figures.sum()):  # the only synchronisation with the GPU in a step
            return None
        self._run(self._move, [])
        self._steps += 1
        return figures, counts

    def _run(self, work: Callable, inputs: list[Tensor]):
        """Call ``work(*inputs)``; after ``UNRECORDED`` steps of a phase, replay its recording instead."""
        if not self.records or self._steps < UNRECORDED:
            return work(*(tensor.to(self.device) for tensor in inputs))
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
        """Compute the gradients of a batch; returns its figures and code counts, see ``__call__``."""
        settings, model = self.settings, self.model
        losses = self.objective(
            model, waveform, speaker, history, source=source, units=units, phase=self._phase, dtype=self.dtype,
            generator=self.shared,
        )  # fmt: skip
        # weights by which the mean over workers is the loss of the whole batch, also if their shares are unequal
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
        if total.requires_grad:  # false for an encoder of acoustic units without a decoder
            total.backward()
        distributed.average_gradients(model.parameters())
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        figures = distributed.mean_over_workers(torch.stack([nll, *terms.values(), teacher]).detach())
        return torch.cat([figures, norm[None]]), count(losses.codes, model.config.quantizer.codebook_size)

    def _move(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


class Recording:
    """``work(*inputs)`` as a CUDA graph. Calling it copies new inputs into place and replays the graph.

    A replay draws random numbers from the current state of ``generator``.
    """

    def __init__(self, work: Callable, inputs: Sequence[Tensor], device: torch.device, generator: Generator):
        self.inputs = [tensor.to(device) for tensor in inputs]
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(generator)
        with torch.cuda.graph(self.graph, stream=torch.cuda.current_stream()):
            self.outputs = work(*self.inputs)

    def __call__(self, inputs: Sequence[Tensor]):
        for recorded, new in zip(self.inputs, inputs):
            recorded.copy_(new)
        self.graph.replay()
        return self.outputs
