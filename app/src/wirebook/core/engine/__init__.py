"""The book process's work: arbitration of lines, recovery, and the turn that ties them to books."""
