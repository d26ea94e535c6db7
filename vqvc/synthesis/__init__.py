"""From codes to speech: the released model file, the cached sampling loop, folding, conversion."""
