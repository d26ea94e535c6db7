"""Training: crops of the packed store in, checkpoints out. Needs torch, NumPy, PyYAML, safetensors and tqdm alone."""
