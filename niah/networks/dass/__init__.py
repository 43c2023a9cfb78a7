"""DASS, from the features down: `network` is the model as one reads it, `blocks` what its stages are made of.

`tiled` computes the same in bounded memory where no gradient is needed, with `windows` (convolutions of a part of a
map) and `depthwise` (the fused convolution of a CPU).
"""
