"""The model: torch and configuration alone; nothing here knows a file. Read ``vqvae.py`` first."""
