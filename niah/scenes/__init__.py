"""Scenes: needles placed in haystacks, as features."""
