//! A seeded sans-I/O link with latency, jitter, loss, duplication, reordering and bandwidth.
