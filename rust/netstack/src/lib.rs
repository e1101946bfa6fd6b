//! Userspace TCP for DNS, sans-I/O.
