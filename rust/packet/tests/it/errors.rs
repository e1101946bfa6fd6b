//! `icmp::unreachable` and its limits.
