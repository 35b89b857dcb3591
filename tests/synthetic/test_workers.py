"""Results come in the order of the tasks, tasks are taken as needed, and helpers tell when they die."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count, islice

import pytest

from strongreid.errors import InputError
from strongreid.synthetic.workers import count_processes, map_in_order


@pytest.mark.parametrize("processes", [1, 2])
def test_any_number_of_tasks_is_done_in_order_and_only_as_they_are_needed(processes: int) -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield -number

    results = map_in_order(abs, tasks(), processes)
    assert list(islice(results, 30)) == list(range(30))
    results.close()
    assert len(taken) <= 30 + 4 * processes + 1


def test_no_task_and_a_single_one_need_no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongreid.synthetic.workers.ProcessPoolExecutor", lambda *_, **__: pytest.fail("a helper"))
    assert list(map_in_order(abs, [], 2)) == []
    assert list(map_in_order(abs, [-3], 2)) == [3]


def test_helpers_take_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert list(map_in_order(os.getenv, names, 2)) == ["1", "1", "1"]
    assert [os.getenv(name) for name in names] == [None] * 3


def test_a_helper_that_dies_is_told() -> None:
    with pytest.raises(InputError, match="a helper process died"):
        list(map_in_order(os._exit, [3, 3, 3], 2))


def test_an_error_in_a_helper_is_the_callers() -> None:
    with pytest.raises(TypeError, match="bad operand"):
        list(map_in_order(abs, [1, "x", 2], 2))  # type: ignore[list-item]


@pytest.mark.parametrize("processes", [0, -1])
def test_no_processes_are_refused(processes: int) -> None:
    with pytest.raises(InputError, match=f"processes is {processes}; allowed is 1 or more"):
        count_processes(processes)


def test_by_default_there_is_one_process_per_core() -> None:
    assert count_processes(None) == os.cpu_count()
