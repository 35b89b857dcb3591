import threading
import time

import pytest

from strongreid.data.ahead import ahead


def test_the_same_items_in_the_same_order():
    assert list(ahead(range(50), depth=3)) == list(range(50))
    assert list(ahead([])) == []


def test_it_stays_only_a_few_items_ahead():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    reader = ahead(items(), depth=2)
    next(reader)
    time.sleep(0.3)
    assert 2 <= len(made) <= 4  # one handed over, two waiting, one in the thread's hands
    reader.close()


def test_an_error_arrives_after_the_items_before_it():
    def items():
        yield 1
        raise OSError("the disk is gone")

    reader = ahead(items())
    assert next(reader) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(reader)


def test_a_reader_that_leaves_stops_the_thread():
    before = threading.active_count()
    reader = ahead(iter(int, 1))  # endless zeros
    assert next(reader) == 0
    assert threading.active_count() == before + 1
    reader.close()
    assert threading.active_count() == before
