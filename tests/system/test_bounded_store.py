"""A bounded store: what fits is made once, what does not each time."""

from niah.system.bounded_store import BoundedStore


def test_values_that_fit_are_made_once_and_the_others_each_time() -> None:
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key * 4

    store: BoundedStore[str] = BoundedStore(8)
    for _ in range(2):
        for key in ("a", "b", "c"):
            assert store.get_or_make(key, lambda key=key: make(key), len) == key * 4  # type: ignore[misc]
    assert made == ["a", "b", "c", "c"]
    assert store.used_bytes == 8
