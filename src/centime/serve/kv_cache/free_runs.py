"""A set of block numbers as runs of neighbours, of which the longest is always known."""

from __future__ import annotations

import heapq


class FreeRuns:
    """The numbers from 0 to `count` - 1, all in it at first.

    A change takes about the same time however many numbers and runs there are: the engine makes one for every block
    that a request takes or gives back, and everybody's next token waits for it.
    """

    def __init__(self, count: int) -> None:
        self._numbers = set(range(count))
        self._ends: dict[int, int] = {}  # where a run begins -> the number after its last
        self._begins: dict[int, int] = {}  # and the other way round
        self._by_length: list[tuple[int, int, int]] = []  # a heap of (-length, begin, end); some are runs no more
        if count:
            self._join(0, count)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def longest(self) -> int:
        """Where the longest run begins, the first of several. There must be one."""
        while True:
            _, begin, end = self._by_length[0]
            if self._ends.get(begin) == end:
                return begin
            heapq.heappop(self._by_length)

    def remove(self, number: int) -> None:
        """Takes out a number with which a run begins."""
        self._numbers.remove(number)
        end = self._ends.pop(number)
        del self._begins[end]
        if number + 1 < end:
            self._join(number + 1, end)

    def add(self, number: int) -> None:
        """Puts a number in, which joins the runs beside it."""
        self._numbers.add(number)
        begin = self._begins.pop(number, number)
        self._ends.pop(begin, None)
        end = self._ends.pop(number + 1, number + 1)
        self._begins.pop(end, None)
        self._join(begin, end)

    def _join(self, begin: int, end: int) -> None:
        self._ends[begin], self._begins[end] = end, begin
        if len(self._by_length) > 2 * len(self._ends) + 64:  # most of them are runs no more
            self._by_length = [(start - after, start, after) for start, after in self._ends.items()]
            heapq.heapify(self._by_length)
        else:
            heapq.heappush(self._by_length, (begin - end, begin, end))

    def check(self) -> None:
        """Raises AssertionError unless the runs are those of the numbers."""
        begins = [number for number in self._numbers if number - 1 not in self._numbers]
        ends = [number + 1 for number in self._numbers if number + 1 not in self._numbers]
        assert self._ends == dict(zip(sorted(begins), sorted(ends), strict=True))
        assert self._begins == {end: begin for begin, end in self._ends.items()}
        if self._ends:
            begin = self.longest()
            assert self._ends[begin] - begin == max(end - start for start, end in self._ends.items())
