"""The activity log in MongoDB: one collection whose TTL index forgets entries after ACTIVITY_DAYS.

Entries leave through one bounded queue and one thread per process. They wait there while MongoDB is unavailable; when
the queue is full, new ones are dropped and counted, so a dead MongoDB costs callers nothing.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings

from activity.entries import Entry, parse_cursor
from activity.errors import ActivityOffline
from activity.metrics import activity_entries_dropped_total

if TYPE_CHECKING:
    from uuid import UUID

    from pymongo import MongoClient
    from pymongo.collection import Collection

logger = logging.getLogger(__name__)

QUEUE_MAX_ENTRIES = 1000
BATCH_MAX_ENTRIES = 100
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
# How long the health page reports a dropped entry.
DROP_REMEMBERED_SECONDS = 300
DUPLICATE_KEY = 11000
INDEX_DIFFERS = (85, 86)


class MongoStore:
    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._client: MongoClient[dict[str, Any]] | None = None
        self._collection: Collection[dict[str, Any]] | None = None
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(QUEUE_MAX_ENTRIES)
        self._thread: threading.Thread | None = None
        self._is_prepared = False
        self._is_online = True
        self._dropped = 0
        self._dropped_at = float("-inf")

    def write(self, entry: Entry) -> None:
        """Queue an entry, without waiting."""
        try:
            self._queue.put_nowait(_document(entry))
        except queue.Full:
            self._count_dropped(1)
        self._ensure_thread()

    def recent(self, *, session_id: UUID | None, user_id: UUID | None, limit: int, before: str | None) -> list[Entry]:
        from pymongo.errors import PyMongoError

        wanted: dict[str, Any] = {}
        if session_id is not None:
            wanted["session_id"] = session_id
        if user_id is not None:
            wanted["user_id"] = user_id
        if before is not None:
            timestamp, entry_id = parse_cursor(before)
            wanted["$or"] = [
                {"timestamp": {"$lt": timestamp}},
                {"timestamp": timestamp, "_id": {"$lt": entry_id}},
            ]
        try:
            found = self._entries().find(wanted).sort([("timestamp", -1), ("_id", -1)]).limit(limit)
            return [_entry(document) for document in found]
        except PyMongoError as error:
            raise ActivityOffline(type(error).__name__) from error

    def prepare(self) -> None:
        """Create the indexes or update the TTL. Safe to repeat."""
        from pymongo.errors import OperationFailure, PyMongoError

        seconds = int(timedelta(days=settings.ACTIVITY_DAYS).total_seconds())
        try:
            entries = self._entries()
            try:
                entries.create_index("timestamp", name="expiry", expireAfterSeconds=seconds)
            except OperationFailure as error:
                if error.code not in INDEX_DIFFERS:
                    raise
                index = {"name": "expiry", "expireAfterSeconds": seconds}
                entries.database.command({"collMod": entries.name, "index": index})
            entries.create_index([("session_id", 1), ("timestamp", -1)], name="session_recent")
            entries.create_index([("user_id", 1), ("timestamp", -1)], name="user_recent")
        except PyMongoError as error:
            raise ActivityOffline(type(error).__name__) from error
        self._is_prepared = True

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything written so far is stored or dropped. Returns False on timeout."""
        with self._queue.all_tasks_done:
            return self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, timeout_seconds)

    def forget(self, user_id: UUID) -> None:
        from pymongo.errors import PyMongoError

        try:
            self._entries().delete_many({"user_id": user_id})
        except PyMongoError as error:
            raise ActivityOffline(type(error).__name__) from error

    def status(self) -> tuple[bool, str]:
        """Ask the server, within the client's timeouts."""
        from pymongo.errors import PyMongoError

        detail = f"{self._queue.qsize()} waiting, {self._dropped} dropped since the start"
        try:
            self._entries().database.command("ping")
        except PyMongoError as error:
            return False, f"{type(error).__name__}, {detail}"
        return self._is_online and time.monotonic() - self._dropped_at > DROP_REMEMBERED_SECONDS, detail

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = self._collection = None

    def _entries(self) -> Collection[dict[str, Any]]:
        with self._lock:
            if self._collection is None:
                # Importing it takes a sixth of a second, which no start and no request should pay for.
                from pymongo import MongoClient
                from pymongo.uri_parser import parse_uri

                self._client = MongoClient(
                    self._url,
                    connect=False,
                    appname="codecrafter",
                    serverSelectionTimeoutMS=500,
                    connectTimeoutMS=500,
                    socketTimeoutMS=2000,
                    retryReads=False,
                    tz_aware=True,
                    uuidRepresentation="standard",
                )
                # A URL may name both, as in mongodb://host/database.collection.
                name = parse_uri(self._url, warn=False)["collection"] or "activity"
                self._collection = self._client.get_default_database("codecrafter")[name]
            return self._collection

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="activity", daemon=True)
                self._thread.start()
                atexit.register(self.flush, 1.0)

    def _work(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < BATCH_MAX_ENTRIES:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            try:
                self._deliver(batch)
            except Exception as error:
                # A retry would fail again and block the queue. The error's text is not logged: it may quote entries.
                logger.error("the activity log lost %d entries: %s", len(batch), type(error).__name__)
                self._count_dropped(len(batch))
            for _ in batch:
                self._queue.task_done()

    def _deliver(self, batch: list[dict[str, Any]]) -> None:
        """Write the batch, retrying while the server is unavailable."""
        from pymongo.errors import BulkWriteError, ConnectionFailure

        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                if not self._is_prepared:
                    self.prepare()
                self._entries().insert_many(batch, ordered=False)
            except BulkWriteError as error:
                # Duplicates come from an attempt of our own whose response was lost.
                refused = [item for item in error.details["writeErrors"] if item["code"] != DUPLICATE_KEY]
                self._count_dropped(len(refused))
            except (ConnectionFailure, ActivityOffline):
                self._note(is_online=False)
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            self._note(is_online=True)
            return

    def _note(self, *, is_online: bool) -> None:
        if is_online != self._is_online:
            self._is_online = is_online
            logger.warning("the activity log's MongoDB %s", "answers again" if is_online else "does not answer")

    def _count_dropped(self, number: int) -> None:
        if number:
            self._dropped += number
            self._dropped_at = time.monotonic()
            activity_entries_dropped_total.inc(number)


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "_id": entry.id,
        "timestamp": entry.timestamp,
        "level": entry.level,
        "action": entry.action,
        "message": entry.message,
        "user_id": entry.user_id,
        "session_id": entry.session_id,
        "metadata": entry.metadata,
    }


def _entry(document: dict[str, Any]) -> Entry:
    return Entry(
        id=str(document["_id"]),
        timestamp=document["timestamp"],
        level=document["level"],
        action=document["action"],
        message=document["message"],
        user_id=document["user_id"],
        session_id=document["session_id"],
        metadata=document["metadata"],
    )
