"""Programs for the two ends of a UDP flow that is silent for long, and a wall clock that jumps."""

from typing import Final

__all__ = ["ASKING", "CLOCK", "SPEAKING"]

SPEAKING: Final = r'''
"""Answers every datagram with the place that it came from; speaks to each place by itself when its
first datagram was so many seconds ago. Arguments: addresses and port, seconds."""
import selectors, socket, sys, time

*addresses, port, seconds = sys.argv[1:]
waiting, due = selectors.DefaultSelector(), {}
for address in addresses:
    here = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    here.bind((address, int(port)))
    waiting.register(here, selectors.EVENT_READ)
print("speaking", flush=True)
while True:
    for key, _ in waiting.select(0.2):
        data, place = key.fileobj.recvfrom(2048)
        if data == b"wait":
            due.setdefault((key.fileobj, place), time.monotonic() + float(seconds))
        key.fileobj.sendto(repr(place[:2]).encode(), place)
    for (here, place), at in list(due.items()):
        if time.monotonic() >= at:
            here.sendto(b"unasked", place)
            del due[here, place]
'''

ASKING: Final = r'''
"""Two flows to each target, both answered and then silent: in one the site speaks first again, in
the other this end does. Prints a line for each: what, target, whether it was as it should be.
Arguments: targets, port, seconds."""
import socket, sys, time

*targets, port, seconds = sys.argv[1:]
flows = []
for target in targets:
    for family, *_, address in socket.getaddrinfo(target, int(port), type=socket.SOCK_DGRAM):
        for first in ("site", "client"):
            there = socket.socket(family, socket.SOCK_DGRAM)
            there.connect(address)
            there.settimeout(5)
            there.send(b"wait" if first == "site" else b"hello")
            flows.append((first, target, address[0], there, there.recv(2048)))
print("silent", flush=True)
time.sleep(float(seconds) + 3)
for first, target, address, there, place in flows:
    try:
        if first == "site":
            assert there.recv(2048) == b"unasked"
        # The site must see the same place as before: the same flow, in every table on the way.
        there.send(b"again")
        good = there.recv(2048) == place
    except TimeoutError:
        good = False
    print(first, target, address, good, flush=True)
'''

CLOCK: Final = r"""
/* Adds the seconds that stand in a file to the wall clock, and to no other clock. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
    char text[32] = {0};
    const char *path = getenv("CLOCK_SHIFT");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t len = read(file, text, sizeof text - 1);
    close(file);
    return len > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = syscall(SYS_clock_gettime, clock, at);
    if (result == 0 && clock == CLOCK_REALTIME) at->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *at, void *zone) {
    int result = syscall(SYS_gettimeofday, at, zone);
    if (result == 0) at->tv_sec += shift();
    return result;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""
