"""The scripting API: the NAT of names, driven by hand, in batches, in a time of your own.

Everything here is deterministic: `now` is an argument (monotonic seconds, a float), and what looks
random comes from a seed. Packets are anything with the buffer protocol, one whole IP packet each;
addresses are `ipaddress` objects or strings. Objects may be shared between threads.

    >>> from firezone.nat import FlowTable, PacketBatch, udp
    >>> table = FlowTable(seed=1)
    >>> out = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping")])
    >>> sent = table.translate_out(out, addresses={"100.96.0.1": "10.0.0.7"}, now=0.0)
    >>> sent.verdicts
    ['translated']
    >>> table.flows()[0].real
    '10.0.0.7'
    >>> back = PacketBatch([udp("10.0.0.7", 53, "100.64.0.1", 5000, b"pong")])
    >>> reply = table.translate_in(back, now=0.1)
    >>> reply.packets[0][12:16].hex()  # the source is the proxy address again
    '64600001'
"""

from __future__ import annotations

from firezone._core import VERDICTS, Columns, FlowColumns, PacketBatch, Translated, Verdicts

from .counters import BufferCounters, FlowCounters, ResourceNatCounters, TranslationsCounters
from .flow_table import Flow, FlowEvent, FlowTable
from .imported import Imported
from .packet_buffer import PacketBuffer
from .packets import tcp, udp
from .pair import Deliveries, Pair
from .resource_nat import ResourceNat
from .translations import Translations

__all__ = [
    "VERDICTS",
    "BufferCounters",
    "Columns",
    "Deliveries",
    "Flow",
    "FlowColumns",
    "FlowCounters",
    "FlowEvent",
    "FlowTable",
    "Imported",
    "PacketBatch",
    "PacketBuffer",
    "Pair",
    "ResourceNat",
    "ResourceNatCounters",
    "Translated",
    "Translations",
    "TranslationsCounters",
    "Verdicts",
    "tcp",
    "udp",
]
