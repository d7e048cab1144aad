"""What the node counts, in the words of Prometheus.

Read from the database at each scrape: nothing is counted twice, and a restart forgets nothing. Labels hold names of
destinations and words of this program, never a UID or a person.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dicom_node import __version__
from dicom_node.domain import DeliveryState, JobState
from dicom_node.errors import NodeError
from dicom_node.storage.rows import PostState
from dicom_node.web.console import Console

_MEGABYTE = 1024 * 1024


class NodeCollector(Collector):
    """Where the database does not answer, `dicom_node_database_up` is 0 and what it would tell is left out."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("dicom_node", "Version of the software.", {"version": __version__})
        yield from self._disk()
        told: list[Metric] = []
        up = 0
        with suppress(NodeError):
            told = [*self._work(), *self._deliveries(), *self._told(), *self._answers(), *self._waiting()]
            up = 1
        yield GaugeMetricFamily("dicom_node_database_up", "1 where the database answers.", value=up)
        yield from told

    def _work(self) -> Iterator[Metric]:
        counts = self._console.repository.counts(self._console.now())
        for name, text in (
            ("instances", "Versions of received objects that are stored."),
            ("results", "Answers about images that are stored."),
            ("objects", "Result objects that are stored."),
            ("studies", "Reports of studies that are stored."),
            ("studies_waiting", "Studies of which something is new that no report tells of."),
            ("jobs_due", "Jobs that a worker could take now."),
            ("deliveries_due", "Deliveries that a courier could take now."),
        ):
            yield GaugeMetricFamily(f"dicom_node_{name}", text, value=counts[name])
        jobs = GaugeMetricFamily("dicom_node_jobs", "Jobs by state.", labels=["state"])
        for state in JobState:
            jobs.add_metric([state.value], counts[f"jobs_{state}"])
        yield jobs

    def _deliveries(self) -> Iterator[Metric]:
        """A destination that gets nothing yet is told with zeros: an alert on what is absent would never fire."""
        counts, states = self._console.repository.delivery_counts(), self._console.repository.destination_states()
        names = sorted({*counts, *(destination.name for destination in self._console.standing.destination_list())})
        family = GaugeMetricFamily(
            "dicom_node_deliveries", "Deliveries by destination and state.", labels=["destination", "state"]
        )
        for name in names:
            for state in DeliveryState:
                family.add_metric([name, state.value], counts.get(name, {}).get(state, 0))
        yield family
        answers = GaugeMetricFamily(
            "dicom_node_destination_up", "1 where the destination answered when last asked.", labels=["destination"]
        )
        asked = GaugeMetricFamily(
            "dicom_node_destination_asked_seconds", "When it was last asked, Unix time.", labels=["destination"]
        )
        for name, found in sorted(states.items()):
            if name not in names:  # a scanner that listens: off at night, and nobody's alarm
                continue
            answers.add_metric([name], float(found.reachable))
            asked.add_metric([name], found.checked_at.timestamp())
        yield from (answers, asked)

    def _told(self) -> Iterator[Metric]:
        counts = self._console.repository.fhir_posts.counts()
        family = GaugeMetricFamily("dicom_node_fhir_posts", "Reports for a FHIR server by state.", labels=["state"])
        for state in PostState:
            family.add_metric([state.value], counts.get(state, 0))
        yield family

    def _answers(self) -> Iterator[Metric]:
        latest = self._console.repository.browsing.latest()
        recent = GaugeMetricFamily(
            "dicom_node_recent_results",
            "Of the last 1000 answers about images, by status and reason.",
            labels=["status", "reason"],
        )
        for (status, reason), number in sorted(latest.answers.items(), key=str):
            recent.add_metric([status, reason or ""], number)
        yield recent
        family = GaugeMetricFamily(
            "dicom_node_answer_seconds",
            "From receipt to answer, of the last 1000 images, by percentile.",
            labels=["percentile"],
        )
        for percent, seconds in ((50, latest.latency.median_s), (95, latest.latency.p95_s)):
            if seconds is not None:
                family.add_metric([str(percent)], seconds)
        yield family

    def _waiting(self) -> Iterator[Metric]:
        waiting, now = self._console.repository.browsing.waiting(), self._console.now()
        family = GaugeMetricFamily(
            "dicom_node_oldest_waiting_seconds", "How long what waits the longest has waited.", labels=["what"]
        )
        for what, since in (("job", waiting.job_since), ("delivery", waiting.delivery_since)):
            family.add_metric([what], _seconds(since, now))
        yield family

    def _disk(self) -> Iterator[Metric]:
        node = self._console.config.node
        with suppress(OSError):
            usage = shutil.disk_usage(node.data_dir)
            yield GaugeMetricFamily("dicom_node_disk_free_bytes", "Free space of the data folder.", value=usage.free)
            yield GaugeMetricFamily("dicom_node_disk_size_bytes", "Size of its file system.", value=usage.total)
        for name, megabytes in (("minimum", node.minimum_free_mb), ("low", node.low_free_mb)):
            text = f"node.{name}_free_mb of the configuration."
            yield GaugeMetricFamily(f"dicom_node_disk_{name}_bytes", text, value=megabytes * _MEGABYTE)


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
