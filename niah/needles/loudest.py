"""The loudest stretch of a clip, told from its features: what is kept of a needle that is cut shorter.

Loudness of a stretch = mean over its frames and mel bins of the normalised log-mel. A front end's normalisation is
monotone, so this is the mean level in decibels; frames that only pad the clip do not count, for raw zeros are louder
than quiet sound.
"""

import torch

from niah.scenes.builder import NeedleFeatures


def loudest_stretch(needle: NeedleFeatures, count: int) -> int:
    """First of the `count` consecutive frames that are loudest together; the first such stretch.

    A clip of no more than `count` frames starts at 0.
    """
    heard = min(needle.frames, len(needle.features))
    if heard <= count:
        return 0
    levels = needle.features[:heard].double().mean(dim=1)  # (frames,)
    sums = torch.cat([levels.new_zeros(1), levels.cumsum(0)])
    return int((sums[count:] - sums[:-count]).argmax())
