"""The selective scan on a GPU, as Triton kernels."""
