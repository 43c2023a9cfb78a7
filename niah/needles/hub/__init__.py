"""Needles of the Hugging Face hub: labelled Parquet sets, by repository, revision, configuration and split."""

from niah.needles.hub.reader import read
from niah.needles.hub.spec import PREFIX

__all__ = ["PREFIX", "read"]
