"""AMQP 0-9-1 on the wire: frames, methods, tables and properties, from the protocol's
definition. Nothing is checked that a test may want to send wrong, and what comes is
told as it came: table values keep their types."""

import json
import pathlib
import struct
from typing import NamedTuple

SPEC = json.loads((pathlib.Path(__file__).parents[2] / "proto/amqp/spec/amqp-0-9-1.json").read_text())
DOMAINS = dict(SPEC["domains"])
METHOD, HEADER, BODY, HEARTBEAT, END = 1, 2, 3, 8, 0xCE
PROTOCOL = b"AMQP\x00\x00\x09\x01"


class Field(NamedTuple):
    """An argument of a method, or a property."""

    name: str
    type: str
    default: object


class Kind(NamedTuple):
    """A method as the definition has it."""

    name: str
    ids: tuple[int, int]
    fields: list[Field]
    content: bool


def _field(one: dict) -> Field:
    kind = one.get("type") or DOMAINS[one["domain"]]
    empty = {"table": {}, "shortstr": "", "longstr": "", "bit": False}.get(kind, 0)
    return Field(one["name"].replace("-", "_"), kind, one.get("default-value", empty))


METHODS = {}
for _class in SPEC["classes"]:
    for _method in _class["methods"]:
        _kind = Kind(
            f"{_class['name']}.{_method['name']}",
            (_class["id"], _method["id"]),
            [_field(one) for one in _method["arguments"]],
            _method.get("content", False),
        )
        METHODS[_kind.name] = METHODS[_kind.ids] = _kind
PROPERTIES = [_field(one) for one in next(c for c in SPEC["classes"] if c["name"] == "basic")["properties"]]


class Typed(NamedTuple):
    """A table value of an exact type."""

    type: str
    value: object


# The fixed-size types of table values, as RabbitMQ has them.
NUMBERS = {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q", "f": "f", "d": "d", "T": "Q"}


def octets(value) -> bytes:
    """Text as UTF-8; bytes as they are."""
    return value if isinstance(value, bytes) else str(value).encode()


def short(value) -> bytes:
    """A short string. One that is too long is the caller's wish: its length is cut."""
    value = octets(value)
    return struct.pack("B", len(value) & 0xFF) + value


def long(value) -> bytes:
    """A long string."""
    value = octets(value)
    return struct.pack(">I", len(value)) + value


def typed(value) -> Typed:
    """The type that clients use for a Python value."""
    match value:
        case Typed():
            return value
        case bool():
            return Typed("t", value)
        case int():
            return Typed("I" if -(2**31) <= value < 2**31 else "l", value)
        case float():
            return Typed("d", value)
        case str() | bytes():
            return Typed("S", value)
        case dict():
            return Typed("F", value)
        case list():
            return Typed("A", value)
        case None:
            return Typed("V", None)
    raise TypeError(f"no table value: {value!r}")


def value_out(value) -> bytes:
    """A table value with its type."""
    kind, value = typed(value)
    out = kind.encode()
    match kind:
        case "t":
            return out + struct.pack("?", value)
        case "S" | "x":
            return out + long(value)
        case "F":
            return out + table_out(value)
        case "A":
            return out + long(b"".join(value_out(one) for one in value))
        case "D":
            return out + struct.pack(">BI", *value)
        case "V":
            return out
    if kind in NUMBERS:
        return out + struct.pack(">" + NUMBERS[kind], value)
    return out + octets(value)


def table_out(table) -> bytes:
    """A table; bytes are one already."""
    if isinstance(table, bytes):
        return table
    return long(b"".join(short(name) + value_out(value) for name, value in table.items()))


class Reader:
    """Reads values one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self.data):
            raise ValueError(f"cut off: {self.data!r}")
        return self.data[self.at - size : self.at]

    def number(self, form: str):
        return struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))[0]

    def short(self) -> bytes:
        return self.take(self.number("B"))

    def long(self) -> bytes:
        return self.take(self.number("I"))

    def more(self) -> bool:
        return self.at < len(self.data)

    def value(self) -> Typed:
        kind = self.take(1).decode()
        match kind:
            case "t":
                return Typed(kind, self.number("?"))
            case "S" | "x":
                return Typed(kind, text(self.long()))
            case "F":
                return Typed(kind, self.table())
            case "A":
                inner, values = Reader(self.long()), []
                while inner.more():
                    values.append(inner.value())
                return Typed(kind, values)
            case "D":
                return Typed(kind, [self.number("B"), self.number("I")])
            case "V":
                return Typed(kind, None)
        return Typed(kind, self.number(NUMBERS[kind]))

    def table(self) -> dict:
        inner, table = Reader(self.long()), {}
        while inner.more():
            name = text(inner.short())
            table[name] = inner.value()
        return table

    def field(self, kind: str):
        match kind:
            case "octet":
                return self.number("B")
            case "short":
                return self.number("H")
            case "long":
                return self.number("I")
            case "longlong" | "timestamp":
                return self.number("Q")
            case "shortstr":
                return text(self.short())
            case "longstr":
                return text(self.long())
            case "table":
                return self.table()
        raise ValueError(kind)


def text(data: bytes) -> str:
    """Bytes as text, whatever they are."""
    return data.decode("utf-8", "backslashreplace")


def field_out(kind: str, value) -> bytes:
    """An argument that is not a bit."""
    match kind:
        case "octet":
            return struct.pack("B", value)
        case "short":
            return struct.pack(">H", value)
        case "long":
            return struct.pack(">I", value)
        case "longlong" | "timestamp":
            return struct.pack(">Q", value)
        case "shortstr":
            return short(value)
        case "longstr":
            return long(value)
        case "table":
            return table_out(value)
    raise ValueError(kind)


def frame(kind: int, channel: int, payload: bytes, end: int = END) -> bytes:
    """A frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([end])


def method_out(name: str, arguments: dict) -> bytes:
    """The payload of a method frame."""
    kind = METHODS[name]
    out, bits = struct.pack(">HH", *kind.ids), []

    def flush():
        nonlocal out
        for start in range(0, len(bits), 8):
            out += bytes([sum(bool(bit) << at for at, bit in enumerate(bits[start : start + 8]))])
        bits.clear()

    unknown = set(arguments) - {field.name for field in kind.fields}
    if unknown:
        raise TypeError(f"{name} has no {', '.join(unknown)}")
    for field in kind.fields:
        value = arguments.get(field.name, field.default)
        if field.type == "bit":
            bits.append(value)
        else:
            flush()
            out += field_out(field.type, value)
    flush()
    return out


def method_in(payload: bytes) -> tuple[Kind, dict]:
    """What a method frame says."""
    reader = Reader(payload)
    kind, arguments, bits = METHODS[reader.number("H"), reader.number("H")], {}, 8
    for field in kind.fields:
        if field.type == "bit":
            if bits == 8:
                byte, bits = reader.number("B"), 0
            arguments[field.name] = bool(byte >> bits & 1)
            bits += 1
        else:
            bits = 8
            arguments[field.name] = reader.field(field.type)
    return kind, arguments


def header_out(size: int, properties: dict, class_id: int = 60, weight: int = 0) -> bytes:
    """The payload of a content header frame."""
    flags, out = 0, b""
    for at, field in enumerate(PROPERTIES):
        if properties.get(field.name) is not None:
            flags |= 1 << (15 - at)
            out += field_out(field.type, properties[field.name])
    return struct.pack(">HHQH", class_id, weight, size, flags) + out


def header_in(payload: bytes) -> tuple[int, dict]:
    """A content header's body size and properties."""
    reader = Reader(payload)
    reader.take(4)
    size, flags = reader.number("Q"), reader.number("H")
    return size, {f.name: reader.field(f.type) for at, f in enumerate(PROPERTIES) if flags >> (15 - at) & 1}
