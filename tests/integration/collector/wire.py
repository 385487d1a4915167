"""Waft's protocol by hand (docs/PROTOCOL.md), for tests: frames, the few messages
that they need, and a client for Export and Query. Blocking, with deadlines."""
import os
import socket
import struct
import time

MAGIC = b"WAFT"
CALL, MESSAGE, END, STATUS, CREDIT, CANCEL, PING, PONG, VERSION = range(1, 10)
DEADLINE_S = 60

_TABLE = []
for _i in range(256):
    _c = _i
    for _ in range(8):
        _c = (_c >> 1) ^ (0x82F63B78 if _c & 1 else 0)
    _TABLE.append(_c)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frame(kind, stream, payload=b"", version=1, crc=None):
    head = MAGIC + struct.pack("<BBHII", version, kind, 0, stream, len(payload))
    if crc is None:
        crc = crc32c(head + payload)
    return head + struct.pack("<I", crc) + payload


# ---- protobuf ------------------------------------------------------------------


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def text(field, value):
    if isinstance(value, str):
        value = value.encode()
    return varint(field << 3 | 2) + varint(len(value)) + value


def fixed64(field, value):
    return varint(field << 3 | 1) + struct.pack("<Q", value)


def fields(data):
    """The fields of a message: {number: [values]}."""
    found, at = {}, 0

    def read():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = read()
        kind = tag & 7
        if kind == 0:
            value = read()
        elif kind == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        elif kind == 5:
            value, at = struct.unpack_from("<I", data, at)[0], at + 4
        else:
            length = read()
            value, at = data[at:at + length], at + length
        found.setdefault(tag >> 3, []).append(value)
    return found


def one(message, field, default=0):
    return message.get(field, [default])[-1]


# ---- batches -------------------------------------------------------------------

_M = (1 << 64) - 1


def mix(x):
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & _M
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & _M
    return x ^ x >> 31


def span(sequence, distance=0, trace_id=None, parent=0, pending=False, end=0, duration=1000):
    """One Span: `distance` to its parent in the section, or `parent`'s id."""
    body = fixed64(1, (end & 0xFFFFFFFF) | duration << 32)
    body += fixed64(2, sequence | distance << 32 | 1 << 48)
    if trace_id is not None:
        body += text(3, text(1, trace_id))
    if parent:
        body += fixed64(9, parent)
    if pending:
        body += text(12, number(1, 2))
    return body


def batch(spans, id_base, service="test", name="test.operation", now_ns=None):
    now_ns = time.time_ns() if now_ns is None else now_ns
    clock = (fixed64(2, now_ns) + fixed64(3, now_ns) + fixed64(4, now_ns) + fixed64(5, now_ns)
             + fixed64(6, struct.unpack("<Q", struct.pack("<d", 1.0))[0]))
    section = fixed64(1, id_base) + fixed64(2, now_ns - 1000000)
    section += b"".join(text(5, one_span) for one_span in spans)
    return (text(1, text(1, service) + number(2, 42) + text(3, "host")) + text(2, clock)
            + text(3, number(1, 1) + text(2, name) + text(3, "core")) + text(4, section))


def tree_batch(traces=1, spans_each=4, **more):
    """A batch of small whole traces; returns (bytes, trace ids)."""
    ids, spans, sequence = [], [], 1
    for _ in range(traces):
        trace_id = os.urandom(16)
        ids.append(trace_id)
        for i in range(spans_each):
            spans.append(span(sequence, distance=i, trace_id=trace_id if i == 0 else None, end=i))
            sequence += 1
    return batch(spans, int.from_bytes(os.urandom(7), "little") << 8, **more), ids


def uuid_text(trace_id):
    h = trace_id.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


# ---- connections ---------------------------------------------------------------


class Closed(Exception):
    """The other side ended the connection."""


class Connection:
    def __init__(self, path):
        """path: of a Unix socket, or a socket that is connected."""
        if isinstance(path, socket.socket):
            self.socket = path
        else:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(DEADLINE_S)
            self.socket.connect(path)
        self.buffer = b""
        self.stream = 0

    def close(self):
        self.socket.close()

    def send(self, kind, stream, payload=b""):
        try:
            self.socket.sendall(frame(kind, stream, payload))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed() from error

    def send_raw(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next frame: (type, stream, payload)."""
        while True:
            if len(self.buffer) >= 20:
                length = struct.unpack_from("<I", self.buffer, 12)[0]
                if len(self.buffer) >= 20 + length:
                    whole, self.buffer = self.buffer[:20 + length], self.buffer[20 + length:]
                    crc = struct.unpack_from("<I", whole, 16)[0]
                    assert crc32c(whole[:16] + whole[20:]) == crc, "a frame's checksum is wrong"
                    return whole[5], struct.unpack_from("<I", whole, 8)[0], whole[20:]
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError as error:
                raise Closed() from error
            if not data:
                raise Closed()
            self.buffer += data

    def call(self, method, header=b""):
        self.stream += 1
        self.send(CALL, self.stream, text(1, method) + header)
        return self.stream

    def unary(self, method, request=b"", header=b""):
        """(status code, message of the status, answer or None)."""
        stream = self.call(method, header)
        self.send(MESSAGE, stream, request)
        try:
            self.send(END, stream)
        except Closed:
            pass  # answered already, perhaps, and then closed
        answer = None
        while True:
            kind, on, payload = self.receive()
            if kind == MESSAGE and on == stream:
                answer = payload
            elif kind == STATUS and on in (stream, 0):
                status = fields(payload)
                return one(status, 1), one(status, 2, b"").decode(), answer


class Exporter(Connection):
    """A client of Export."""

    def __init__(self, path, client=None, acknowledged=0, hello=True, header=b""):
        super().__init__(path)
        self.client = client or os.urandom(16)
        self.durable = 0
        self.credit = 0
        self.refusals = {}
        self.welcome = None
        self.goodbye = False
        self.status = None
        self.sequence = 0
        self.on = self.call("/waft.v1.Collector/Export", header)
        if hello:
            self.say_hello(acknowledged)

    def say_hello(self, acknowledged=0):
        body = (text(1, self.client) + number(2, 1) + text(3, "test 1") + text(4, "test")
                + number(5, os.getpid()) + number(6, acknowledged))
        self.request(text(3, body))
        while self.welcome is None and self.status is None:
            self.take()
        self.sequence = self.durable

    def request(self, body, sequence=0, emitted=0):
        self.send(MESSAGE, self.on, number(1, sequence) + number(2, emitted) + body)

    def send_batch(self, data, sequence=None, emitted=0):
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        self.request(text(4, data), sequence, emitted)

    def send_drop(self, reason, spans):
        self.sequence += 1
        self.request(text(5, text(1, reason) + number(2, spans)), self.sequence)

    def send_goodbye(self, emitted=0):
        self.request(text(6, number(1, emitted)))

    def take(self):
        kind, _, payload = self.receive()
        if kind == STATUS:
            status = fields(payload)
            self.status = (one(status, 1), one(status, 2, b"").decode())
        elif kind == MESSAGE:
            response = fields(payload)
            self.durable = max(self.durable, one(response, 1))
            for refusal in response.get(2, []):
                parts = fields(refusal)
                self.refusals[one(parts, 1)] = one(parts, 2)
            self.credit = max(self.credit, one(response, 3))
            if 4 in response:
                self.welcome = fields(one(response, 4))
            self.goodbye |= bool(one(response, 5))

    def wait(self, sequence):
        while self.durable < sequence:
            if self.status is not None:
                raise Closed(self.status)
            self.take()

    def wait_status(self):
        while self.status is None:
            self.take()
        return self.status

    def wait_closed(self):
        try:
            while True:
                self.take()
        except Closed:
            return self.status
