"""AF_XDP for the commands: which interfaces it is refused on, and the privileged process that attaches the program.

The book process makes its AF_XDP socket itself, which needs CAP_NET_RAW, and gives the capability up. What needs more
(CAP_NET_ADMIN and CAP_BPF) is done by `wirebook xdp`, a process of its own that lives for that moment only: it is given
the socket, attaches the XDP program and hands the program's link back, over a Unix socket (`grant`). The link's only
holder is then the book process: when that ends, for whatever reason, the kernel takes the program off.
"""
