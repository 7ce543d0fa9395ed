"""From a venue's bytes to records: a scanner for each venue, its sequence rule, and the chain of a followed book."""
