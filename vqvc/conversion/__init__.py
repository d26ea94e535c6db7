"""From recordings and codes to speech in another voice, of any length: analysis, synthesis, post-filter, the model file."""
