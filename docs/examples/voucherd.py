#!/usr/bin/env python3
"""A client of voucherd's HTTP API. Python 3.8 or later, nothing else. Copy it whole.

    GATEWAY=https://voucherd.example TOKEN=voucherd_… python3 voucherd.py upload [--wait] FILE ORDER [REFERENCE]
    … python3 voucherd.py wait ID
    … python3 voucherd.py list [NAME=VALUE…]        as in list state=rejected since=24h
    … python3 voucherd.py feed CURSORFILE           a page of what ended since the last time
    WEBHOOK_SECRET=whsec_… python3 voucherd.py verify ID TIMESTAMP SIGNATURE <BODY
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

FINAL = {"delivered", "rejected", "expired", "discarded"}
PAUSES = (0.5, 1, 2, 4, 8, None)  # seconds between tries
TOLERANCE = 300  # seconds that a webhook's time may be off


class VoucherdError(Exception):
    """What a call came to. status is HTTP's, 0 without an answer."""

    def __init__(self, message, status=0):
        super().__init__(message)
        self.status = status


class Voucherd:
    def __init__(self, gateway, token):
        self.gateway, self.token = gateway.rstrip("/"), token

    def upload(self, file, order_id, **fields):
        """Enqueues the voucher in a file and gives its upload. order_id is text.

        fields are reference, userId, account, again, replace and reason, all text.
        """
        boundary = uuid.uuid4().hex
        body = b""
        for name, value in {"orderId": order_id, **fields}.items():
            body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="voucher"; filename="voucher"\r\n\r\n'.encode()
        with open(file, "rb") as f:
            body += f.read()
        body += f"\r\n--{boundary}--\r\n".encode()
        return self._call("/v1/uploads", body, "multipart/form-data; boundary=" + boundary)

    def get(self, upload_id):
        return self._call("/v1/uploads/" + urllib.parse.quote(upload_id, safe=""))

    def wait(self, upload_id):
        """Gives the upload once it has ended. While PandaPon's API is away, that can take days."""
        while True:
            found = self.get(upload_id)
            if found["state"] in FINAL:
                return found
            time.sleep(2)

    def list(self, **filters):
        """Gives uploads one by one, newest first: state, orderId, requestId, code, account, since."""
        while True:
            page = self._call("/v1/uploads?" + urllib.parse.urlencode(filters))
            yield from page["uploads"]
            if not page.get("cursor"):
                return
            filters["cursor"] = page["cursor"]

    def events(self, after="", wait="30s"):
        """Gives the events after a cursor, and the cursor to go on from. It waits for the first one.

        Deal with the events, then keep the cursor. An event may come again, with the same id.
        """
        return self._call("/v1/events?" + urllib.parse.urlencode({"after": after, "wait": wait}))

    def _call(self, path, body=None, content_type=None):
        """Gives the answer. A call with a body is a POST.

        It tries again what may pass by itself. That is safe for uploads too: the same voucher for the same order is
        the same upload.
        """
        headers = {"Authorization": "Bearer " + self.token}
        if content_type:
            headers["Content-Type"] = content_type
        request = urllib.request.Request(self.gateway + path, body, headers)
        for pause in PAUSES:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code not in (503, 507) or pause is None:
                    raise VoucherdError(f"refused with HTTP {error.code}: {_detail(error)}", error.code) from error
            except (OSError, http.client.HTTPException) as error:
                if pause is None:
                    raise VoucherdError(f"no answer: {error}") from error
            time.sleep(pause)


def _detail(answer):
    """Says why a call was refused, if voucherd says it and not a proxy before it."""
    try:
        return json.load(answer)["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.reason


def verify(secret, event_id, timestamp, signature, body):
    """Gives the event of a webhook, or raises ValueError when it is not voucherd's.

    The next three are the headers webhook-id, webhook-timestamp and webhook-signature; body is the request's body as
    it came, as bytes.
    """
    try:
        old = abs(time.time() - int(timestamp)) > TOLERANCE
    except ValueError:
        old = True
    if old:
        raise ValueError("the webhook's time is off")
    key = base64.b64decode(secret[len("whsec_"):])
    signed = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    want = b"v1," + base64.b64encode(signed)
    if not any(hmac.compare_digest(want, s.encode()) for s in signature.split(" ")):
        raise ValueError("the webhook's signature is wrong")
    return json.loads(body)


def follow(client, file):
    """Prints a page of events, and then keeps the cursor in a file."""
    after = ""
    if os.path.exists(file):
        with open(file) as f:
            after = f.read().strip()
    page = client.events(after)
    for event in page["events"]:
        show(event)
    sys.stdout.flush()
    with open(file + ".new", "w") as f:
        f.write(page["cursor"])
    os.replace(file + ".new", file)


def show(event):
    print(event["id"], event["type"], event["data"].get("id", ""), sep="\t")


def main(command="", *args):
    if command == "verify" and len(args) == 3:
        show(verify(os.environ["WEBHOOK_SECRET"], *args, sys.stdin.buffer.read()))
        return 0
    client = Voucherd(os.environ["GATEWAY"], os.environ["TOKEN"])
    waits = command == "upload" and args[:1] == ("--wait",)
    args = args[waits:]
    if command == "upload" and len(args) in (2, 3):
        upload_id = client.upload(args[0], args[1], reference="".join(args[2:]))["id"]
        print(upload_id, flush=True)
        if not waits:
            return 0
    elif command == "wait" and len(args) == 1:
        upload_id = args[0]
    elif command == "list":
        for u in client.list(**dict(a.split("=", 1) for a in args)):
            print(u["id"], u["state"], u["orderId"], sep="\t")
        return 0
    elif command == "feed" and len(args) == 1:
        follow(client, args[0])
        return 0
    else:
        print(__doc__, file=sys.stderr)
        return 2
    state = client.wait(upload_id)["state"]
    print(state)
    return 0 if state == "delivered" else 4


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except (VoucherdError, ValueError, OSError) as error:
        sys.exit(str(error))
    except KeyError as error:
        sys.exit(f"{error} is not set")
