"""Read a delivery report on stdin with Python's own parser; print what it says as JSON."""
import email, email.policy, json, sys

raw = sys.stdin.buffer.read()
message = email.message_from_bytes(raw, policy=email.policy.default)
parts = list(message.iter_parts())
status = parts[1].get_payload()
last = parts[2]
returned = last.get_payload()
print(json.dumps({
    'headers': [[name.lower(), str(value)] for name, value in message.items()],
    'type': message.get_content_type(),
    'reportType': message.get_param('report-type'),
    'defects': [str(d) for d in message.defects] + [str(d) for p in message.walk() for d in p.defects],
    'types': [part.get_content_type() for part in parts],
    'text': parts[0].get_content(),
    'groups': [[[n.lower(), str(v)] for n, v in group.items()] for group in status],
    'returnedSubject': (returned[0]['subject'] if isinstance(returned, list) else None),
    'crlfOnly': b'\n' not in raw.replace(b'\r\n', b'') and b'\r' not in raw.replace(b'\r\n', b''),
    'longestLine': max(len(line) for line in raw.split(b'\r\n')),
}))
