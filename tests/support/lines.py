"""Lines of a program as they come, each wait with a deadline."""
import os
import select


class Lines:
    """Reads a pipe past Python's buffers, so that waiting sees every line."""

    def __init__(self, pipe):
        self.fd = pipe.fileno()
        self.held = b""

    def ready(self, seconds):
        """Whether a line (or the end) comes within that time."""
        while b"\n" not in self.held:
            if not select.select([self.fd], [], [], seconds)[0]:
                return False
            data = os.read(self.fd, 65536)
            if not data:
                return True
            self.held += data
        return True

    def next(self, seconds=60):
        """The next line with its newline; what is left at the end."""
        if not self.ready(seconds):
            raise TimeoutError("no line came")
        line, newline, self.held = self.held.partition(b"\n")
        return (line + newline).decode()
