"""The laboratory: a Client, a Gateway and a site in network namespaces of one Linux host.

Real kernel stacks, nginx, curl, tcpdump and a resolver stand around the core, and their verdict is
what counts. The demo, the system tests and the benchmarks run in it. It is also the only way to the
`halt` policy, which no setting of an endpoint leads to.
"""
