"""What the service manager is told: readiness, watchdog and status by sd_notify(3), over a plain socket."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Sends datagrams to systemd; silent where it did not start us.

    `watchdog_interval_ns` is how often systemd wants to hear WATCHDOG=1, None where it does not.
    """

    def __init__(self, environment: Mapping[str, str], process_id: int) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        wanted = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(process_id)) == str(process_id)
        self.watchdog_interval_ns = int(wanted) * 1000 if wanted.isdecimal() and ours else None

    def send(self, *assignments: str) -> None:
        """Send assignments such as "READY=1"; a manager that does not listen is logged, and no more."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.setblocking(False)
                manager.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            log.warning("the service manager cannot be told", extra={"error": str(error)})
