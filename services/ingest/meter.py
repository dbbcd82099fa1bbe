"""What Prometheus is told of the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.ingest.ledger import Ledger
from shared.fhir.outcome import Unavailable


class CaseMeter(Collector):
    """`figaro_cases` by state, counted when asked; absent while the ledger does not answer."""

    def __init__(self, ledger: Callable[[], Ledger]) -> None:
        self._ledger = ledger

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Known before the ledger is open."""
        yield GaugeMetricFamily("figaro_cases", "Cases by state", labels=["state"])

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("figaro_cases", "Cases by state", labels=["state"])
        try:
            for state, count in self._ledger().counts().items():
                family.add_metric([state], count)
        except Unavailable:
            return
        yield family
