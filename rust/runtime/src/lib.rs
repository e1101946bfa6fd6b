//! File descriptors, threads and the clock: TUN devices, sockets, the event loop.
