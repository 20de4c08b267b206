"""Which rows of tokens are computed together."""

from collections.abc import Sequence


def tokens_that_fit(memory: int, held: int, parameters: int, width: int, vocabulary: int) -> int:
    """
    How many tokens can be learnt from at once, by a rough and cautious estimate in fp32.

    Half of the memory is left to other networks and the allocator. Of a token a layer keeps 17
    vectors (Korthikanti et al., 2022, section 4.1), and layers have 12 width^2 parameters; a target
    token has its logits, their softmax and the gradient.

    :param memory: in bytes. :param held: of it, by the network's weights, their gradients and
        Adam's moments. :param parameters: of the network. :param width: of a vector.
    """
    token = 4 * (17 * parameters // (12 * width) + 3 * vocabulary)
    return max(1, (memory // 2 - held) // token)


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
