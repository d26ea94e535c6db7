"""What training minimises: equation 3 of van den Oord et al. 2017, auxiliary losses, and what regularises them.

    loss = decoder_weight * (nll + mel_weight * mel) + cpc_weight * cpc + units_weight * units + quantizer
           + consistency_weight * consistency + adversary_weight * adversary (+ teacher_weight * teacher)

nll        -log p(sample) under the WaveNet, in nats; the samples of ``context_samples`` are not scored
quantizer  commitment loss, and the codebook loss where the codebook learns by gradient
mel        log-mel frames estimated from the conditioning frames: a dense gradient for encoder and codebook
cpc        contrastive prediction of z_e, see ``cpc``
units      cross entropy of acoustic units of the original, see ``unit_targets``, predicted from z_e and from z_q, while the
           encoder reads perturbed speech, parts of which are hidden (masked prediction: Hsu et al. 2021)
consistency  commitment of z_e of the original to the codes of its copy, so that both get the same codes
adversary  a classifier finds the speaker in z_q, and the encoder, which gets its gradient reversed, hides it, see ``adversary``
teacher    conditioning frames of a trained model, see ``teacher``

In training mode codes are jittered, the WaveNet's inputs are noisy, the decoder sees a crop of the encoder's crop, and the
WaveNet a part of the batch; in evaluation mode none of this happens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqvc.config import TrainingConfig
from vqvc.nn import draws
from vqvc.nn.features import CLASSES, mulaw_encode
from vqvc.nn.quantizer import Quantized
from vqvc.nn.vqvae import VQVAE, Conditioning
from vqvc.training.adversary import SpeakerAdversary
from vqvc.training.cpc import ContrastivePrediction

HIDDEN_S = 0.2  # s of speech that are hidden at a time, about two phones
SMOOTHING = 0.1  # label smoothing of the units, whose clusters are uncertain themselves


@dataclass(frozen=True)
class Phase:
    """What takes part in a step.

    skip_decoder: decoder warm-up, the first ``decoder_warmup_fraction`` of a run: the WaveNet is left out, and encoder, codebook,
    conditioning and linear prediction learn as a linear-predictive vocoder (or, categorical, a histogram).
    bypass_quantizer: until ``quantizer_start_step``: z_q = z_e, and the codebook has not started.
    """

    skip_decoder: bool = False
    bypass_quantizer: bool = False


WEIGHTS_WITH_LAYERS = ("cpc_weight", "units_weight", "adversary_weight")  # above 0 they add layers to the model
TERMS = ("mel", "cpc", "units", "consistency", "adversary", "quantizer")


@dataclass(frozen=True)
class Losses:
    """Terms of the loss for a batch of B crops of T samples, of which the decoder saw S.

    nll: (N, S) nats per sample, of the first N crops. decoded: the S samples in the crop. terms: a scalar for each of ``TERMS``, 0
    for one that is turned off. codes: (B, T / hop_length) int64. frames: (B, F, C), the conditioning, and f0_contour: (B, 3,
    S / hop_length), or None, that they were made with; frames is None, and N is 0, without a decoder (decoder_weight 0).
    """

    nll: Tensor
    decoded: slice
    terms: dict[str, Tensor]
    codes: Tensor
    frames: Tensor | None = None
    f0_contour: Tensor | None = None


class Objective:
    """The losses of a model under training settings.

    A contrastive loss, the prediction of units and the adversary need layers of their own. ``prepare`` adds them to the model as
    ``cpc``, ``unit_head`` and ``adversary``, so that optimizer, average and checkpoints hold them; model files do not.
    """

    def __init__(self, settings: TrainingConfig):
        self.settings = settings

    def prepare(self, model: VQVAE) -> None:
        """Add the layers to ``model`` that only losses use; draws their weights from PyTorch's generator."""
        if self.settings.cpc_weight:
            config = model.config
            model.add_module("cpc", ContrastivePrediction(config.quantizer.codebook_dim, config.code_rate_hz))
        if self.settings.units_weight:
            model.add_module("unit_head", nn.Linear(model.config.quantizer.codebook_dim, self.settings.unit_targets))
        if self.settings.adversary_weight:
            speakers = model.conditioning.speaker.num_embeddings
            model.add_module("adversary", SpeakerAdversary(model.config.quantizer.codebook_dim, speakers))

    def __call__(
        self,
        model: VQVAE,
        waveform: Tensor,
        speaker: Tensor,
        history: Tensor | None = None,
        *,
        source: Tensor | None = None,
        units: Tensor | None = None,
        phase: Phase = Phase(),  # noqa: B008 (frozen)
        dtype: torch.dtype = torch.float32,
        generator: draws.AnyGenerator = None,
    ) -> Losses:
        """The terms of the loss for waveforms (B, T) of speakers (B,).

        history: (B, P) float, the samples before each crop (P at least lpc_order), or None for silence.
        source: (B, T) float, what the encoder reads instead of ``waveform``: a copy of it in another voice.
        units: (B, T / hop_length) int64, the acoustic units to predict; -1 where there are none.
        dtype: of the layers; the quantizer and the losses are float32.
        """
        settings, training = self.settings, model.training
        mixed = torch.autocast(waveform.device.type, dtype, enabled=dtype != torch.float32)
        hidden = None
        if training and settings.hidden_share:
            codes = (len(waveform), waveform.shape[1] // model.hop_length)
            span = max(1, round(HIDDEN_S * model.config.code_rate_hz))
            hidden = hidden_spans(codes, settings.hidden_share, span, generator, waveform.device)
        consistent = training and settings.consistency_weight and source is not None and not phase.bypass_quantizer
        z_original = None
        with mixed:
            if consistent:  # together, since z_e is normalised over the batch
                z_e, z_original = model.latents(
                    torch.cat([source, waveform]), None if hidden is None else torch.cat([hidden] * 2)
                ).chunk(2)
            else:
                z_e = model.latents(waveform if source is None else source, hidden)
        visible = None if hidden is None else ~hidden
        quantized = _bypassed(model, z_e) if phase.bypass_quantizer else model.quantizer(z_e, generator, visible)
        zero = waveform.new_zeros(())
        terms = dict.fromkeys(TERMS, zero) | {"quantizer": quantized.loss}
        with mixed:
            if settings.cpc_weight:
                terms["cpc"] = model.cpc(z_e)
            if settings.adversary_weight and training:
                terms["adversary"] = model.adversary(quantized.z_q, speaker)
        if settings.units_weight and units is not None:
            terms["units"] = units_error(model, z_e, quantized.z_q, units, hidden)
        if z_original is not None:
            terms["consistency"] = (z_original - quantized.z_q.detach()).square().mean()
        if training and not settings.decoder_weight:
            unscored = waveform.new_zeros(0, waveform.shape[1])
            return Losses(unscored, slice(0, waveform.shape[1]), terms, quantized.codes)
        decoded = self._decoder_crop(model, waveform.shape[1], generator)
        z_q = quantized.z_q[:, :, decoded.start // model.hop_length : decoded.stop // model.hop_length]
        if training:
            z_q = jitter(z_q, settings.jitter, generator)
        if history is None:
            history = waveform.new_zeros(len(waveform), max(1, model.config.decoder.lpc_order))
        before = torch.cat([history, waveform], dim=1)[:, decoded.start : decoded.start + history.shape[1]]
        waveform = waveform[:, decoded]
        f0_contour = None
        if not training:
            f0_contour = model.f0_contour(waveform)
        elif model.f0_conditioner is not None:
            f0_contour = model.f0_conditioner.of_crops(waveform, speaker, settings.f0_dropout, generator)
        with mixed:
            conditioning = model.condition(z_q, speaker, f0_contour)
            if settings.mel_weight:
                terms["mel"] = mel_error(model, waveform, conditioning)
        frames = conditioning.frames
        if training and settings.wavenet_fraction < 1:
            rows = slice(draws.rows_of_share(settings.wavenet_fraction, len(waveform), generator))
            waveform, before, conditioning = waveform[rows], before[rows], conditioning[rows]
        classes = mulaw_encode(waveform)
        inputs = None
        if training and settings.input_noise:
            inputs = add_input_noise(classes, settings.input_noise, generator)
        if len(classes):
            nll = model.negative_log_likelihood(
                classes, conditioning, mulaw_encode(before), dtype, phase.skip_decoder, inputs
            )
        else:
            nll = waveform.new_zeros(classes.shape)
        return Losses(nll, decoded, terms, quantized.codes, frames, f0_contour)

    def _decoder_crop(self, model: VQVAE, samples: int, generator: draws.AnyGenerator) -> slice:
        """The part of a crop that the decoder sees: all of it, or while training ``decoder_crop_samples`` anywhere in it."""
        wanted, hop = self.settings.decoder_crop_samples, model.hop_length
        if not model.training or not 0 < wanted < samples:
            return slice(0, samples)
        start = hop * draws.integer((samples - wanted) // hop + 1, generator, model.quantizer.codebook.device)
        return slice(start, start + wanted)

    def total(self, nll: Tensor, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum of the scalars ``nll`` and ``terms`` (one for each of ``TERMS``), without the teacher's."""
        settings = self.settings
        decoder = settings.decoder_weight * (nll + settings.mel_weight * terms["mel"])
        others = (getattr(settings, f"{name}_weight") * terms[name] for name in TERMS[1:-1])
        return decoder + sum(others) + terms["quantizer"]


def _bypassed(model: VQVAE, z_e: Tensor) -> Quantized:
    """z_e in place of z_q; the codes are counted, and nothing is learned from them."""
    return Quantized(z_q=z_e, codes=model.quantizer.encode(z_e), loss=z_e.new_zeros(()))


def hidden_spans(
    shape: tuple[int, int], share: float, span: int, generator: draws.AnyGenerator, device: torch.device
) -> Tensor:
    """(B, T) bool: spans of ``span`` codes that begin anywhere, overlap, and cover about ``share`` of all codes."""
    starts = draws.rand(shape, generator, device) < 1 - (1 - share) ** (1 / span)
    padded = nn.functional.pad(starts.float(), (span // 2, span - 1 - span // 2))
    return nn.functional.max_pool1d(padded[:, None], span, 1)[:, 0] > 0


def units_error(model: VQVAE, z_e: Tensor, z_q: Tensor, units: Tensor, hidden: Tensor | None) -> Tensor:
    """Mean cross entropy in nats, a scalar, of units (B, T), -1 where there are none, that the head predicts.

    The mean of two: from z_e (B, D, T) everywhere, and from z_q where nothing is hidden (B, T).
    """
    seen = units if hidden is None else units.masked_fill(hidden, -1)
    with torch.autocast(z_e.device.type, enabled=False):
        scores = [model.unit_head(z.float().transpose(1, 2)).flatten(0, 1) for z in (z_e, z_q)]
        losses = [
            nn.functional.cross_entropy(one, wanted.flatten(), ignore_index=-1, label_smoothing=SMOOTHING)
            for one, wanted in zip(scores, (units, seen))
        ]
    return sum(losses) / 2


def mel_error(model: VQVAE, waveform: Tensor, conditioning: Conditioning) -> Tensor:
    """Mean absolute error of the log-mel frames that the auxiliary head estimates for waveforms (B, T): a scalar."""
    with torch.autocast(waveform.device.type, enabled=False):
        target = model.mel(waveform).transpose(1, 2)
    return (model.predicted_mel(conditioning) - target).abs().mean()


def jitter(z_q: Tensor, probability: float, generator: draws.AnyGenerator = None) -> Tensor:
    """Time jitter (Chorowski et al. 2019, section III-C): neighbouring codes must not depend on each other.

    Each step of z_q (B, D, T) becomes its left or right neighbour with ``probability`` / 2 each, drawn for each sequence.
    Gradients flow to the vector that was taken.
    """
    batch, dim, steps = z_q.shape
    draw = draws.rand((batch, steps), generator, z_q.device)
    shift = (draw < probability).long() - 2 * (draw < probability / 2).long()  # -1, 0 or 1
    index = (torch.arange(steps, device=z_q.device) + shift).clamp(0, steps - 1)
    return z_q.gather(2, index[:, None].expand(batch, dim, steps))


def add_input_noise(classes: Tensor, deviation: float, generator: draws.AnyGenerator = None) -> Tensor:
    """Classes (B, T) int64 with Gaussian noise whose standard deviation, in classes, is drawn up to ``deviation`` for each sequence.

    Samples that a decoder generates are never as clean as those it learned from; one that was trained on noisy inputs does not
    amplify its own errors (noise injection of LPCNet, Valin & Skoglund 2019).
    """
    scale = deviation * draws.rand((len(classes), 1), generator, classes.device)
    noise = scale * draws.randn(tuple(classes.shape), generator, classes.device)
    return (classes + noise.round().long()).clamp(0, CLASSES - 1)
