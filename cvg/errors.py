"""The one error that is meant for people."""


class UserError(Exception):
    """Something that the user can mend.

    The message names the file and the field, says what was found, what was expected and what to
    do next. The command line prints it without a traceback.
    """
