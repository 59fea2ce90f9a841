"""Turns the sources of an audit into packages, lazily and one at a time.

What ``explint check`` reads is read by the same code; what only audits read stands here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from explint.audit.inputs.item import InputProblemError, Item, Items, Meter, UniqueIds, of_package
from explint.model import InputError
from explint.source import Limits, open_location


class InputOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How sources are read."""

    limits: Limits = msgspec.field(default_factory=Limits)


def open_inputs(sources: Sequence[str], options: InputOptions, meter: Meter) -> Items:
    """Yields the packages of the sources in their order, and an error for each bad input.

    Ids are unique within one call. The same sources give the same ids in the same order.
    """
    ids = UniqueIds()
    meter.sources = len(sources)
    for source in sources:
        for found in open_location(source, limits=options.limits):
            if isinstance(found, InputError):
                yield found
            else:
                item = of_package(found)
                item.id = ids.of(item.id)
                yield item
        meter.end()


__all__ = ["InputOptions", "InputProblemError", "Item", "Items", "Meter", "open_inputs"]
