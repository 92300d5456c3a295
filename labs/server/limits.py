"""Limits on how often something may happen, by name: a key, an address."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict, deque

MAX_NAMES = 20_000
"""Names remembered; the ones idle longest are forgotten first."""


class SlidingWindow:
    """At most `limit` events of a name within any `seconds`. Safe to share between threads."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, name: str, at: float) -> float:
        """Counts an event at a time, in seconds of a monotonic clock, and returns 0; or how long to wait,
        and counts nothing."""
        with self._lock:
            times = self._times.setdefault(name, deque())
            self._times.move_to_end(name)
            while len(self._times) > MAX_NAMES:
                self._times.popitem(last=False)
            while times and times[0] <= at - self.seconds:
                times.popleft()
            if len(times) >= self.limit:
                return times[0] + self.seconds - at
            times.append(at)
            return 0.0

    def take_back(self, name: str) -> None:
        """Forgets a name's latest event."""
        with self._lock:
            if times := self._times.get(name):
                times.pop()


def network_of(address: str) -> str:
    """What counts as one address: IPv4's whole, IPv6's first half, as its owner may choose the rest."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network(f"{address}/64", strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
