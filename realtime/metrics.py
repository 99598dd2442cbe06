"""Prometheus series of the live part of one web process."""

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("active_websocket_connections", "Open sockets in live rooms.")
BY_PERMISSION = Gauge("realtime_connections", "Open sockets in live rooms, by what they may do.", ["permission"])
LIMITED = Counter("realtime_limited", "Sockets that a limit paused, refused or closed, by limit.", ["limit"])
ROOMS = Gauge("realtime_rooms", "Live rooms in memory.")
UPDATES = Counter("realtime_updates", "Document updates taken from sockets.")
REFUSED = Counter("realtime_refused", "Document updates not taken, by reason.", ["code"])
QUARANTINED = Counter("realtime_quarantined", "Updates of sockets that broke a replica.")
COMMITTED = Counter("realtime_committed", "Rows added to the update log by rooms.")
COMMIT_FAILURES = Counter("realtime_commit_failures", "Group commits that failed and were tried again.")
RESYNCS = Counter("realtime_resyncs", "Repairs of a room or a socket, by cause.", ["cause"])
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
COMMIT_SECONDS = Histogram("realtime_commit_seconds", "One group commit.", buckets=_BUCKETS)
ACK_SECONDS = Histogram("realtime_ack_seconds", "From taking an update to its commit.", buckets=_BUCKETS)
DEGRADED = Gauge("realtime_layer_degraded", "1 while the channel layer does not carry what this process says.")
