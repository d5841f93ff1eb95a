#!/usr/bin/env python3
"""Enqueues a payment voucher and prints the upload's id. Python 3.8 or later, nothing else.

    GATEWAY=https://voucherd.example TOKEN=voucherd_… python3 upload.py [--wait] FILE ORDER [REFERENCE]
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

FINAL = {"delivered", "rejected", "expired", "discarded"}


def call(path, body=None, content_type=None):
    """Gives the answer. A call with a body is a POST.

    It tries again what may pass by itself. That is safe for uploads too: the same voucher for the same order is the
    same upload.
    """
    headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
    if content_type:
        headers["Content-Type"] = content_type
    request = urllib.request.Request(os.environ["GATEWAY"].rstrip("/") + path, body, headers)
    for pause in (0.5, 1, 2, 4, 8, None):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (503, 507) or pause is None:
                sys.exit(f"refused with HTTP {error.code}: {detail(error)}")
        except (OSError, http.client.HTTPException) as error:
            if pause is None:
                sys.exit(f"no answer: {error}")
        time.sleep(pause)


def detail(answer):
    """Says why a call was refused, if voucherd says it and not a proxy before it."""
    try:
        return json.load(answer)["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.reason


def upload(file, order_id, reference=""):
    boundary = uuid.uuid4().hex
    body = b""
    for name, value in (("orderId", order_id), ("reference", reference)):
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    body += f'--{boundary}\r\nContent-Disposition: form-data; name="voucher"; filename="voucher"\r\n\r\n'.encode()
    with open(file, "rb") as f:
        body += f.read()
    body += f"\r\n--{boundary}--\r\n".encode()
    return call("/v1/uploads", body, "multipart/form-data; boundary=" + boundary)


def wait(upload_id):
    while True:
        state = call("/v1/uploads/" + upload_id)["state"]
        if state in FINAL:
            return state
        time.sleep(2)


def main(args):
    waits = args[:1] == ["--wait"]
    args = args[waits:]
    if len(args) not in (2, 3):
        sys.exit("usage: upload.py [--wait] FILE ORDER [REFERENCE]")
    upload_id = upload(*args)["id"]
    print(upload_id, flush=True)
    if waits:
        state = wait(upload_id)
        print(state)
        sys.exit(0 if state == "delivered" else 4)


if __name__ == "__main__":
    main(sys.argv[1:])
