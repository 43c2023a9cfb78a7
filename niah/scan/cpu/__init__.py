"""The selective scan on a CPU, compiled by numba."""
