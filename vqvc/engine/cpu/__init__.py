"""The sampling loop on a CPU, compiled by Numba for the units that the processor has."""
