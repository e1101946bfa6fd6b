"""Programs of somebody who means no good, and of who suffers from it, for a namespace of a test."""

from typing import Final

__all__ = ["ECHO", "FLOOD", "INJECT", "SPOOF", "STEADY"]

FLOOD: Final = r'''
"""Initiations with a right first MAC and nothing else right, from addresses that do not exist.

Arguments: the key that they are for, the port, how many a second, and for how many seconds; with
`wrong` at the end the first MAC is wrong too. Prints how many were sent, and in what time.
"""
import base64, ctypes, hashlib, os, socket, struct, sys, time

key, port, rate, seconds = base64.b64decode(sys.argv[1]), *map(int, sys.argv[2:5])
mac_key = hashlib.blake2s(b"mac1----" + key).digest() if "wrong" not in sys.argv else bytes(32)
target = socket.inet_aton("192.0.2.2")
COUNT, AT_ONCE = 4000, 100

class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]

class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
                ("parts", ctypes.c_void_p), ("count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("hole", ctypes.c_uint32), ("sent", ctypes.c_uint32)]

raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
raw.connect(("192.0.2.2", 0))
datagrams = []
for number in range(COUNT):
    body = struct.pack("<II", 1, number) + os.urandom(108)
    body += hashlib.blake2s(body, key=mac_key, digest_size=16).digest() + bytes(16)
    udp = struct.pack("!HHHH", 1024 + number, port, 8 + len(body), 0)
    source = socket.inet_aton(f"198.18.{number >> 8}.{number & 255}")
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 17, 0, source, target)
    datagrams.append(ctypes.create_string_buffer(head + udp + body, 28 + len(body)))
parts = (Part * COUNT)(*[Part(ctypes.addressof(d), len(d)) for d in datagrams])
messages = (Message * COUNT)(*[
    Message(parts=ctypes.addressof(parts) + n * ctypes.sizeof(Part), count=1) for n in range(COUNT)
])
sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
print("flooding", flush=True)
begin = time.monotonic()
sent = 0
while (passed := time.monotonic() - begin) < seconds:
    if sent >= passed * rate:
        time.sleep(0.001)
        continue
    first = sent % COUNT
    at = ctypes.c_void_p(ctypes.addressof(messages) + first * ctypes.sizeof(Message))
    sent += max(0, sendmmsg(raw.fileno(), at, min(AT_ONCE, COUNT - first), 0))
print(sent, time.monotonic() - begin, flush=True)
'''

SPOOF: Final = r'''
"""UDP packets into a TUN device's route, by a packet socket: first from foreign addresses."""
import socket, struct, sys

device, target, foreign, own = sys.argv[1:]

def total(data):
    if len(data) % 2:
        data += b"\0"
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return ~value & 0xFFFF

def packet(source, payload):
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    length = 8 + len(payload)
    pseudo = ends + struct.pack("!BBH", 0, 17, length)
    udp = struct.pack("!HHHH", 5555, 7777, length, 0)
    check = total(pseudo + udp + payload) or 0xFFFF
    udp = struct.pack("!HHHH", 5555, 7777, length, check)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0) + ends
    head = head[:10] + struct.pack("!H", total(head)) + head[12:]
    return head + udp + payload

out = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
for source in (foreign, "192.0.2.1", "10.77.0.50", "127.0.0.1"):
    for _ in range(50):
        out.sendto(packet(source, b"1234567"), (device, 0x0800))
out.sendto(packet(own, b"own"), (device, 0x0800))
'''

INJECT: Final = r'''
"""Datagrams to an address, caught on their way, sent again as they are and with a bit turned."""
import socket, sys, time

gateway = socket.inet_aton(sys.argv[1])
catch = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
catch.bind(("wan", 0x0003))
catch.settimeout(1)
again = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
end = time.monotonic() + 3
ours, sent = set(), 0
while time.monotonic() < end and sent < 4000:
    try:
        data, place = catch.recvfrom(65536)
    except TimeoutError:
        continue
    if data[0] != 0x45 or data[16:20] != gateway or data[9] != 17 or len(data) > 1400:
        continue
    if data in ours:
        continue
    at = 28 + sent % max(1, len(data) - 28)
    turned = bytearray(data)
    turned[at] ^= 1 << sent % 8
    # Without a checksum, or the kernel would drop it.
    turned[26:28] = b"\0\0"
    for message in (data[:26] + b"\0\0" + data[28:], bytes(turned)):
        ours.add(message)
        again.sendto(message, (sys.argv[1], 0))
        sent += 1
print(sent)
'''

ECHO: Final = r'''
"""Sends every datagram back to where it came from. Arguments: address and port."""
import socket, sys

family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
here = socket.socket(family, socket.SOCK_DGRAM)
here.bind((sys.argv[1], int(sys.argv[2])))
print("echoing", flush=True)
while True:
    data, sender = here.recvfrom(65536)
    here.sendto(data, sender)
'''

STEADY: Final = r'''
"""Numbered datagrams of 200 bytes to an echo, at a steady rate; prints how many, and how many came
back once. Arguments: address, port, how many a second, for how many seconds."""
import socket, struct, sys, threading, time

name, port, rate, seconds = sys.argv[1], *map(int, sys.argv[2:5])
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
there.connect((name, port))
there.settimeout(0.2)
back, over = set(), threading.Event()

def hear():
    while not over.is_set():
        try:
            back.add(struct.unpack_from("!Q", there.recv(2048))[0])
        except TimeoutError:
            pass

hearing = threading.Thread(target=hear)
hearing.start()
there.send(struct.pack("!Q", 0).ljust(200))
while 0 not in back:
    time.sleep(0.01)
print("steady", flush=True)
begin = time.monotonic()
sent = 1
while (passed := time.monotonic() - begin) < seconds:
    if sent > passed * rate:
        time.sleep(0.001)
        continue
    there.send(struct.pack("!Q", sent).ljust(200))
    sent += 1
time.sleep(3)
over.set()
hearing.join()
print(sent, len(back), flush=True)
'''
