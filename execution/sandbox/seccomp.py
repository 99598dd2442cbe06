"""seccomp.json, the list of allowed system calls, as the BPF program that bubblewrap loads; Docker takes the file.

The program follows struct seccomp_data and struct sock_filter of linux/seccomp.h and linux/filter.h. Calls of a foreign
architecture (i386 or x32 on x86-64) kill the process, because their numbers mean other calls. Calls newer than the
table answer ENOSYS, as an older kernel would, so that libc falls back; every other call that is not listed is EPERM.

seccomp-watched.json adds, in the same format, what must not be done where nothing but /proc tells how much memory a
program has: making memory that no process shows there.
"""

import functools
import json
import platform
import struct
from pathlib import Path
from typing import Any

from execution.sandbox.syscalls import NUMBERS

PROFILE = Path(__file__).with_name("seccomp.json")
# Comes first where no cgroup counts memory.
WATCHED = Path(__file__).with_name("seccomp-watched.json")
NUMBER_OFFSET = 0
ARCH_OFFSET = 4
ARGS_OFFSET = 16
LOAD = 0x20
AND = 0x54
JUMP_EQUAL = 0x15
JUMP_GREATER_EQUAL = 0x35
JUMP_GREATER = 0x25
RETURN = 0x06
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
ALLOW = 0x7FFF0000
ENOSYS = 38
X32_BIT = 0x40000000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def load_profile(*, watched: bool = False) -> dict[str, Any]:
    profile: dict[str, Any] = json.loads(PROFILE.read_text())
    if watched:
        profile["syscalls"] = json.loads(WATCHED.read_text())["syscalls"] + profile["syscalls"]
    return profile


@functools.cache
def program(machine: str = platform.machine(), *, watched: bool = False) -> bytes | None:
    """The filter for this machine, or None on an architecture whose numbers this table lacks."""
    if machine not in AUDIT_ARCH:
        return None
    column = list(AUDIT_ARCH).index(machine)
    profile = load_profile(watched=watched)
    code = [
        instruction(LOAD, ARCH_OFFSET),
        instruction(JUMP_EQUAL, AUDIT_ARCH[machine], 1, 0),
        instruction(RETURN, KILL_PROCESS),
        instruction(LOAD, NUMBER_OFFSET),
        instruction(JUMP_GREATER_EQUAL, X32_BIT, 0, 1),
        instruction(RETURN, KILL_PROCESS),
        instruction(JUMP_GREATER, max(row[column] or 0 for row in NUMBERS.values()), 0, 1),
        instruction(RETURN, ERRNO | ENOSYS),
    ]
    always: list[int] = []
    for rule in profile["syscalls"]:
        numbers = [number for name in rule["names"] if (number := NUMBERS[name][column]) is not None]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args"):
            always += numbers
            continue
        for number in numbers:
            code += _conditional(number, _answer(rule), rule.get("args", []))
    for first, last in _ranges(always):
        code += [
            instruction(JUMP_GREATER_EQUAL, first, 0, 2),
            instruction(JUMP_GREATER, last, 1, 0),
            instruction(RETURN, ALLOW),
        ]
    code.append(instruction(RETURN, ERRNO | int(profile["defaultErrnoRet"])))
    return b"".join(code)


def _answer(rule: dict[str, Any]) -> int:
    return ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else ERRNO | int(rule["errnoRet"])


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """The numbers as runs without gaps: three instructions each, where a list of all would take two each."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


def _conditional(number: int, answer: int, args: list[dict[str, Any]]) -> list[bytes]:
    """`answer` when every argument matches; otherwise on to the next rule, with the number loaded again."""
    tests: list[bytes] = []
    for left, arg in zip(range(len(args), 0, -1), args, strict=True):
        if arg["op"] != "SCMP_CMP_MASKED_EQ":
            raise ValueError(f"{arg['op']} is not supported")
        tests += [
            # The low half is enough: the kernel reads these arguments as 32 bits.
            instruction(LOAD, ARGS_OFFSET + 8 * int(arg["index"])),
            instruction(AND, int(arg["value"])),
            instruction(JUMP_EQUAL, int(arg["valueTwo"]), 0, 1 + 3 * (left - 1)),
        ]
    if not tests:
        return [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, answer)]
    tests += [instruction(RETURN, answer), instruction(LOAD, NUMBER_OFFSET)]
    return [instruction(JUMP_EQUAL, number, 0, len(tests)), *tests]
