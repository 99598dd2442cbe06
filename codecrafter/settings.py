"""All settings, by topic. What differs between deployments comes from the environment (see .env.example)."""

from __future__ import annotations

import os
import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONCE

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")


def secret_from(name: str, file_name: str) -> str:
    """Return the secret from the environment, else the one in DATA_DIR, which is created at the first start."""
    if value := env.str(name, default=""):
        return value
    path = DATA_DIR / file_name
    if not path.is_file():
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{file_name}.{secrets.token_hex(4)}")
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(50))
        try:
            # Two processes that start at once both use the first one's secret.
            path.hardlink_to(made)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_text().strip()


def derived_public_url() -> str:
    """Return the first of ALLOWED_HOSTS, or HOST on loopback, as a URL; "" if it is not a single name."""
    name = (env.list("ALLOWED_HOSTS", default=[]) or [HOST if LOOPBACK else ""])[0]
    if not name or name[0] in ".*":
        return ""
    host = f"[{name}]" if ":" in name and name[0] != "[" else name
    # A proxy listens on the scheme's default port.
    port = "" if HTTPS or TRUSTED_PROXIES else f":{PORT}"
    return f"{'https' if HTTPS else 'http'}://{host}{port}"


# Deployment
VERSION = "0.1.0"
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
DEBUG = env.bool("DEBUG", default=False)
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="memory://localhost/")
# A single process: the worker and the periodic work are threads of the web process.
EMBEDDED = CELERY_BROKER_URL.startswith("memory:")
if EMBEDDED:
    # DATA_DIR holds people's work and valid sign-ins, which other accounts of the machine must not read.
    os.umask(0o077)
SECRET_KEY = secret_from("SECRET_KEY", "secret_key")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
REDIS_URL = env.str("REDIS_URL", default="")
MONGODB_URL = env.str("MONGODB_URL", default="")
LOOPBACK = HOST in ("127.0.0.1", "::1", "localhost")

# Hosts and proxies
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if LOOPBACK else [])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
FRONTEND_URL = env.str("FRONTEND_URL", default="")
# How many proxies in front of the server add to X-Forwarded-For; with 0 the header is ignored.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
HTTPS = env.bool("HTTPS", default=False)
# All absolute links begin with it. The Host header must not be used: it could be forged in a password reset request.
PUBLIC_URL = (env.str("PUBLIC_URL", default="") or derived_public_url()).rstrip("/")
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Limits before a request reaches the application (codecrafter/http_protocol.py, codecrafter/admission.py)
HTTP_HEAD_MAX_BYTES = env.int("HTTP_HEAD_MAX_BYTES", default=64 * 1024)
HTTP_HEAD_SECONDS = env.float("HTTP_HEAD_SECONDS", default=10)
HTTP_BODY_SECONDS = env.float("HTTP_BODY_SECONDS", default=300)
# The minimum rate at which a body must arrive and a response be read, averaged over HTTP_STALL_SECONDS.
HTTP_BYTES_PER_SECOND = env.int("HTTP_BYTES_PER_SECOND", default=500)
HTTP_STALL_SECONDS = env.float("HTTP_STALL_SECONDS", default=20)
HTTP_KEEP_ALIVE_SECONDS = env.int("HTTP_KEEP_ALIVE_SECONDS", default=20)
HTTP_CONNECTIONS = env.int("HTTP_CONNECTIONS", default=8000)
# A whole school or company may share one address.
HTTP_CONNECTIONS_PER_ADDRESS = env.int("HTTP_CONNECTIONS_PER_ADDRESS", default=2000)
# Bodies of unanswered requests in total; one address may have half.
HTTP_BODIES_MAX_BYTES = env.int("HTTP_BODIES_MAX_BYTES", default=256 * 1024 * 1024)

# Apps and middleware
INSTALLED_APPS = [
    "codecrafter",
    "realtime",
    "execution",
    "sessions_app",
    "accounts",
    "activity",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "axes",
    "channels",
    "corsheaders",
    "csp",
    "django_prometheus",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "servestatic",
]
MIDDLEWARE = [
    "codecrafter.metrics.RequestMetricsMiddleware",
    "web.request_id.RequestIdMiddleware",
    "web.caching.PrivateByDefault",
    "web.public_url.AbsoluteLinks",
    "codecrafter.database_watch.RefuseWhileAway",
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.guests.NobodyElsewhere",
    "accounts.unsent_forms.KeepUnsentForms",
    "web.page_errors.PageErrors",
    "web.throttles.RateLimits",
]
ROOT_URLCONF = "codecrafter.urls"
ASGI_APPLICATION = "codecrafter.asgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.demo_login",
            ]
        },
    }
]

# Data
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'codecrafter.sqlite3'}")}
DATABASE = DATABASES["default"]
if DATABASE["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE takes the write lock at BEGIN, so no transaction fails halfway. FULL makes commits durable.
    DATABASE["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000",
    }
    DATABASE["ENGINE"] = "django_prometheus.db.backends.sqlite3"
elif DATABASE["ENGINE"].endswith("postgresql"):
    DATABASE["OPTIONS"] = {
        # Affects only cursors with server-side binding, which are those of web/prepared.py.
        "prepare_threshold": 0,
        # Give up on a server that does not respond, so that nothing waits indefinitely, least of all a shutdown.
        "pool": {"min_size": 1, "max_size": env.int("DATABASE_POOL_SIZE", default=8), "timeout": 10},
        "connect_timeout": 5,
        "tcp_user_timeout": 15_000,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    DATABASE["CONN_MAX_AGE"] = 0
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
OWN_MEMORY: dict[str, Any] = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "OPTIONS": {"MAX_ENTRIES": 50_000},
}
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Its operations take a millisecond, so do not wait long for one that hangs.
        "OPTIONS": {
            "serializer": "codecrafter.cache_serializer.JSONSerializer",
            "socket_timeout": 1,
            "socket_connect_timeout": 1,
        },
    }
    if REDIS_URL
    else OWN_MEMORY,
    # Used while the default cache does not respond.
    "own": {**OWN_MEMORY, "LOCATION": "own"},
    # Responses that this process may need again, of up to 64 KiB each (web/answers.py).
    "answers": {**OWN_MEMORY, "LOCATION": "answers", "OPTIONS": {"MAX_ENTRIES": 1000}},
}
# Retention in days. With 0, archived sessions and runs are kept until somebody deletes them.
ACTIVITY_DAYS = env.int("ACTIVITY_DAYS", default=30)
ARCHIVE_DAYS = env.int("ARCHIVE_DAYS", default=0)
RUN_DAYS = env.int("RUN_DAYS", default=0)
# Limits per user, including their bots; 0 means unlimited. Past QUOTA_RUNS or QUOTA_RUN_BYTES, the oldest runs go.
QUOTA_SESSIONS = env.int("QUOTA_SESSIONS", default=1000)
QUOTA_BYTES = env.int("QUOTA_BYTES", default=512 * 1024 * 1024)
QUOTA_RUNS = env.int("QUOTA_RUNS", default=2000)
QUOTA_RUN_BYTES = env.int("QUOTA_RUN_BYTES", default=256 * 1024 * 1024)
# With SQLite, nothing new is accepted while less disk space is free, so that saved work stays safe.
DISK_RESERVE_BYTES = env.int("DISK_RESERVE_BYTES", default=256 * 1024 * 1024)
EXPORT_MAX_BYTES = env.int("EXPORT_MAX_BYTES", default=1024 * 1024 * 1024)

# Live editing
if REDIS_URL:
    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "codecrafter.redis_layer.RedisLayer",
            "CONFIG": {
                # By default, redis-py 8 times out an idle read after 5 s, which would close every idle socket.
                "hosts": [
                    {
                        "address": REDIS_URL,
                        "socket_timeout": env.float("REDIS_TIMEOUT_SECONDS", default=30),
                        "socket_connect_timeout": 5,
                        "health_check_interval": 15,
                        "socket_keepalive": True,
                    }
                ]
            },
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "codecrafter.local_layer.LocalLayer", "CONFIG": {"capacity": 10_000}}}
TEXT_MAX_BYTES = env.int("TEXT_MAX_BYTES", default=512 * 1024)
DOCUMENT_MAX_BYTES = env.int("DOCUMENT_MAX_BYTES", default=8 * 1024 * 1024)
SOCKET_MAX_BYTES = env.int("SOCKET_MAX_BYTES", default=1024 * 1024)
# Beyond these rates, a socket is not read until it may send again. RATE_LIMITS turns them off too.
SOCKET_UPDATES_PER_SECOND = env.float("SOCKET_UPDATES_PER_SECOND", default=50)
SOCKET_UPDATES_BURST = env.float("SOCKET_UPDATES_BURST", default=200)
SOCKET_TEXTS_PER_SECOND = env.float("SOCKET_TEXTS_PER_SECOND", default=50)
SOCKET_FRAMES_PER_SECOND = env.float("SOCKET_FRAMES_PER_SECOND", default=250)
# Cursor updates: only the newest matters, so those in between are skipped.
SOCKET_AWARENESS_MAX_BYTES = env.int("SOCKET_AWARENESS_MAX_BYTES", default=4096)
SOCKET_AWARENESS_IN_PER_SECOND = env.float("SOCKET_AWARENESS_IN_PER_SECOND", default=20)
SOCKET_AWARENESS_OUT_PER_SECOND = env.float("SOCKET_AWARENESS_OUT_PER_SECOND", default=10)
SOCKET_ADMISSION_SECONDS = env.float("SOCKET_ADMISSION_SECONDS", default=20)
SOCKET_FIRST_FRAME_SECONDS = env.float("SOCKET_FIRST_FRAME_SECONDS", default=10)
# How long a cursor stays after its socket broke, for a page that reconnects.
SOCKET_GRACE_SECONDS = env.float("SOCKET_GRACE_SECONDS", default=3)
SOCKET_MAX_PER_USER_AND_ROOM = env.int("SOCKET_MAX_PER_USER_AND_ROOM", default=8)
SOCKET_MAX_PER_USER = env.int("SOCKET_MAX_PER_USER", default=64)
ROOM_MAX_WRITERS = env.int("ROOM_MAX_WRITERS", default=200)
ROOM_MAX_SOCKETS = env.int("ROOM_MAX_SOCKETS", default=1000)
# y-websocket reconnects when it hears nothing for 30 seconds.
SOCKET_KEEP_ALIVE_SECONDS = env.float("SOCKET_KEEP_ALIVE_SECONDS", default=20)
ROOM_TICK_SECONDS = env.float("ROOM_TICK_SECONDS", default=5)
ROOM_IDLE_SECONDS = env.float("ROOM_IDLE_SECONDS", default=30)
# How much uncommitted data one room buffers; beyond it, its sockets are not read.
ROOM_UNSAVED_MAX_BYTES = env.int("ROOM_UNSAVED_MAX_BYTES", default=8 * 1024 * 1024)
# How long a stopping server keeps serving while it reports that it is not ready, for load balancers to notice.
DRAIN_SECONDS = env.float("DRAIN_SECONDS", default=0 if EMBEDDED else 5)
# A log is compacted when its tail exceeds either of these.
COMPACT_TAIL_ROWS = env.int("COMPACT_TAIL_ROWS", default=500)
COMPACT_TAIL_BYTES = env.int("COMPACT_TAIL_BYTES", default=1024 * 1024)
HISTORY_SEGMENT_SECONDS = env.float("HISTORY_SEGMENT_SECONDS", default=60)

# Users and sign-in
AUTH_USER_MODEL = "accounts.User"
# Usernames are unique regardless of case, by a constraint on lower(username).
# axes.W002: the views answer 429 themselves; axes' middleware would replace the form with a bare page.
SILENCED_SYSTEM_CHECKS = ["auth.W004", "axes.W002"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# The first only checks the lockout. It is in authenticate(), which every kind of sign-in calls.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "accounts.backends.NameOrEmailBackend"]
AXES_HANDLER = "accounts.lockout.Lockout"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "web.client.counted_address"
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
LOGIN_URL = "/login"
CSRF_FAILURE_VIEW = "accounts.unsent_forms.csrf_failure"
LOGIN_REDIRECT_URL = "/sessions"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
# "optional" asks new users to confirm their address; "mandatory" requires it before they can sign in.
ACCOUNT_EMAIL_VERIFICATION = env.str("EMAIL_VERIFICATION", default="optional")
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "CodeCrafter: "
ACCOUNT_EMAIL_CONFIRMATION_EXPIRE_DAYS = 3
PASSWORD_RESET_TIMEOUT = 3600
ACCOUNT_FORMS = {"reset_password": "accounts.forms.PasswordResetForm"}
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_PRESERVE_USERNAME_CASING = True
ACCOUNT_SESSION_REMEMBER = True
RATE_LIMITS = env.bool("RATE_LIMITS", default=True)
# Sign-in, sign-up and password reset are counted in the scopes of RATES, together with those over the API.
ACCOUNT_RATE_LIMITS: Any = (
    {"login": None, "login_failed": None, "signup": None, "reset_password": None} if RATE_LIMITS else False
)
MFA_ADAPTER = "accounts.mfa.MFAAdapter"
MFA_FORMS = {
    "authenticate": "accounts.mfa.AuthenticateForm",
    "reauthenticate": "accounts.mfa.ReauthenticateForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# If mail goes to the console, nobody can confirm an address, but a second factor should still be available.
MFA_ALLOW_UNVERIFIED_EMAIL = ACCOUNT_EMAIL_VERIFICATION != "mandatory"
if not RATE_LIMITS:
    MFA_RATE_LIMITS = False
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
EMAIL_TIMEOUT = 10
if env.str("EMAIL_URL", default=""):
    vars().update(env.email("EMAIL_URL"))
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="CodeCrafter <codecrafter@localhost>")

# Social sign-in, by each provider that is configured
SOCIALACCOUNT_ADAPTER = "accounts.adapter.ProviderAdapter"
SOCIALACCOUNT_FORMS = {"signup": "accounts.forms.SocialSignUpForm"}
SOCIALACCOUNT_PROVIDERS: dict[str, dict[str, Any]] = {}
# The providers' origins: form-action must allow them, because the sign-in form redirects there.
OAUTH_ORIGINS: list[str] = []
if github_id := env.str("GITHUB_CLIENT_ID", default=""):
    INSTALLED_APPS.append("allauth.socialaccount.providers.github")
    SOCIALACCOUNT_PROVIDERS["github"] = {
        "SCOPE": ["read:user", "user:email"],
        "APPS": [{"client_id": github_id, "secret": env.str("GITHUB_CLIENT_SECRET", default="")}],
    }
    OAUTH_ORIGINS.append("https://github.com")
if oidc_url := env.str("OIDC_URL", default=""):
    INSTALLED_APPS.append("allauth.socialaccount.providers.openid_connect")
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "APPS": [
            {
                "provider_id": "oidc",
                "name": env.str("OIDC_NAME", default="single sign-on"),
                "client_id": env.str("OIDC_CLIENT_ID", default=""),
                "secret": env.str("OIDC_CLIENT_SECRET", default=""),
                "settings": {"server_url": oidc_url},
            }
        ]
    }
    OAUTH_ORIGINS.append("{0.scheme}://{0.netloc}".format(urlsplit(oidc_url)))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "SIGNING_KEY": secret_from("JWT_SIGNING_KEY", "jwt_signing_key"),
    "USER_ID_CLAIM": "sub",
}

# Running code
SANDBOX_BACKEND = env.str("SANDBOX_BACKEND", default="auto")
SANDBOX_RUNTIME = env.str("SANDBOX_RUNTIME", default="")
SANDBOX_IMAGE = env.str("SANDBOX_IMAGE", default="codecrafter/sandbox")
# How many idle sandboxes to keep of each kind in use. With a maximum of 0, each is started when needed.
SANDBOX_POOL_MIN = env.int("SANDBOX_POOL_MIN", default=1)
SANDBOX_POOL_MAX = env.int("SANDBOX_POOL_MAX", default=4)
# Whether a worker tests the host's languages (under bubblewrap) before offering them. Images are tested when built.
TRY_LANGUAGES = env.bool("TRY_LANGUAGES", default=True)
# The size of each worker's in-memory cache of compiled programs; 0 turns it off.
COMPILE_CACHE_BYTES = env.int("COMPILE_CACHE_BYTES", default=256 * 1024 * 1024)
# Concurrent programs per worker: more than processors, because programs mostly wait, for input above all.
WORKER_CONCURRENCY = env.int("WORKER_CONCURRENCY", default=8)
WORKER_METRICS_PORT = env.int("WORKER_METRICS_PORT", default=0)
# Interactive programs that may wait for input in addition: per worker, and per user.
WORKER_INTERACTIVE = env.int("WORKER_INTERACTIVE", default=64)
RUN_INTERACTIVE_PER_USER = env.int("RUN_INTERACTIVE_PER_USER", default=5)
# Concurrent programs per user, always fewer than all; further runs wait, so that others can run.
RUN_RUNNING_PER_USER = env.int("RUN_RUNNING_PER_USER", default=3)
RUN_INPUT_MAX_BYTES = 1024 * 1024
RUN_CODE_MAX_BYTES = 512 * 1024
RUN_ACTIVE_PER_USER = env.int("RUN_ACTIVE_PER_USER", default=10)
RUN_ATTEMPTS = 3
RUN_LEASE_SECONDS = env.int("RUN_LEASE_SECONDS", default=30)
# The most that one request may ask for. By default, the language's limits apply.
RUN_LIMITS_CEILING = {
    "cpu_ms": env.int("RUN_MAX_CPU_MS", default=15_000),
    "wall_ms": env.int("RUN_MAX_WALL_MS", default=60_000),
    "memory_bytes": env.int("RUN_MAX_MEMORY_BYTES", default=512 * 1024 * 1024),
    "output_bytes": env.int("RUN_MAX_OUTPUT_BYTES", default=1024 * 1024),
}
RUN_MAX_INTERACTIVE_WALL_MS = env.int("RUN_MAX_INTERACTIVE_WALL_MS", default=600_000)
# The total for all test cases of a submission, including compilation.
RUN_MAX_SUBMISSION_MS = env.int("RUN_MAX_SUBMISSION_MS", default=120_000)

# REST
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.bearer.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["web.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["web.throttles.GeneralThrottle"],
    "DEFAULT_PAGINATION_CLASS": "web.paging.Paging",
    "DEFAULT_SCHEMA_CLASS": "web.schema.Schema",
    # Escaping makes it possible to return a lone surrogate that a caller sent, which UTF-8 cannot encode.
    "UNICODE_JSON": False,
    "EXCEPTION_HANDLER": "web.problems.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "CodeCrafter",
    "DESCRIPTION": "Write and run code together.",
    "VERSION": VERSION,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": r"/api",
    "PREPROCESSING_HOOKS": ["web.schema.each_path_once"],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "PermissionEnum": "sessions_app.models.Permission",
        "UpToWriteEnum": "sessions_app.models.UP_TO_WRITE",
    },
}
# requests/seconds, by scope
RATES = {
    "anonymous": env.str("RATE_ANONYMOUS", default="100/900"),
    "user": env.str("RATE_USER", default="1000/900"),
    "page": env.str("RATE_PAGE", default="1000/900"),
    "login": env.str("RATE_LOGIN", default="10/300"),
    "login_name": env.str("RATE_LOGIN_NAME", default="100/300"),
    "login_address": env.str("RATE_LOGIN_ADDRESS", default="60/300"),
    "login_code": env.str("RATE_LOGIN_CODE", default="60/3600"),
    "reset": env.str("RATE_RESET", default="20/3600"),
    "reset_name": env.str("RATE_RESET_NAME", default="5/3600"),
    "register": env.str("RATE_REGISTER", default="20/3600"),
    "run": env.str("RATE_RUN", default="60/60"),
    "status": env.str("RATE_STATUS", default="600/60"),
    "guest": env.str("RATE_GUEST", default="60/3600"),
    "unsent_form": env.str("RATE_UNSENT_FORM", default="60/3600"),
    "chat": env.str("RATE_CHAT", default="30/30"),
    "report": env.str("RATE_REPORT", default="10/3600"),
    "export": env.str("RATE_EXPORT", default="5/3600"),
}
BODY_MAX_BYTES = 10 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_MAX_BYTES
CORS_ALLOWED_ORIGINS = [FRONTEND_URL.rstrip("/")] if FRONTEND_URL else []
CORS_ALLOW_CREDENTIALS = True
CORS_URLS_REGEX = r"^/api/"
CORS_EXPOSE_HEADERS = ["ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"]

# Security headers
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = HTTPS
# Probes and scrapers bypass the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        # The nonce is for style elements that the editor creates; style attributes never contain user text.
        "style-src": ["'self'", NONCE],
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'", *OAUTH_ORIGINS],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}

# Static files
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "build" / "static"] if (BASE_DIR / "build" / "static").is_dir() else []
# Another server may serve them, running as another user.
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o644, 0o755
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Compressing takes half a minute, which is worthwhile only if files cross a network.
    "staticfiles": {
        "BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"
        if env.bool("STATIC_COMPRESS", default=not EMBEDDED)
        else "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    },
}
SERVESTATIC_USE_MANIFEST = False
# File names hashed by the bundler are as immutable as those hashed by Django.
SERVESTATIC_IMMUTABLE_FILE_TEST = re.compile(r"^.+[.-][0-9a-zA-Z]{8,12}\..+$").pattern

# Language and time
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["codecrafter.formats"]

# Celery: results are database rows, so there is no result backend. Queues are in codecrafter/celery.py.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = CELERY_TASK_DEFAULT_EXCHANGE = CELERY_TASK_DEFAULT_ROUTING_KEY = "upkeep"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = WORKER_CONCURRENCY
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TIMEZONE = TIME_ZONE
PROMETHEUS_EXPORT_MIGRATIONS = False
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# Logs: single lines to standard error, never with a body, a token or a cookie.
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "web.request_id.RequestIdFilter"}},
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {request_id} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    # 404s are not logged; the metrics count them.
    "loggers": {"django.request": {"level": "ERROR"}}
    | {
        name: {"level": LOG_LEVEL}
        for name in ("codecrafter", "realtime", "execution", "sessions_app", "accounts", "activity", "web")
    },
}
