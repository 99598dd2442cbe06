"""seccomp.json, the list of refused system calls, as the BPF program that bubblewrap loads; Docker takes the file.

The program follows struct seccomp_data and struct sock_filter of linux/seccomp.h and linux/filter.h. Calls of a foreign
architecture (i386 or x32 on x86-64) kill the process, because their numbers mean other calls.
"""

import functools
import json
import platform
import struct
from pathlib import Path
from typing import Any

PROFILE = Path(__file__).with_name("seccomp.json")
NUMBER_OFFSET = 0
ARCH_OFFSET = 4
ARGS_OFFSET = 16
LOAD = 0x20
AND = 0x54
JUMP_EQUAL = 0x15
JUMP_GREATER_EQUAL = 0x35
RETURN = 0x06
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
ALLOW = 0x7FFF0000
X32_BIT = 0x40000000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Name -> number on x86-64 and on arm64; None where that architecture has no such call.
NUMBERS: dict[str, tuple[int, int | None]] = {
    "_sysctl": (156, None),
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
}


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def load_profile() -> dict[str, Any]:
    profile: dict[str, Any] = json.loads(PROFILE.read_text())
    return profile


@functools.cache
def program(machine: str = platform.machine()) -> bytes | None:
    """The filter for this machine, or None on an architecture whose numbers this table lacks."""
    if machine not in AUDIT_ARCH:
        return None
    column = list(AUDIT_ARCH).index(machine)
    code = [
        instruction(LOAD, ARCH_OFFSET),
        instruction(JUMP_EQUAL, AUDIT_ARCH[machine], 1, 0),
        instruction(RETURN, KILL_PROCESS),
        instruction(LOAD, NUMBER_OFFSET),
        instruction(JUMP_GREATER_EQUAL, X32_BIT, 0, 1),
        instruction(RETURN, KILL_PROCESS),
    ]
    for rule in load_profile()["syscalls"]:
        for name in rule["names"]:
            number = NUMBERS[name][column]
            if number is not None:
                code += _rule(number, ERRNO | int(rule["errnoRet"]), rule.get("args", []))
    code.append(instruction(RETURN, ALLOW))
    return b"".join(code)


def _rule(number: int, answer: int, args: list[dict[str, Any]]) -> list[bytes]:
    if not args:
        return [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, answer)]
    (arg,) = args
    if arg["op"] != "SCMP_CMP_MASKED_EQ":
        raise ValueError(f"{arg['op']} is not supported")
    return [
        instruction(JUMP_EQUAL, number, 0, 5),
        # The low half is enough: the kernel reads these arguments as 32 bits.
        instruction(LOAD, ARGS_OFFSET + 8 * int(arg["index"])),
        instruction(AND, int(arg["value"])),
        instruction(JUMP_EQUAL, int(arg["valueTwo"]), 0, 1),
        instruction(RETURN, answer),
        instruction(LOAD, NUMBER_OFFSET),
    ]
