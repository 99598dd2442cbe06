"""Every setting, by topic. What differs between deployments comes from the environment (.env.example lists it)."""

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
    """The secret from the environment; else the one kept in DATA_DIR, made at the first start."""
    if value := env.str(name, default=""):
        return value
    path = DATA_DIR / file_name
    if not path.is_file():
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{file_name}.{secrets.token_hex(4)}")
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(50))
        try:
            # Two processes that start at once agree on the first one's secret.
            path.hardlink_to(made)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_text().strip()


def derived_public_url() -> str:
    """The first of ALLOWED_HOSTS, or HOST on loopback, as a URL; "" if that is no single name."""
    name = (env.list("ALLOWED_HOSTS", default=[]) or [HOST if LOOPBACK else ""])[0]
    if not name or name[0] in ".*":
        return ""
    host = f"[{name}]" if ":" in name and name[0] != "[" else name
    # A proxy has the port that goes without saying.
    port = "" if HTTPS or TRUSTED_PROXIES else f":{PORT}"
    return f"{'https' if HTTPS else 'http'}://{host}{port}"


# Where we are
VERSION = "0.1.0"
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
DEBUG = env.bool("DEBUG", default=False)
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="memory://localhost/")
# One process with nothing else running: the worker and the periodic work are threads of the web process.
EMBEDDED = CELERY_BROKER_URL.startswith("memory:")
if EMBEDDED:
    # DATA_DIR holds people's work, and sign-ins that still open: none of it is for other accounts of the machine.
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
# How many proxies in front of us add to X-Forwarded-For; with 0 the header is ignored.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
HTTPS = env.bool("HTTPS", default=False)
# What every absolute link begins with. Never the Host of a request: who asks for somebody's new password chooses that.
PUBLIC_URL = (env.str("PUBLIC_URL", default="") or derived_public_url()).rstrip("/")
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# What arrives before the application is asked (codecrafter/http_protocol.py, codecrafter/admission.py)
HTTP_HEAD_MAX_BYTES = env.int("HTTP_HEAD_MAX_BYTES", default=64 * 1024)
HTTP_HEAD_SECONDS = env.float("HTTP_HEAD_SECONDS", default=10)
HTTP_BODY_SECONDS = env.float("HTTP_BODY_SECONDS", default=300)
# The slowest that a body may arrive and an answer may be read, on average over HTTP_STALL_SECONDS.
HTTP_BYTES_PER_SECOND = env.int("HTTP_BYTES_PER_SECOND", default=500)
HTTP_STALL_SECONDS = env.float("HTTP_STALL_SECONDS", default=20)
HTTP_KEEP_ALIVE_SECONDS = env.int("HTTP_KEEP_ALIVE_SECONDS", default=20)
HTTP_CONNECTIONS = env.int("HTTP_CONNECTIONS", default=8000)
# A school or a company may sit behind one address.
HTTP_CONNECTIONS_PER_ADDRESS = env.int("HTTP_CONNECTIONS_PER_ADDRESS", default=2000)
# Of requests that are not answered yet, all together; half of it for one address.
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
    # IMMEDIATE takes the write lock at BEGIN, so a transaction never fails half-way; FULL: committed is on disk.
    DATABASE["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000",
    }
    DATABASE["ENGINE"] = "django_prometheus.db.backends.sqlite3"
elif DATABASE["ENGINE"].endswith("postgresql"):
    DATABASE["OPTIONS"] = {
        # Concerns cursors that bind on the server, which are those of web/prepared.py alone.
        "prepare_threshold": 0,
        # A server that does not answer is given up on, so that nobody waits for ever, at the end above all.
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
        # What is asked of it takes a millisecond; nobody waits long for one that hangs.
        "OPTIONS": {
            "serializer": "codecrafter.cache_serializer.JSONSerializer",
            "socket_timeout": 1,
            "socket_connect_timeout": 1,
        },
    }
    if REDIS_URL
    else OWN_MEMORY,
    # For while the first does not answer.
    "own": {**OWN_MEMORY, "LOCATION": "own"},
    # Answers that this process may need again, of up to 64 KiB each.
    "answers": {**OWN_MEMORY, "LOCATION": "answers", "OPTIONS": {"MAX_ENTRIES": 1000}},
}
# How long what happened is kept, in days; with 0 archived sessions and runs are kept until somebody deletes them.
ACTIVITY_DAYS = env.int("ACTIVITY_DAYS", default=30)
ARCHIVE_DAYS = env.int("ARCHIVE_DAYS", default=0)
RUN_DAYS = env.int("RUN_DAYS", default=0)
# What one person, with their bots, may keep; 0: no bound. Past QUOTA_RUNS and QUOTA_RUN_BYTES the oldest runs go.
QUOTA_SESSIONS = env.int("QUOTA_SESSIONS", default=1000)
QUOTA_BYTES = env.int("QUOTA_BYTES", default=512 * 1024 * 1024)
QUOTA_RUNS = env.int("QUOTA_RUNS", default=2000)
QUOTA_RUN_BYTES = env.int("QUOTA_RUN_BYTES", default=256 * 1024 * 1024)
# With SQLite, nothing new is taken while the disk has less than this free, so that what is saved stays saved.
DISK_RESERVE_BYTES = env.int("DISK_RESERVE_BYTES", default=256 * 1024 * 1024)
EXPORT_MAX_BYTES = env.int("EXPORT_MAX_BYTES", default=1024 * 1024 * 1024)

# Live editing
if REDIS_URL:
    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "codecrafter.redis_layer.RedisLayer",
            "CONFIG": {
                # redis-py 8 times out a silent read after 5 s by default, which would close every idle socket.
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
# Past these a socket is not read until it may say more; RATE_LIMITS turns them off too.
SOCKET_UPDATES_PER_SECOND = env.float("SOCKET_UPDATES_PER_SECOND", default=50)
SOCKET_UPDATES_BURST = env.float("SOCKET_UPDATES_BURST", default=200)
SOCKET_TEXTS_PER_SECOND = env.float("SOCKET_TEXTS_PER_SECOND", default=50)
SOCKET_FRAMES_PER_SECOND = env.float("SOCKET_FRAMES_PER_SECOND", default=250)
# Cursors: the newest counts, so those in between are passed over.
SOCKET_AWARENESS_MAX_BYTES = env.int("SOCKET_AWARENESS_MAX_BYTES", default=4096)
SOCKET_AWARENESS_IN_PER_SECOND = env.float("SOCKET_AWARENESS_IN_PER_SECOND", default=20)
SOCKET_AWARENESS_OUT_PER_SECOND = env.float("SOCKET_AWARENESS_OUT_PER_SECOND", default=10)
SOCKET_ADMISSION_SECONDS = env.float("SOCKET_ADMISSION_SECONDS", default=20)
SOCKET_FIRST_FRAME_SECONDS = env.float("SOCKET_FIRST_FRAME_SECONDS", default=10)
# A cursor stays so long after its socket broke, for a page that comes back.
SOCKET_GRACE_SECONDS = env.float("SOCKET_GRACE_SECONDS", default=3)
SOCKET_MAX_PER_USER_AND_ROOM = env.int("SOCKET_MAX_PER_USER_AND_ROOM", default=8)
SOCKET_MAX_PER_USER = env.int("SOCKET_MAX_PER_USER", default=64)
ROOM_MAX_WRITERS = env.int("ROOM_MAX_WRITERS", default=200)
ROOM_MAX_SOCKETS = env.int("ROOM_MAX_SOCKETS", default=1000)
# y-websocket reconnects when it hears nothing for 30 seconds.
SOCKET_KEEP_ALIVE_SECONDS = env.float("SOCKET_KEEP_ALIVE_SECONDS", default=20)
ROOM_TICK_SECONDS = env.float("ROOM_TICK_SECONDS", default=5)
ROOM_IDLE_SECONDS = env.float("ROOM_IDLE_SECONDS", default=30)
# What one room keeps that the database has not taken; beyond it, its sockets are not read.
ROOM_UNSAVED_MAX_BYTES = env.int("ROOM_UNSAVED_MAX_BYTES", default=8 * 1024 * 1024)
# How long a server that is told to stop goes on while it says that it is not ready, for balancers to notice.
DRAIN_SECONDS = env.float("DRAIN_SECONDS", default=0 if EMBEDDED else 5)
# A log is compacted when its tail is longer than one of these.
COMPACT_TAIL_ROWS = env.int("COMPACT_TAIL_ROWS", default=500)
COMPACT_TAIL_BYTES = env.int("COMPACT_TAIL_BYTES", default=1024 * 1024)
HISTORY_SEGMENT_SECONDS = env.float("HISTORY_SEGMENT_SECONDS", default=60)

# People and sign-in
AUTH_USER_MODEL = "accounts.User"
# Names are unique without regard to case, by a constraint on lower(username).
# axes.W002: the edges answer 429 themselves; axes' middleware would replace the form by a bare page.
SILENCED_SYSTEM_CHECKS = ["auth.W004", "axes.W002"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# The first asks the lockout and signs nobody in; it stands in authenticate(), which every door calls.
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
# "optional" asks new people to confirm their address; "mandatory" signs nobody in before they did.
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
# Sign-in, sign-up and reset are counted in the scopes of RATES, together with the API's.
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
# Where mail goes to the console nobody can confirm an address, and a second factor is worth having all the same.
MFA_ALLOW_UNVERIFIED_EMAIL = ACCOUNT_EMAIL_VERIFICATION != "mandatory"
if not RATE_LIMITS:
    MFA_RATE_LIMITS = False
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
EMAIL_TIMEOUT = 10
if env.str("EMAIL_URL", default=""):
    vars().update(env.email("EMAIL_URL"))
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="CodeCrafter <codecrafter@localhost>")

# Sign-in through others, each only when it is configured
SOCIALACCOUNT_ADAPTER = "accounts.adapter.ProviderAdapter"
SOCIALACCOUNT_FORMS = {"signup": "accounts.forms.SocialSignUpForm"}
SOCIALACCOUNT_PROVIDERS: dict[str, dict[str, Any]] = {}
# Where their pages are: the browser asks the form-action of our pages before it follows us there.
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
# How many sandboxes wait for a job, for each kind of sandbox in use; with a maximum of 0 each is started when needed.
SANDBOX_POOL_MIN = env.int("SANDBOX_POOL_MIN", default=1)
SANDBOX_POOL_MAX = env.int("SANDBOX_POOL_MAX", default=4)
# Whether a worker tries the host's languages (under bubblewrap) before it offers them; images are tried when made.
TRY_LANGUAGES = env.bool("TRY_LANGUAGES", default=True)
# What compilers made is kept in each worker's memory, up to so much; 0 keeps nothing.
COMPILE_CACHE_BYTES = env.int("COMPILE_CACHE_BYTES", default=256 * 1024 * 1024)
# Programs at once per worker: more than processors, because people's programs mostly wait, for input above all.
WORKER_CONCURRENCY = env.int("WORKER_CONCURRENCY", default=8)
WORKER_METRICS_PORT = env.int("WORKER_METRICS_PORT", default=0)
# Interactive programs that are left to wait for somebody, besides those; one worker's and one person's.
WORKER_INTERACTIVE = env.int("WORKER_INTERACTIVE", default=64)
RUN_INTERACTIVE_PER_USER = env.int("RUN_INTERACTIVE_PER_USER", default=5)
# Of the former, one person's, and always fewer than all; the rest of their runs wait, so that others can run.
RUN_RUNNING_PER_USER = env.int("RUN_RUNNING_PER_USER", default=3)
RUN_INPUT_MAX_BYTES = 1024 * 1024
RUN_CODE_MAX_BYTES = 512 * 1024
RUN_ACTIVE_PER_USER = env.int("RUN_ACTIVE_PER_USER", default=10)
RUN_ATTEMPTS = 3
RUN_LEASE_SECONDS = env.int("RUN_LEASE_SECONDS", default=30)
# Most that one request may ask for; without a word in the request the language's defaults hold.
RUN_LIMITS_CEILING = {
    "cpu_ms": env.int("RUN_MAX_CPU_MS", default=15_000),
    "wall_ms": env.int("RUN_MAX_WALL_MS", default=60_000),
    "memory_bytes": env.int("RUN_MAX_MEMORY_BYTES", default=512 * 1024 * 1024),
    "output_bytes": env.int("RUN_MAX_OUTPUT_BYTES", default=1024 * 1024),
}
RUN_MAX_INTERACTIVE_WALL_MS = env.int("RUN_MAX_INTERACTIVE_WALL_MS", default=600_000)
# All test cases of a submission together, its compilation included.
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
    # Escaped, a lone surrogate that a caller sent can be repeated to them; UTF-8 has no bytes for it.
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
# Probes and scrapers come past the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        # The nonce is for the style elements that the editor makes; style attributes carry no user text.
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
# Another server may serve them, as another user.
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o644, 0o755
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Compressing takes half a minute, which is worth it where files cross a network.
    "staticfiles": {
        "BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"
        if env.bool("STATIC_COMPRESS", default=not EMBEDDED)
        else "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    },
}
SERVESTATIC_USE_MANIFEST = False
# Names that the bundler hashes are as immutable as those that Django hashes.
SERVESTATIC_IMMUTABLE_FILE_TEST = re.compile(r"^.+[.-][0-9a-zA-Z]{8,12}\..+$").pattern

# Language and time
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["codecrafter.formats"]

# Celery: rows are the result, so there is no result backend. Queues are in codecrafter/celery.py.
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

# Logs: one line each to standard error; never a body, a token or a cookie.
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "web.request_id.RequestIdFilter"}},
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {request_id} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    # A page that is not there is no event of ours; the metrics count it.
    "loggers": {"django.request": {"level": "ERROR"}}
    | {
        name: {"level": LOG_LEVEL}
        for name in ("codecrafter", "realtime", "execution", "sessions_app", "accounts", "activity", "web")
    },
}
