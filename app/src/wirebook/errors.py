"""What goes wrong by a user's hand."""


class UserError(Exception):
    """One sentence that says what is wrong and what to do next. The command line prints it and exits 2."""
