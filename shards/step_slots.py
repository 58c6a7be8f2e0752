"""Which positions of the stream an optimizer step, a rank and a micro-batch take."""


def num_micro_batches(*, global_batch_size: int, micro_batch_size: int, num_ranks: int) -> int:
    """Return how many micro-batches each rank takes in a step, after checking that they fit.

    Args:
        global_batch_size: Samples of one optimizer step over all ranks.
        micro_batch_size: Samples of one forward pass on one rank.
        num_ranks: Processes that train together.
    """
    for option, size in (
        ("data.global_batch_size", global_batch_size),
        ("data.micro_batch_size", micro_batch_size),
    ):
        if size < 1:
            raise ValueError(f"{option} must be at least 1, got {size}.")
    if global_batch_size % num_ranks:
        raise ValueError(
            f"data.global_batch_size is {global_batch_size}, which {num_ranks} processes cannot "
            f"share equally. Choose a multiple of {num_ranks}, or another number of processes."
        )
    share = global_batch_size // num_ranks
    if share % micro_batch_size:
        raise ValueError(
            f"data.micro_batch_size is {micro_batch_size}, which does not divide the {share} "
            f"samples that each of {num_ranks} processes takes of data.global_batch_size "
            f"{global_batch_size}. Choose a divisor of {share}."
        )
    return share // micro_batch_size


def slots_of_rank(step: int, *, global_batch_size: int, rank: int, num_ranks: int) -> range:
    """Return the positions of the stream that one rank takes in an optimizer step."""
    share = global_batch_size // num_ranks
    first = step * global_batch_size + rank * share
    return range(first, first + share)


def micro_batches(slots: range, *, micro_batch_size: int) -> list[range]:
    """Cut a rank's positions into its micro-batches, in order."""
    return [
        slots[first : first + micro_batch_size] for first in range(0, len(slots), micro_batch_size)
    ]
