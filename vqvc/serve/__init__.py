"""The local page of vqvc-serve: what it does (service.py), what it draws (figures.py), its parts (page.py), its server (server.py)."""
