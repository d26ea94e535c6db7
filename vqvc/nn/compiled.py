"""Helper of the modules with Numba code."""


def kept(function):
    """Cache a compiled function on disk, if a cache folder is writable (see Numba's NUMBA_CACHE_DIR); returns it."""
    try:
        function.enable_caching()
    except RuntimeError:  # no writable folder: every process compiles the function again
        pass
    return function
