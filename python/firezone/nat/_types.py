"""Types that the scripting API shares."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Address = str | IPv4Address | IPv6Address
Side = Literal["client", "gateway"]
