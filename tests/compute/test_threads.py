"""Work done by threads comes back in the order that it was given."""

from __future__ import annotations

import threading
import time

import pytest

from modules.compute.threads import AT_A_TIME, in_threads


@pytest.mark.parametrize("count", [0, 1, AT_A_TIME, 5 * AT_A_TIME + 3])
def test_results_are_in_the_order_of_the_items(count: int) -> None:
    def late(number: int) -> int:
        time.sleep(0.002 if number % AT_A_TIME == 0 and number < AT_A_TIME else 0)
        return number**2

    assert in_threads(late, iter(range(count))) == [number**2 for number in range(count)]


def test_several_threads_take_part() -> None:
    both = threading.Barrier(2, timeout=10)  # a single thread would wait for another one until it breaks

    def meet(number: int) -> int:
        if number in (0, AT_A_TIME):
            both.wait()
        return number

    assert len(in_threads(meet, range(2 * AT_A_TIME))) == 2 * AT_A_TIME


def test_what_goes_wrong_in_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda number: 1 // (number - 70), range(100))
