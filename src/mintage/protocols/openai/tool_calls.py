"""Which call a streamed fragment belongs to.

The protocol numbers the calls of one choice by `index` and names each once. Providers bend it: they leave the index
out, give several calls the same index, repeat id and name in every fragment, or send two fragments of one call in one
chunk. What leaves here is numbered by us, and each call is named exactly once, first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from mintage.base import ToolCallDelta, new_id
from mintage.protocols.openai.answer_wire import CallWire, arguments_text
from mintage.protocols.upstream_errors import unreadable


@dataclass(slots=True)
class _Call:
    position: int
    id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCallMerger:
    """For one choice: merge() each fragment in order, then check()."""

    __slots__ = ("_by_index", "_calls")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}  # the provider's index -> the latest call that used it

    @property
    def any(self) -> bool:
        return bool(self._calls)

    def merge(self, wire: CallWire) -> ToolCallDelta | None:
        """The delta of our numbering; None while a call has no name yet or the fragment says nothing new."""
        name = (wire.function.name if wire.function else None) or ""
        arguments = arguments_text(wire.function.arguments) if wire.function else ""
        call = self._known(wire)
        if call is None or self._is_another(call, wire.id or "", name):
            call = _Call(len(self._calls), wire.id or new_id("call"))
            self._calls.append(call)
            if wire.index is not None:
                self._by_index[wire.index] = call
        call.arguments.append(arguments)
        if call.name:
            return ToolCallDelta(index=call.position, arguments=arguments) if arguments else None
        if not name:
            return None
        call.name = name
        return ToolCallDelta(index=call.position, id=call.id, name=name, arguments="".join(call.arguments))

    def check(self) -> None:
        """Raises upstream_failed if a call was never named."""
        if any(not call.name for call in self._calls):
            raise unreadable("a tool call without a name")

    def _known(self, wire: CallWire) -> _Call | None:
        if wire.index is not None:
            return self._by_index.get(wire.index)
        for call in self._calls:
            if wire.id and call.id == wire.id:
                return call
        return None if wire.id or not self._calls else self._calls[-1]

    @staticmethod
    def _is_another(call: _Call, call_id: str, name: str) -> bool:
        """A second call under a used index: it has a name and an id of its own, or no id after a finished call."""
        if not name or not call.name:
            return False
        return call_id != call.id if call_id else _is_json("".join(call.arguments))


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
