"""One fetch at a time: who asks while it is under way gets what it brings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Holds what is under way, and nothing afterwards. A caller that is cancelled takes nothing from the others."""

    def __init__(self) -> None:
        self._task: asyncio.Task[T] | None = None

    async def __call__(self, fetch: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(fetch())
            self._task.add_done_callback(_heard)
        return await asyncio.shield(self._task)


def _heard(task: asyncio.Task[Any]) -> None:
    """An error is everybody's who asked; where all of them have gone, it is nobody's."""
    if not task.cancelled():
        task.exception()
