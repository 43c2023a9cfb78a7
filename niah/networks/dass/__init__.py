"""DASS: `network` is the model as one reads it, `tiled` the same in bounded memory."""
