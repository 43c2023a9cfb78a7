"""One ahead: the same items, made while the one before is in use, never more than one; and it ends as it should."""

import threading
from collections.abc import Iterator

import pytest
import torch

from niah.sweep.inference import one_ahead

PATIENCE_S = 60.0


class Item:
    """Counts those that are alive."""

    alive = 0
    most = 0

    def __init__(self, number: int) -> None:
        self.number = number
        Item.alive += 1
        Item.most = max(Item.most, Item.alive)

    def __del__(self) -> None:
        Item.alive -= 1


@pytest.fixture(autouse=True)
def none_alive() -> None:
    Item.alive = Item.most = 0


def helpers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("niah-ahead")]


@pytest.mark.parametrize("alone", [0, 1, 3, 99])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_the_items_are_the_same_in_order(count: int, alone: int) -> None:
    assert list(one_ahead(iter(range(count)), alone)) == list(range(count))
    assert not helpers()


def test_the_next_is_made_while_one_is_in_use_and_not_the_one_after() -> None:
    made = [threading.Event() for _ in range(6)]

    def items() -> Iterator[Item]:
        for number, event in enumerate(made):
            item = Item(number)
            event.set()
            yield item
            del item

    for item in one_ahead(items(), alone=2):
        after = made[item.number + 1 :]
        if item.number < 1:
            assert not any(event.is_set() for event in after)
        elif item.number >= 2 and after:
            assert after[0].wait(PATIENCE_S)
            assert not any(event.is_set() for event in after[1:])
        del item
    assert Item.most == 2
    assert Item.alive == 0


def test_what_goes_wrong_comes_where_the_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise MemoryError("no room for the next")

    seen: list[int] = []
    with pytest.raises(MemoryError, match="no room"):
        seen.extend(one_ahead(items()))
    result = one_ahead(items())
    assert [next(result) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(MemoryError):
        next(result)
    assert not helpers()


def test_closing_ends_the_thread_and_lets_go_of_what_it_made() -> None:
    """Raise in the consumer, as an interrupt does."""
    result = one_ahead(Item(number) for number in range(100))
    assert next(result).number == 0
    result.close()
    assert not helpers()
    assert Item.alive == 0


def test_where_no_thread_can_start_items_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert list(one_ahead(range(5), alone=1)) == [0, 1, 2, 3, 4]


def test_torchs_threads_are_as_they_were() -> None:
    before = torch.get_num_threads()
    result = one_ahead(torch.get_num_threads() for _ in range(4))
    assert list(result) == [1, 1, 1, 1]  # the thread keeps to itself
    assert torch.get_num_threads() == before
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [before]
