"""What the laboratory reads off its hosts."""

from __future__ import annotations

from firezone.lab.hosts import drops_of_port

# Two sockets on port 52625 (CD91), one on another port.
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 00000000:CD91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11 2 0 3
  101: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12 2 0 900
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 00000000000000000000000000000000:CD91 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 13 2 0 4
"""  # noqa: E501 - as the kernel writes it


def test_drops_of_both_families_of_a_port_are_summed_up() -> None:
    assert drops_of_port(TABLE, 52625) == 7
    assert drops_of_port(TABLE, 1) == 0
