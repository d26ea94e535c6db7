"""Small tools that every layer uses: atomic files, safe unpacking, logging."""
