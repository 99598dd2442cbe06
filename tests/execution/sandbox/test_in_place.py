"""A Python program that begins in the agent's own interpreter cannot tell, by what a program looks at, that it did."""

from __future__ import annotations

from dataclasses import replace

import pytest

import languages
from execution.sandbox.control import Control
from execution.sandbox.job import prepare
from execution.sandbox.pool import Pool
from execution.sandbox.supervisor import execute
from tests.execution.conftest import KINDS, kind_of_backend
from tests.execution.sandbox.running import LIMITS, Watcher, run

PROGRAMS = {
    "nothing": "",
    "names": "print(__name__, __file__, __spec__, __package__, __doc__, __loader__.__class__, sorted(globals()))",
    "arguments": "import sys; print(sys.argv, sys.orig_argv, sys.executable, sys.prefix, sys.exec_prefix)",
    "paths": "import sys; print(sys.path, sorted(sys.path_importer_cache), sys.path_hooks, sys.meta_path)",
    "flags": "import sys; print(sys.flags, sys._xoptions, sys.warnoptions, sys.implementation, "
    "sys.dont_write_bytecode)",
    "modules": "import sys; print(list(sys.modules))",
    "stack": "import sys; print(sys._getframe().f_back, sys.getrecursionlimit(), sys.exc_info())\n"
    "import inspect; print([frame[1:] for frame in inspect.stack()])",
    "depth": "n = 0\ndef f():\n    global n\n    n += 1\n    f()\ntry:\n    f()\nexcept RecursionError:\n    print(n)",
    "traceback": "def f(x):\n    return 1 / x\ntry:\n    f(0)\nexcept ZeroDivisionError as e:\n    "
    "raise KeyError('k') from e",
    "syntax error": "print('never')\nif:\n",
    "indentation": "def f():\nreturn 1\n",
    "byte order mark": b"\xef\xbb\xbfprint('caf\xc3\xa9')",
    "another encoding": b"# coding: latin-1\nprint('caf\xe9')",
    "null byte": b"print(1)\0\n",
    "exit with a number": "import sys; sys.exit(3)",
    "exit with words": "import sys; sys.exit('words')",
    "exit with nothing": "raise SystemExit",
    "exit at once": "import os; print('lost?', end=''); os._exit(5)",
    "interrupted": "raise KeyboardInterrupt",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "broken pipe": "import os, signal\nr, w = os.pipe(); os.close(r)\n"
    "try:\n    os.write(w, b'x')\nexcept BrokenPipeError as e:\n    print(e)",
    "at exit": "import atexit\nfor n in range(3): atexit.register(print, 'last', n)\nprint('first')\n1 / 0",
    "thread at exit": "import threading, time\ndef f():\n    time.sleep(0.05); print('thread')\n"
    "threading.Thread(target=f).start()\nprint(threading.current_thread().name, threading.active_count())",
    "signals": "import signal; print({s: signal.getsignal(s) for s in signal.valid_signals() if s not in (9, 19)}, "
    "signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.set_wakeup_fd(-1))",
    "input": "print(input('name? '), input()); input()",
    "bytes in": "import sys; print(sys.stdin.buffer.read())",
    "streams": "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr):\n    print(s.name, "
    "s.mode, s.encoding, s.errors, "
    "s.newlines, s.line_buffering, s.write_through, s.isatty(), s.seekable(), type(s.buffer), "
    "s.fileno(), s.buffer.raw)",
    "order of streams": "import sys\nfor n in range(5):\n    print(n); print(n, "
    "file=sys.stderr)\nsys.stdout.write('end')",
    "surrogates": "import sys; print(repr(sys.argv)); print('\\udc80')",
    "environment": "import os; os.environ.pop('CODECRAFTER_EXEC', None); print(sorted(os.environ.items()))\n"
    "import subprocess; print(subprocess.run(['env', '-u', 'CODECRAFTER_EXEC', '-u', '_'], "
    "capture_output=True, text=True).stdout.split())",
    "descriptors": "import os; print(sorted(os.listdir('/proc/self/fd'), key=int)[:-1], "
    "[os.get_inheritable(n) for n in (0, 1, 2)], [os.get_blocking(n) for n in (0, 1, 2)])",
    # The limit of processor time is set from outside, which a program started by exec may be ahead of.
    "limits": "import resource as r, time\nwhile r.getrlimit(r.RLIMIT_CPU)[0] == r.RLIM_INFINITY: time.sleep(0.01)\n"
    "print({n: r.getrlimit(getattr(r, n)) for n in dir(r) if n.startswith('RLIMIT_')})",
    "process": "import os; print(os.getcwd(), os.umask(0), os.getpid() == os.getsid(0) == "
    "os.getpgrp(), os.getppid(), "
    "os.getuid(), os.getgid(), os.getgroups(), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))\n"
    "print([line for line in open('/proc/self/status') if line.startswith(('Sig', 'Shd', 'Cap', "
    "'No', 'Secc', 'Thr'))])",
    "protection": "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), "
    "open('/proc/self/oom_score_adj').read())\n"
    "try:\n    open('/proc/1/mem')\nexcept OSError as e:\n    print(e)",
    "site": "import site, sys; print(site.ENABLE_USER_SITE, site.getusersitepackages(), site.getuserbase(), "
    "site.PREFIXES, hasattr(sys, 'ps1'), exit, quit, copyright, help)",
    "text": "import locale, sys, time; print(locale.getlocale(), locale.getpreferredencoding(), "
    "sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), time.tzname)",
    "collector": "import gc; print(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks, gc.garbage)",
    "a module of its own": {"main.py": b"import helper, os; print(helper.x, os.listdir('.'))", "helper.py": b"x = 7"},
    "a module with a taken name": {"main.py": b"import json, agent; print(json.x)", "json.py": b"x = 7"},
    "customisation": {"main.py": b"print(1)", "usercustomize.py": b"print(2)", "sitecustomize.py": b"print(3)"},
    "a module that is not there": "import protocol",
    "the names of the agent": "import usercustomize",
    "what the agent imports": "import ctypes, struct, select, json, enum, signal, tty, fcntl, typing, contextlib\n"
    "print(signal.SIGINT, ctypes.sizeof(ctypes.c_long), json.dumps([1]), struct.pack('>I', 1), typing.Any)",
    "warnings": "import warnings; warnings.warn('old', DeprecationWarning); warnings.warn('new'); "
    "print(warnings.filters)",
    "fork": "import multiprocessing as m\ndef f(x): return x * x\n"
    "if __name__ == '__main__':\n    m.set_start_method('fork')\n    print(m.Pool(2).map(f, range(5)))",
    "spawn": "import multiprocessing as m\ndef f(q): q.put(__name__)\nif __name__ == '__main__':\n"
    "    c = m.get_context('spawn'); q = c.SimpleQueue(); p = c.Process(target=f, args=(q,)); p.start()\n"
    "    print(q.get(), p.join(), p.exitcode)",
    "executor": "from concurrent.futures import *\nprint(list(ThreadPoolExecutor(2).map(str, range(4))))",
    "coroutines": "import asyncio\nasync def f():\n    await asyncio.sleep(0.01); print('ran')\nasyncio.run(f())",
    "child process": "import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'import "
    "sys; print(sys.path)'], "
    "capture_output=True))",
    "run path": "import runpy; open('/tmp/o.py', 'w').write('print(__name__)'); runpy.run_path('/tmp/o.py')",
    "pickled": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))), A.__module__, A)",
    "data classes": "import dataclasses, enum\n@dataclasses.dataclass\nclass P:\n    x: int\n"
    "class E(enum.Enum):\n    A = 1\nprint(P(1), E.A, P.__module__)",
    "no byte code": {"main.py": b"import os, helper; print(sorted(os.listdir('.')))", "helper.py": b""},
    "large output": "print('x' * 300_000)",
    "raw output": "import os, sys; os.write(1, b'a'); sys.stdout.buffer.write(b'b'); sys.stdout.write('c')",
    "closed output": "import sys; sys.stdout.close()",
    "hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0])\n1 / 0",
    "unraisable": "class A:\n    def __del__(self): 1 / 0\na = A()",
    "finalisation": "class A:\n    def __del__(self): print('gone')\na = A()",
    "interactive helpers": "import code, sys; print(__debug__, sys.gettrace(), sys.getprofile(), "
    "sys.getswitchinterval())",
}
# Representations hold addresses, which differ from one Python to the next.
ADDRESS = __import__("re").compile(rb"0x[0-9a-f]+|\d+ bytes")


@pytest.fixture(scope="module")
def pools():
    made = {}
    yield made
    for pool in made.values():
        pool.close()


@pytest.fixture
def pool(backend, pools):
    if backend not in pools:
        pools[backend] = Pool(backend, minimum=2, maximum=2)
        pools[backend].expect(LIMITS)
    assert pools[backend].settle(60)
    return pools[backend]


def seen(backend, source, *, in_place):
    row = languages.get("python")
    files = (
        source if isinstance(source, dict) else {"main.py": source if isinstance(source, bytes) else source.encode()}
    )
    job = prepare(row, files, stdin=b"Ada\nGrace\n", args=("one", "zwei ö"), run_limits=LIMITS)
    if not in_place:
        # Any variable that the agent was not started with asks for an exec.
        job = replace(job, run=replace(job.run, environment={**job.run.environment, "CODECRAFTER_EXEC": "1"}))
    watcher = Watcher()
    outcome = execute(job, backend, watcher, Control())
    streams = {name: ADDRESS.sub(b"", data) for name, data in watcher.streams.items()}
    return outcome.stats["start"], (outcome.status, outcome.exit_code, outcome.signal, streams)


def pairs():
    """Every program on one backend; what a backend could change is seen by a third of them."""
    for number, name in enumerate(PROGRAMS):
        for kind in KINDS if number % 3 == 0 else ("bubblewrap",):
            parameters = kind_of_backend(kind)
            yield pytest.param(*parameters.values, name, marks=parameters.marks, id=f"{kind}-{name}")


@pytest.mark.parametrize(("backend", "name"), list(pairs()), indirect=["backend"])
def test_a_program_does_the_same_in_place_as_by_exec(pool, name):
    start, expected = seen(pool, PROGRAMS[name], in_place=False)
    assert start in ("exec", "cold")
    assert pool.settle(60)
    start, found = seen(pool, PROGRAMS[name], in_place=True)
    assert start == "fork"
    assert found == expected


def test_what_is_not_that_very_command_is_started_by_exec(pool):
    assert run(pool, "python", "", interactive=True).outcome.stats["start"] == "exec"
    assert pool.settle(60)
    row = languages.get("python")
    job = prepare(row, {"other.py": b"print(__file__)"}, entry="other.py", run_limits=LIMITS)
    assert execute(job, pool, Watcher(), Control()).stats["start"] == "exec"


def test_other_languages_wait_in_sandboxes_of_their_own(pool):
    pool.expect(LIMITS, "bash")
    assert pool.settle(60)
    assert run(pool, "bash", "").outcome.stats["start"] == "exec"
    assert run(pool, "python", "").outcome.stats["start"] == "fork"
