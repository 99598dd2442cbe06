"""Settings of the test run: the embedded defaults in a folder of their own, without rate limits."""

import os
import tempfile

os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="codecrafter-tests-"))
os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "0" * 40)
os.environ.setdefault("JWT_SIGNING_KEY", "only-for-tests-" + "1" * 40)
os.environ.setdefault("RATE_LIMITS", "off")

# The settings keep what a server writes to its owner; the tests write for other accounts too, such as PostgreSQL's.
umask = os.umask(0o077)

from codecrafter.settings import *  # noqa: E402, F403

os.umask(umask)

PUBLIC_URL = "http://testserver"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"  # noqa: F405

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, as in production: SQLite's shared memory refuses a second writer instead of letting it wait.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "tests.sqlite3")}  # noqa: F405

# ServeStatic warns about a folder that is not there.
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405

# Its flush command may empty the audit trail.
INSTALLED_APPS.append("tests")  # noqa: F405
