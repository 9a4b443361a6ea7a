# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "From meter readings to cost by line and tariff: typed records, a chain of generators."
# ///
"""Energy cost by production line."""

from __future__ import annotations

import functools
import itertools
import random
import statistics
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from typing import ClassVar, NamedTuple


class Tariff(Enum):
    LOW = Decimal("0.1120")
    HIGH = Decimal("0.1985")

    @classmethod
    def at(cls, when: datetime) -> Tariff:
        return cls.HIGH if when.weekday() < 5 and 6 <= when.hour < 22 else cls.LOW


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    at: datetime
    line: str
    total_kwh: float
    suspect: bool = False


@dataclass
class Cost:
    line: str
    kwh: dict[Tariff, Decimal] = field(default_factory=dict)
    CENT: ClassVar[Decimal] = Decimal("0.01")

    def add(self, tariff: Tariff, kwh: Decimal) -> None:
        self.kwh[tariff] = self.kwh.get(tariff, Decimal(0)) + kwh

    @property
    def euros(self) -> Decimal:
        exact = sum((tariff.value * kwh for tariff, kwh in self.kwh.items()), Decimal(0))
        return exact.quantize(self.CENT, ROUND_HALF_UP)


class Use(NamedTuple):
    line: str
    at: datetime
    kwh: Decimal


Stage = Callable[[Iterable], Iterator]


def readings(line: str, seed: int) -> Iterator[Reading]:
    chance, total = random.Random(seed), 10_000.0
    start = datetime(2026, 11, 20)
    for quarter in range(4 * 24 * 3):
        total += chance.uniform(0.5, 4.0)
        value = 0.0 if chance.random() < 0.01 else total
        yield Reading(start + timedelta(minutes=15 * quarter), line, round(value, 3))


def flagged(stream: Iterable[Reading]) -> Iterator[Reading]:
    last = None
    for reading in stream:
        backwards = last is not None and reading.total_kwh < last.total_kwh
        yield replace(reading, suspect=True) if backwards else reading
        last = last if backwards else reading


def trusted(stream: Iterable[Reading]) -> Iterator[Reading]:
    return (reading for reading in stream if not reading.suspect)


def used(stream: Iterable[Reading]) -> Iterator[Use]:
    for before, after in itertools.pairwise(stream):
        yield Use(after.line, before.at, Decimal(str(after.total_kwh)) - Decimal(str(before.total_kwh)))


def chain(*stages: Stage) -> Stage:
    return functools.reduce(lambda first, second: lambda stream: second(first(stream)), stages)


def cost_of(line: str) -> tuple[Cost, list[float]]:
    cost, uses = Cost(line), []
    for use in chain(flagged, trusted, used)(readings(line, seed=len(line) * 31 + ord(line[-1]))):
        cost.add(Tariff.at(use.at), use.kwh)
        uses.append(float(use.kwh))
    return cost, uses


def main() -> dict[str, str]:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(cost_of, ["line-1", "line-2", "press-7"]))
    for cost, uses in found:
        parts = ", ".join(
            f"{tariff.name} {kwh:.3f} kWh" for tariff, kwh in sorted(cost.kwh.items(), key=lambda i: i[0].name)
        )
        print(f"{cost.line:8} {cost.euros:>8} EUR  ({parts})  median {statistics.median(uses):.3f}")
    dearest = max((cost for cost, _ in found), key=lambda cost: cost.euros)
    print("dearest:", asdict(replace(dearest, kwh={}))["line"])
    return {cost.line: str(cost.euros) for cost, _ in found}


if __name__ == "__main__":
    result = main()
