"""Which rows of tokens are computed together."""

from collections.abc import Sequence


def pieces(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """
    Rows of similar length, in pieces of at most so many tokens.

    :param lengths: tokens of each row. :param budget: tokens of a piece, its rows padded to
        the longest; 0: no limit, all rows in one piece, in the order given.
    :return: the numbers of the rows of each piece, shorter rows first. A row longer than the budget
        is a piece of its own.
    """
    if not budget:
        return [list(range(len(lengths)))] if lengths else []
    found: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if found and (len(found[-1]) + 1) * lengths[row] <= budget:
            found[-1].append(row)
        else:
            found.append([row])
    return found
