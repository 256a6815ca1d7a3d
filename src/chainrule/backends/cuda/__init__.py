"""A training step on CUDA: generated kernels around cuBLAS, captured as one graph."""
