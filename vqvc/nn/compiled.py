"""What compiled (Numba) code shares."""


def kept(function):
    """A compiled function, kept on disk for the next process where there is a place to (see Numba's NUMBA_CACHE_DIR)."""
    try:
        function.enable_caching()
    except RuntimeError:  # no folder can be written: every process compiles it again
        pass
    return function
