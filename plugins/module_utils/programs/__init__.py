"""The programs that a node has in /usr/local/sbin, one module each.

They are installed as the package `wirebook_node.programs` below /usr/local/lib/wirebook, with the packages beside this
one that they use. Standard library only, Python 3.11 or later.
"""

VERSION = "0.1.0"
