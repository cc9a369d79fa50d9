#!/usr/bin/env python3
"""Reads a journal directory of format version 1, from FORMAT.md alone, and prints a JSON object for
each event, void and lost record. Exit code 3: something that was promised durable does not verify."""
import json, os, re, struct, sys

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)

def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for b in data:
        crc = TABLE[(crc ^ b) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF

def damage(name, offset, what):
    sys.exit(print(f"{name}: offset {offset}: {what}", file=sys.stderr) or 3)

def durable(m, segment):  # the newer of two copies: generation, offset, sequence
    pairs = [(0, 0, 0)]
    for at in (4096 + 256, 4096 + 384):
        if crc32c(m[at:at + 24] + struct.pack("<Q", segment)) == struct.unpack_from("<Q", m, at + 24)[0]:
            pairs.append(struct.unpack_from("<QQq", m, at))
    return max(pairs)

def record(m, at, salt):  # sequence, time, type, kind, flags, body, next offset; None if it does not verify
    if at + 32 > len(m):
        return None
    length, crc, sequence, time, typ, kind, flags, _ = struct.unpack_from("<IIqqHBBI", m, at)
    after = at + length + 7 & ~7
    if length < 32 or after > len(m) or not 1 <= kind <= 7 or flags > 1 or any(m[at + length:after]):
        return None
    body = m[at + 32:at + length]
    if crc32c(body + struct.pack("<QQQ", salt, at, length) + m[at + 8:at + 32]) != crc:
        return None
    return sequence, time, typ, kind, flags, body, after

last, last_time, journal, sealed = None, 0, None, True
for name in sorted(n for n in os.listdir(sys.argv[1]) if re.fullmatch(r"\d{20}-[0-9a-f]{16}\.seg", n)):
    m = open(os.path.join(sys.argv[1], name), "rb").read()
    magic, version, flags, start, uuid, segment, first, _, size, salt, key = struct.unpack_from("<8sHHI16sQqqQQI", m)
    if crc32c(m[:4092]) != struct.unpack_from("<I", m, 4092)[0] or magic != b"HEADRACE" or size != len(m):
        damage(name, 0, "bad header")
    if version != 1 or flags or key:
        sys.exit(f"{name}: format version {version}, flags {flags}, key {key}: not known here")
    if not sealed or journal not in (None, uuid) or last not in (None, first - 1):
        damage(name, 0, "does not follow the segment before")
    at, sealed, last, journal, batch = start, False, first - 1, uuid, []
    end, expected = start, last
    while not sealed and (r := record(m, at, salt)):
        sequence, time, typ, kind, flags, body, at = r
        if sequence != expected + (kind in (1, 2, 6)) or time < last_time:
            break
        expected, last_time = sequence, time
        batch.append(r)
        if not flags & 1:  # an atomic batch is there if its last record is
            for s, t, typ, k, f, b, _ in batch:
                if k in (1, 2, 6):
                    print(json.dumps({"sequence": s, "time": t, "type": typ, "kind": k, "body": b.hex() if k == 1 else ""}))
            end, last, batch, sealed = at, expected, [], kind == 5
    _, offset, promised = durable(m, segment)
    if not sealed and (offset > end or promised > last):
        damage(name, end, f"sequence {last + 1} was promised and does not verify")
    if sealed and any(m[end:]):
        damage(name, end, "bytes behind the seal")
