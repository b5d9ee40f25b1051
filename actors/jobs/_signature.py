"""What a function takes and returns, by its annotations, and how that is stored."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import msgspec

from ...runtime import Message, reply_type
from ._context import JobContext
from ._errors import JobArgumentsError, JobSpecError, UnstorableResultError

_UNKNOWN = object
_PLACE = re.compile(r"\$\[(\d+)\]")
"""Of an argument, as msgspec says it."""


class Signature:
    """The types of a job function's arguments, the context left out, and of its result.

    Args:
        kind: The job function's name, for errors.
        function: The job function.
        names: Names its annotations may use besides those of its module.

    Raises:
        JobSpecError: It is no coroutine function, takes no context, or an annotation can't be stored.
    """

    def __init__(self, kind: str, function: Callable[..., object], names: Mapping[str, object]) -> None:
        if not inspect.iscoroutinefunction(function):
            raise JobSpecError(f"job {kind}:", f"a job function is an `async def`, got {function!r}")
        parameters = list(inspect.signature(function).parameters.values())
        if not parameters or any(
            p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters
        ):
            problem = "it takes the JobContext first, and only positional arguments after it"
            raise JobSpecError(f"job {kind}:", problem)
        hints = _hints(function, names)
        first = parameters[0].name
        if not _may_be_context(hints.get(first, _UNKNOWN)):
            problem = (
                f"it takes the JobContext first: write `{first}` after it, as in "
                f"`async def {kind}(job: JobContext, {first}, ...)`"
            )
            raise JobSpecError(f"job {kind}:", problem)
        self._names = [parameter.name for parameter in parameters[1:]]
        types = [hints.get(parameter.name, _UNKNOWN) for parameter in parameters[1:]]
        self.kind = kind
        self._least = sum(1 for parameter in parameters[1:] if parameter.default is parameter.empty)
        self._types = types
        self._decoders = {
            count: _decoder(kind, types[:count]) for count in range(self._least, len(types) + 1)
        }
        self.result = Codec(hints.get("return", _UNKNOWN))

    def encode(self, arguments: tuple[object, ...]) -> bytes:
        """Encode the arguments of a job that is enqueued.

        Raises:
            JobArgumentsError: They don't fit the function's annotations, or can't be stored.
        """
        try:
            data = msgspec.json.encode(arguments)
        except (TypeError, ValueError) as error:
            raise JobArgumentsError(self.kind, str(error)) from error
        self.decode(data)
        return data

    def decode(self, data: bytes) -> tuple[object, ...]:
        """Decode stored arguments.

        Raises:
            JobArgumentsError: They don't fit the function's annotations.
        """
        try:
            count = len(msgspec.json.decode(data, type=list[msgspec.Raw]))
            decoder = self._decoders.get(count)
            if decoder is None:
                raise JobArgumentsError(self.kind, self._expects(count))
            return cast("tuple[object, ...]", decoder.decode(data))
        except msgspec.MsgspecError as error:
            raise JobArgumentsError(self.kind, _PLACE.sub(self._name_of, str(error), count=1)) from error

    def _expects(self, count: int) -> str:
        most = len(self._types)
        wanted = str(most) if most == self._least else f"{self._least} to {most}"
        names = f" ({', '.join(self._names)})" if self._names else ""
        return f"it takes {wanted} argument{'' if most == 1 else 's'}{names}, not {count}"

    def _name_of(self, place: re.Match[str]) -> str:
        return self._names[int(place[1])]


def _may_be_context(kind: object) -> bool:
    """Say whether what is annotated so may be the context; a protocol of somebody's own may."""
    try:
        return not isinstance(kind, type) or issubclass(JobContext, kind) or issubclass(kind, JobContext)
    except TypeError:
        return True


def _decoder(kind: str, types: list[object]) -> msgspec.json.Decoder[object]:
    arguments: object = tuple[tuple(types)] if types else tuple[()]  # type: ignore[misc]
    try:
        return msgspec.json.Decoder(cast("type[object]", arguments))
    except TypeError as error:
        raise JobSpecError(f"job {kind}:", f"its arguments can't be stored: {error}") from error


class Codec:
    """Store results of one type. What was stored and read again is the same in every run.

    Args:
        kind: The type; an unknown one is stored as plain JSON values.

    Raises:
        JobSpecError: The type can't be stored.
    """

    def __init__(self, kind: object) -> None:
        known = cast("type[object]", _UNKNOWN if isinstance(kind, typing.TypeVar) else kind)
        try:
            self._decoder = msgspec.json.Decoder(known)
        except TypeError as error:
            raise JobSpecError(f"results of type {kind!r}", f"can't be stored: {error}") from error

    def encode(self, where: str, value: object) -> tuple[bytes, object]:
        """Encode a result; returns it, and what a later run will see of it.

        Raises:
            UnstorableResultError: It can't be stored: nor could another of its kind.
            JobSpecError: This one is not of the type it should be, or holds text that is none.
        """
        try:
            data = msgspec.json.encode(value)
            return data, self._decoder.decode(data)
        except ValueError as error:
            raise JobSpecError(f"{where}:", f"its result can't be stored: {error}") from error
        except (TypeError, RecursionError) as error:
            raise UnstorableResultError(where, str(error)) from error

    def decode(self, data: bytes) -> object:
        """Decode a stored result.

        Raises:
            msgspec.MsgspecError: It is of another type now.
        """
        return self._decoder.decode(data)


class Codecs:
    """Remember what stores the results of which step: finding it out takes longer than to use it."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[object, Codec]] = {}

    def find(
        self, function: Callable[..., object], arguments: tuple[object, ...], returns: object = None
    ) -> Codec:
        """Return what stores the results of a step.

        Args:
            function: What the step does.
            arguments: With these; the type of a message says what is replied.
            returns: The result's type, where the step says it.

        Raises:
            JobSpecError: An annotation names what is not defined, or the type can't be stored.
        """
        if returns is not None:
            return Codec(returns)
        while isinstance(function, partial):
            arguments = (*function.args, *arguments)
            function = cast("Callable[..., object]", function.func)
        plain = function if inspect.isroutine(function) else _call_of(function)
        plain = getattr(plain, "__func__", plain)
        message = type(arguments[0]) if arguments and isinstance(arguments[0], Message) else None
        # Functions made anew in each run share their code, and mostly their annotation.
        place, annotation = (getattr(plain, "__code__", plain), message), _annotation(plain)
        known = self._known.get(place)
        if known is not None and known[0] is annotation:
            return known[1]
        codec = Codec(_result_type(plain, message))
        self._known[place] = (annotation, codec)
        return codec


def _annotation(function: Callable[..., object]) -> object:
    annotations: Mapping[str, object] = getattr(function, "__annotations__", {})
    return annotations.get("return")


def _result_type(function: Callable[..., object], message: type[Message] | None) -> object:
    returned = _hints(function, {}).get("return", _UNKNOWN)
    if isinstance(returned, typing.TypeVar) and message is not None:
        reply = reply_type(message)
        return _UNKNOWN if reply is None else reply
    return returned


def _call_of(function: object) -> Callable[..., object]:
    return cast("Callable[..., object]", type(function).__call__)


def _hints(function: Callable[..., object], names: Mapping[str, object]) -> dict[str, object]:
    try:
        return typing.get_type_hints(function, localns=dict(names), include_extras=True)
    except NameError as error:
        name = getattr(function, "__qualname__", repr(function))
        problem = f"the annotation {error.name!r} is not defined: import it"
        raise JobSpecError(f"{name}:", problem) from error
