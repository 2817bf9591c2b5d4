"""What fails while a job runs, told to the person in a line: memory that is short, a worker that died, code of one's own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from modules.compute.own_code import FAILURES, explain, fails_in_own
from modules.compute.process import is_out_of_memory
from modules.config.errors import DataError, UserError, counted
from modules.data.loaders import explain_worker_death


@contextmanager
def told(short_of_memory: str) -> Iterator[None]:
    """Turns such failures into DataError, with `short_of_memory` for memory; a fault of the program passes as it is."""
    try:
        yield
    except UserError:
        raise
    except FAILURES as error:
        if is_out_of_memory(error):
            raise DataError(short_of_memory) from None
        death = explain_worker_death(error)
        if death is None and fails_in_own(error):
            raise DataError(f"code of your own fails: {explain(error)}") from None
        if death is None:
            raise
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler tells of the death once more, wherever we are by then
        raise death from None


def short_of_memory(batch_size: int, height: int, width: int) -> str:
    message = f"not enough memory for batches of {counted(batch_size, 'image')} of {height} x {width}"
    return f"{message}; lower hyper_params.batch_size or data.image_size"
