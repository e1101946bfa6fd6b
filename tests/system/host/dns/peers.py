"""Programs that are started here and installed nowhere, and what systemd-resolved needs."""

from __future__ import annotations

import os
from pathlib import Path

PEERS = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[4] / "target")) / "peers"

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="org.freedesktop.resolve1"/>
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
USERS = """
cp /etc/passwd /etc/group /run/files/
echo 'systemd-resolve:x:64901:64901::/:/usr/sbin/nologin' >> /run/files/passwd
echo 'systemd-resolve:x:64901:' >> /run/files/group
echo 'firezone:x:64902:64902::/:/usr/sbin/nologin' >> /run/files/passwd
echo 'firezone:x:64902:' >> /run/files/group
mount --bind /run/files/passwd /etc/passwd
mount --bind /run/files/group /etc/group
mkdir -p /run/dbus /run/systemd/resolve
chown 64901:64901 /run/systemd/resolve
cat > /run/files/bus.conf
"""
