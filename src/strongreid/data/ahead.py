"""Read ahead: an iterator runs in a thread of its own, a few items before they are wanted."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
_WAIT = 0.1  # seconds between looks at whether the reader has gone


def ahead(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """The same items in the same order, up to `depth` made beforehand; what making one raises is raised here.

    A reader that leaves early stops the thread.
    """
    queue: Queue[tuple[bool, Item | BaseException | None]] = Queue(depth)
    gone = threading.Event()

    def put(last: bool, item: Item | BaseException | None) -> bool:
        while not gone.is_set():
            try:
                queue.put((last, item), timeout=_WAIT)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(False, item):
                    return
        except BaseException as error:
            put(True, error)
        else:
            put(True, None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            try:
                last, item = queue.get(timeout=_WAIT)
            except Empty:
                continue
            if last:
                if item is not None:
                    raise item  # type: ignore[misc]
                return
            yield item  # type: ignore[misc]
    finally:
        gone.set()
        thread.join()
