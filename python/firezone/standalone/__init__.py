"""Without a portal: a TOML file on each side says who may reach what.

`tables` reads the files, `identity` derives what both sides must agree on from keys and addresses,
`client` and `gateway` turn tables into commands of the core, and a changed table into the commands
that change it.
"""
