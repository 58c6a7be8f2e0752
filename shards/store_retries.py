"""Requests to a store, made again until they succeed, cannot succeed, or a deadline has passed.

The one place for all stores. What the stores' libraries repeat by themselves is switched off: they
know no deadline, count nothing, and some take an answer that breaks off for the user's problem.
"""

import errno
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import tenacity

ResultT = TypeVar("ResultT")

LONGEST_PAUSE_SECONDS = 15.0

# By name, since the libraries are loaded only where a URL needs them.
_LIBRARIES = ("botocore", "aiobotocore", "aiohttp")
_BOTO_TRANSIENT = {
    "HTTPClientError",
    "ConnectionError",
    "ResponseParserError",
    "IncompleteReadError",
}
_HTTP_TRANSIENT = {408, 425, 429}

_logger = logging.getLogger(__name__)


class StoreRetries:
    """Calls functions that ask one store for something."""

    def __init__(self, url: str, *, deadline_seconds: float, counts: Counter[str]) -> None:
        """Set the patience.

        Args:
            url: Of the folder, for messages.
            deadline_seconds: From the first attempt on; no attempt begins later.
            counts: Gets one more under `retries` each time that a request is made again.
        """
        self._url = url
        self._deadline_seconds = deadline_seconds
        self._counts = counts
        self._counting = threading.Lock()  # many threads ask for sizes when a corpus is opened
        self._jitter = random.Random()  # its own: pauses must not move anybody's random numbers
        self._pause = tenacity.wait_exponential(multiplier=0.1, max=LONGEST_PAUSE_SECONDS)

    def call(self, request: Callable[[], ResultT]) -> ResultT:
        """Return what `request` returns, at last.

        Raises:
            FileNotFoundError: The store says that there is no such thing.
            PermissionError: It refuses; the message names what to look at.
            OSError: It does not answer as it should.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=lambda state: self._pause(state) * self._jitter.uniform(0.5, 1.0),
            stop=tenacity.stop_before_delay(self._deadline_seconds),
            before_sleep=self._note,
            reraise=True,
        )
        try:
            return retrying(request)
        except Exception as error:
            if not _is_of_store(error) or isinstance(_true_cause(error), FileNotFoundError):
                raise
            raise _explained(error, url=self._url) from error

    def _note(self, state: tenacity.RetryCallState) -> None:
        with self._counting:
            self._counts["retries"] += 1
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number > 1 and error is not None:  # once is nothing to write home about
            _logger.warning(
                "%s: attempt %d failed after %.0f s (%s); it is made again until %.0f s are over.",
                self._url,
                state.attempt_number,
                state.seconds_since_start or 0.0,
                _words(error),
                self._deadline_seconds,
            )


def is_beyond_end(error: Exception) -> bool:
    """Whether a store says that a range begins behind the end of the file."""
    response = getattr(error.__cause__, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    return code == "InvalidRange" or getattr(error, "status", None) == 416


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    error = _true_cause(error)
    if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
        return False
    status = getattr(error, "status", None)  # of an HTTP answer
    if status is not None:
        return status >= 500 or status in _HTTP_TRANSIENT
    if isinstance(error, OSError):
        return error.errno != errno.EINVAL  # what s3fs makes of a request that was wrong
    names = {one.__name__ for one in type(error).__mro__}
    return _module(error).startswith("aiohttp") or bool(names & _BOTO_TRANSIENT)


def _true_cause(error: BaseException) -> BaseException:
    """Return why something is not found: fsspec's HTTP says so of whatever went wrong."""
    cause = error.__cause__
    is_http = cause is not None and _module(cause).startswith("aiohttp")
    if isinstance(error, FileNotFoundError) and is_http and getattr(cause, "status", 0) != 404:
        assert cause is not None
        return cause
    return error


def _explained(error: Exception, *, url: str) -> OSError:
    keys = "the keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
    if isinstance(error, PermissionError) or getattr(error, "status", None) in {401, 403}:
        return PermissionError(
            f"{url}: access is refused ({_words(error)}). The permission may have been revoked or "
            f"have expired: check {keys} and who may read the place."
        )
    return OSError(
        f"{url}: the store does not answer as it should ({_words(_true_cause(error))}). Check its "
        f"address (AWS_ENDPOINT_URL), {keys} and the net."
    )


def _is_of_store(error: Exception) -> bool:
    return isinstance(error, OSError) or _module(error).startswith(_LIBRARIES)


def _module(error: BaseException) -> str:
    return type(error).__module__


def _words(error: BaseException) -> str:
    """Return the message in one line; a time-out has none, so its name stands for it."""
    return " ".join(str(error).split()) or type(error).__name__
