"""How large a network a file may claim to hold: looked at before any part of it is built.

A header of a few bytes can ask for more memory than a machine has, for a division by zero or for a sampling loop without
end. These bounds lie far above every network that this program trains.
"""

import math

from vqvc.errors import ConfigError

WIDEST, MOST_LAYERS = 1 << 16, 256
LONGEST_HOP, LONGEST_PAST = 1 << 16, 1 << 16  # samples per code; samples (or codes) that a WaveNet may look back
LONGEST_CONTEXT = 1 << 12  # codes on either side that the encoder may look at
_WAVENET = {
    "layers": (1, MOST_LAYERS), "dilation_cycle": (1, 17), "kernel": (1, 64), "residual_channels": (1, WIDEST),
    "gate_channels": (2, WIDEST), "skip_channels": (1, WIDEST), "speaker_dim": (1, WIDEST),
}  # fmt: skip
LIMITS = {
    "audio": {"sample_rate": (1000, 768000), "level_rms": (1e-6, 1.0)},
    "encoder": {
        "feature_hop": (1, LONGEST_HOP), "n_mels": (1, 1024), "units": (1, 1 << 20), "channels": (1, WIDEST), "strides": (2, 1024),
        "context_layers": (0, MOST_LAYERS), "context_kernel": (1, 255), "context_dilations": (1, LONGEST_CONTEXT), "norm_reach": (0, 60),
    },
    "quantizer": {"codebook_size": (1, 1 << 15), "codebook_dim": (1, WIDEST)},
    "decoder": _WAVENET | {
        "mixtures": (1, 256), "lpc_order": (1, 256), "conditioning_channels": (1, WIDEST), "conditioning_layers": (0, MOST_LAYERS),
        "conditioning_hop": (1, LONGEST_HOP),
    },
    "training": {"n_mels": (1, 1024)},
    "prior": _WAVENET,
}  # fmt: skip


def require_possible(settings: object) -> None:
    """Raise ConfigError when a size in ``settings`` (sections as ``Config.to_dict`` makes them) is beyond its limit.

    What is absent or of another type is left to ``config.from_dict``, which names it.
    """
    if not isinstance(settings, dict):
        return
    for section, limits in LIMITS.items():
        given = settings.get(section)
        for key, (low, high) in limits.items():
            value = given.get(key) if isinstance(given, dict) else None
            values = value if isinstance(value, list) else [value]
            if len(values) > MOST_LAYERS:
                raise ConfigError(f"{section}.{key}: holds {len(values)} numbers, the most is {MOST_LAYERS}")
            for number in values:
                if isinstance(number, (int, float)) and not low <= number <= high:
                    raise ConfigError(f"{section}.{key}: must be {low} to {high}, not {number}")


def require_bounded(hop_length: int, context_codes: int = 0) -> None:
    """Raise ConfigError for a hop (samples) or an encoder's context (codes on either side) beyond all use."""
    if not 1 <= hop_length <= LONGEST_HOP:
        raise ConfigError(f"encoder.strides: make a hop of {hop_length} samples, the most is {LONGEST_HOP}")
    if context_codes > LONGEST_CONTEXT:
        raise ConfigError(f"encoder.context_layers: look at {context_codes} codes, the most is {LONGEST_CONTEXT}")


def require_short_past(layers: int, dilation_cycle: int, kernel: int) -> None:
    """Raise ConfigError for a WaveNet that looks back further than ``LONGEST_PAST``."""
    whole, rest = divmod(layers, dilation_cycle)
    past = (kernel - 1) * (whole * (2**dilation_cycle - 1) + 2**rest - 1)
    if past > LONGEST_PAST:
        raise ConfigError(f"dilation_cycle: makes layers that look back {past} steps, the most is {LONGEST_PAST}")


def context_of(layers: int, kernel: int, dilations: tuple[int, ...]) -> int:
    """Codes on either side that the encoder's context layers look at; raises ConfigError for a kernel that has no centre."""
    if not layers:
        return 0
    if not dilations or kernel % 2 == 0:
        raise ConfigError("encoder.context_layers: want an odd context_kernel and at least one of context_dilations")
    repeated = math.ceil(layers / len(dilations)) * list(dilations)
    return sum((kernel - 1) * dilation // 2 for dilation in repeated[:layers])
