"""What Prometheus is told of the cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.ingest.running import Ingest
from services.ingest.tables import STATES
from shared.fhir.outcome import Unavailable


class CaseMeter(Collector):
    """`figaro_cases` by issuer and state, counted when asked; absent while the ledger does not answer."""

    def __init__(self, ingest: Callable[[], Ingest]) -> None:
        self._ingest = ingest

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Known before the ledger is open."""
        yield _family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family, ingest = _family(), self._ingest()
        issuers = ingest.servers.issuers
        counts = Counter({(issuer.id, state): 0 for issuer in issuers for state in STATES})
        try:
            for (base, state), count in ingest.ledger.counts_by_base().items():
                counts[issuers.name(base), state] += count
        except Unavailable:
            return
        for labels, count in counts.items():
            family.add_metric(labels, count)
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily("figaro_cases", "Cases by issuer and state", labels=["issuer", "state"])


class WatchMeter(Collector):
    """How the servers are watched, as the ledger has it when asked; absent while it does not answer."""

    def __init__(self, ingest: Callable[[], Ingest]) -> None:
        self._ingest = ingest

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Known before the ledger is open."""
        yield from _watch()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        ingest = self._ingest()
        name = ingest.servers.issuers.name
        active, age, waiting = _watch()
        try:
            for channel in ingest.inbox.channels():
                if channel.subscription:
                    active.add_metric([name(channel.base), channel.name], channel.status == "active")
            for base, sweep in ingest.inbox.sweeps().items():
                if sweep.swept:
                    age.add_metric([name(base)], (datetime.now(UTC) - datetime.fromisoformat(sweep.swept)).total_seconds())
            marked = Counter({issuer.id: 0 for issuer in ingest.servers.issuers})
            for base, count in ingest.inbox.waiting().items():
                marked[name(base)] += count
            for issuer, count in marked.items():
                waiting.add_metric([issuer], count)
        except Unavailable:
            return
        yield from (active, age, waiting)


def _watch() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("figaro_subscription_active", "1 while the server says so", labels=["issuer", "channel"]),
        GaugeMetricFamily("figaro_sweep_age_seconds", "Since the last sweep began", labels=["issuer"]),
        GaugeMetricFamily("figaro_waiting", "Patients and resources marked, and no case yet", labels=["issuer"]),
    )
