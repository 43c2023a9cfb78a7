"""Values that are used again, kept in memory as long as there is room for them.

What is read from beginning to end several times, and does not fit, would always just have been pushed out by the rest:
so the first values stay, and those that find no room are made each time.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass
class BoundedStore(Generic[Value]):
    """Values by key, `most_bytes` of them."""

    most_bytes: int
    used_bytes: int = 0
    _values: dict[Hashable, Value] = field(default_factory=dict)

    def get(self, key: Hashable) -> Value | None:
        """Return the stored value; None without one."""
        return self._values.get(key)

    def get_or_make(
        self, key: Hashable, make: Callable[[], Value], size: Callable[[Value], int]
    ) -> Value:
        """Return the stored value, or make it, and store it if there is room.

        Args:
            key: of the value.
            make: computes it.
            size: its bytes.
        """
        if key in self._values:
            return self._values[key]
        value = make()
        size_bytes = size(value)
        if self.used_bytes + size_bytes <= self.most_bytes:
            self.used_bytes += size_bytes
            self._values[key] = value
        return value
