"""The compile cache: the same text is compiled once, anything else anew, and it never grows past its bound."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

import languages
from execution.sandbox.cache import CompileCache, Compiled, PersonalCache, key_of
from execution.sandbox.control import Control
from execution.sandbox.job import prepare
from execution.sandbox.limits import COMPILE
from execution.sandbox.supervisor import execute
from tests.execution.sandbox.running import LIMITS, Watcher

HELLO = b'#include <stdio.h>\nint main(void) { int unused; puts("hello"); return 3; }\n'


def compiled(content: bytes) -> Compiled:
    return Compiled({".build/program": (0o755, content)})


def ran(backend, cache, source=HELLO, stdin=b""):
    job = prepare(languages.get("c"), {"main.c": source}, stdin=stdin, run_limits=LIMITS)
    watcher = Watcher()
    return execute(job, backend, watcher, Control(), cache=cache), watcher


def test_the_same_program_is_compiled_once_and_looks_the_same(backend):
    cache = CompileCache()
    first, heard_first = ran(backend, cache)
    again, heard_again = ran(backend, cache, stdin=b"other input")
    assert (cache.hits, cache.misses) == (1, 1)
    assert (first.stats["compile_cached"], again.stats["compile_cached"]) == (False, True)
    assert first.exit_code == again.exit_code == 3
    assert heard_first.streams == heard_again.streams
    assert b"unused" in heard_again.streams["compile"]
    assert again.compile_output == first.compile_output
    assert heard_again.starts == 1


def test_nobody_learns_from_the_cache_what_others_compiled(backend):
    cache = CompileCache()
    people = [PersonalCache(cache, person) for person in ("alice", "mallory", "alice")]
    assert [ran(backend, part)[0].stats["compile_cached"] for part in people] == [False, False, True]


def test_a_failed_compilation_is_tried_again(backend):
    cache = CompileCache()
    for _time in range(2):
        outcome, _watcher = ran(backend, cache, b"int main(")
        assert outcome.status.value == "compile_error"
    assert (cache.hits, cache.misses, cache.size) == (0, 2, 0)


def test_everything_a_compiler_is_given_is_in_the_key():
    step = prepare(languages.get("c"), {"main.c": b"a"}).compile
    files = {"main.c": (0o644, b"a")}
    base = key_of("tools", step, files)
    others = [
        key_of("other tools", step, files),
        key_of("tools", replace(step, argv=(*step.argv, "-O2")), files),
        key_of("tools", replace(step, argv=(*step.argv[:-2], step.argv[-2] + step.argv[-1])), files),
        key_of("tools", replace(step, environment={**step.environment, "A": "b"}), files),
        key_of("tools", replace(step, limits=replace(COMPILE, memory_bytes=1 << 30)), files),
        key_of("tools", step, {"main.c": (0o644, b"b")}),
        key_of("tools", step, {"main.c": (0o755, b"a")}),
        key_of("tools", step, {**files, "a.h": (0o644, b"")}),
        key_of("tools", step, {"main.ca": (0o644, b"")}),
    ]
    assert len({base, *others}) == len(others) + 1
    assert key_of("tools", step, dict(files)) == base


def test_a_backend_names_its_tools_the_same_each_time(backend):
    assert backend.toolset("c") == backend.toolset("c") != ""


def test_the_least_recently_used_goes_first_and_the_bound_holds():
    cache = CompileCache(max_bytes=100_000)
    for name in "abcd":
        cache.put(name, compiled(b"x" * 20_000))
    assert cache.get("a") is not None
    cache.put("e", compiled(b"x" * 20_000))
    assert cache.get("b") is None
    assert [name for name in "acde" if cache.get(name)] == ["a", "c", "d", "e"]
    cache.put("large", compiled(b"x" * 30_000))
    assert cache.get("large") is None
    assert cache.size <= 100_000


def test_a_key_that_is_put_again_counts_once():
    cache = CompileCache()
    for _time in range(3):
        cache.put("a", compiled(b"x"))
    assert cache.size == compiled(b"x").size


def test_threads_share_a_cache():
    cache = CompileCache(max_bytes=50_000)
    failures = []

    def use(number: int) -> None:
        for turn in range(300):
            key = str((number + turn) % 12)
            found = cache.get(key)
            if found is not None and found.artifact[".build/program"][1] != key.encode() * 1000:
                failures.append(key)
            cache.put(key, compiled(key.encode() * 1000))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert 0 < cache.size <= 50_000


@pytest.mark.parametrize("limit", [1, 1024])
def test_a_tiny_cache_holds_nothing(limit):
    cache = CompileCache(max_bytes=limit)
    cache.put("a", compiled(b"x"))
    assert cache.get("a") is None
