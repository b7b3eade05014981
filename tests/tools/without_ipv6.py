#!/usr/bin/env python3
"""A command for which the system has no IPv6, as with a kernel that was built without it: a seccomp filter refuses it such
sockets, and leaves all others.

usage: without_ipv6.py COMMAND [ARGUMENT]...     77 where no filter can be had
"""
import ctypes
import errno
import os
import socket
import struct
import sys

SOCKET = {"x86_64": 41, "aarch64": 198}  # the number of socket(2): the kernel's asm/unistd.h
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
NR, FIRST = 0, 16  # where struct seccomp_data has the call's number, and its first argument
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def main():
    number = SOCKET.get(os.uname().machine)
    code = b"".join(struct.pack("HBBI", *line) for line in (
        (LOAD, 0, 0, NR), (EQUAL, 0, 3, number or 0),
        (LOAD, 0, 0, FIRST), (EQUAL, 0, 1, socket.AF_INET6),
        (RETURN, 0, 0, ERRNO | errno.EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)))
    libc = ctypes.CDLL(None, use_errno=True)
    if number is None or libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(code) // 8, code)), 0, 0) != 0:
        print("no seccomp filter here", file=sys.stderr)
        sys.exit(77)
    try:
        socket.socket(socket.AF_INET6)
    except OSError as e:
        if e.errno == errno.EAFNOSUPPORT:
            os.execvp(sys.argv[1], sys.argv[1:])
    sys.exit("the filter lets IPv6 through")


main()
