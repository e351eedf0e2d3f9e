"""The exit codes of the command line."""

FAULTY = 1  # something failed, or was found
USAGE = 2  # the command line itself is wrong
INTERRUPTED = 130  # by Ctrl-C, while nothing ran yet
STOPPED_BY = 128  # that, and the number of a signal
UNREAD = STOPPED_BY + 13  # as the shell says of programs that SIGPIPE ends
