"""How large a network a file may claim to hold: looked at before any part of it is built.

``config`` bounds every setting by itself; here are the sizes that several of them make together. A header of a few bytes
can otherwise ask for more memory than a machine has, or for a sampling loop without end. The bounds lie far above every
network that this program trains.
"""

from vqvc.config import ModelConfig
from vqvc.errors import ConfigError

MOST_LAYERS = 256
LONGEST_HOP = 1 << 16  # samples per code
LONGEST_PAST = 1 << 16  # samples (codes, for a prior) that a WaveNet may look back
LONGEST_CONTEXT = 1 << 12  # codes on either side that the encoder may look at


def require_possible(config: ModelConfig) -> None:
    """Raise ConfigError for a model whose layers together are beyond all use, or cannot be applied."""
    encoder, decoder = config.encoder, config.decoder
    for name in ("channels", "strides", "context_dilations"):
        if len(getattr(encoder, name)) > MOST_LAYERS:
            raise ConfigError(f"encoder.{name}: holds {len(getattr(encoder, name))} numbers, the most is {MOST_LAYERS}")
    if min(encoder.strides, default=2) < 2:
        raise ConfigError("encoder.strides: must be at least 2")
    if config.hop_length > LONGEST_HOP:
        raise ConfigError(f"encoder.strides: make a hop of {config.hop_length} samples, the most is {LONGEST_HOP}")
    if encoder.context_layers and encoder.context_kernel % 2 == 0:
        raise ConfigError(f"encoder.context_kernel: must be odd, not {encoder.context_kernel}")
    repeated = [encoder.context_dilations[i % len(encoder.context_dilations)] for i in range(encoder.context_layers)]
    context = sum((encoder.context_kernel - 1) * dilation // 2 for dilation in repeated)
    if context > LONGEST_CONTEXT:
        raise ConfigError(f"encoder.context_dilations: look at {context} codes, the most is {LONGEST_CONTEXT}")
    require_short_past("decoder", decoder.layers, decoder.dilation_cycle, decoder.kernel)


def require_short_past(section: str, layers: int, dilation_cycle: int, kernel: int) -> None:
    """Raise ConfigError for a WaveNet that looks back further than ``LONGEST_PAST``."""
    whole, rest = divmod(layers, dilation_cycle)
    past = (kernel - 1) * (whole * (2**dilation_cycle - 1) + 2**rest - 1)
    if past > LONGEST_PAST:
        raise ConfigError(f"{section}.dilation_cycle: makes layers look back {past} steps, the most is {LONGEST_PAST}")
