"""Host set-up: what a role needs of the machine that it runs on, made and taken back again.

    plan         what a role wants, as data, and what follows from it: addresses, routes, rules
    linux        brings a Linux host to a plan, keeps it there, and undoes it
    journal      what was changed, written down before it is changed
    undo         takes back what a journal tells
    netlink      links, addresses, routes and rules of the kernel
    nftables     a table of our own
    sysctl       values below /proc/sys
    dns          who answers DNS queries on this host
    privilege    the rights that this takes, and giving up the others
    service      systemd units

Plans, rule sets, commands and texts are built by functions that touch nothing; what touches the
host is thin and one file per part of the system.
"""
