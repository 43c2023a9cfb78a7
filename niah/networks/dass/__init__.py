"""DASS. `network` is the model, top to bottom; `blocks` has its layers.

`tiled` computes the same in bounded memory where no gradient is needed, in tiles of sizes from `tiling`, with `windows`
(convolutions of part of a map) and `depthwise` (a fused convolution for CPUs); `first_stage` needs no first map.
"""
