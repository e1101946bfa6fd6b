//! Bytes of packets: checked views, trains, rewriting with incremental checksums, ICMP errors.
