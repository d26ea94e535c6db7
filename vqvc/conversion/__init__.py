"""From recordings and codes to speech as another speaker, of any length: analysis, synthesis, post-filter, the model file."""
