"""The ledger of a host: what was there before wirebook's first change, and how it is taken back."""
