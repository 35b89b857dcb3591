"""The one error that is the user's to mend; the command line prints it and exits with code 2."""


class InputError(ValueError):
    """Bad input: the message says what was got, what is allowed, and what to do next."""
