"""The sampling loop on a GPU, as Triton kernels."""
