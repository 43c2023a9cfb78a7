"""Batches made in a thread come in order, one ahead, and their errors come where they belong."""

import threading
from collections.abc import Iterator

import pytest

from niah.training.data.loading import ahead


def test_items_come_in_order_and_one_ahead() -> None:
    made: list[int] = []
    second = threading.Event()

    def source() -> Iterator[int]:
        for item in range(5):
            made.append(item)
            if item == 1:
                second.set()
            yield item

    items = ahead(source())
    assert next(items) == 0
    assert second.wait(10)  # without being asked for
    assert [0, *items] == list(range(5)) == made


def test_an_error_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 0
        raise ValueError("the second one")

    items = ahead(source())
    assert next(items) == 0
    with pytest.raises(ValueError, match="second"):
        next(items)


def test_what_is_left_is_not_made() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for item in range(1000):
            made.append(item)
            yield item

    for item in ahead(source()):
        if item == 3:
            break
    assert len(made) <= 5
