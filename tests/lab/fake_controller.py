"""A controller that is none: HTTPS (or not even that) on ADDRESS PORT, and one kind of nonsense for every request.

usage: fake_controller.py ADDRESS PORT CERTIFICATE KEY MODE
modes: html nothing close huge plain badjson redirect garbage
       network (admits everybody, and names a network key of its own)
"ready" when it listens; what a client took is said on stdout ("sent N").
"""
import base64
import json
import os
import socket
import ssl
import sys
import threading

HTML = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"
HUGE = 10 << 30


def answer(body, kind, length=None, status=b"200 OK", more=b""):
    return (b"HTTP/1.1 " + status + b"\r\nContent-Type: " + kind + b"\r\nContent-Length: " +
            str(len(body) if length is None else length).encode() + b"\r\n" + more + b"\r\n" + body)


def send_huge(conn):
    conn.sendall(answer(b'{"challenge":"', b"application/json", HUGE))
    block = b"A" * (1 << 16)
    sent = 0
    try:
        while sent < HUGE:
            conn.sendall(block)
            sent += len(block)
    finally:
        print("sent", sent, flush=True)


def random_key():
    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def admit(conn, request):
    if request.startswith(b"GET /v1/challenge "):
        said, status = {"challenge": random_key(), "box_key": random_key(), "networks": []}, b"200 OK"
    else:
        said, status = {"device": 7, "name": "eve", "state": "active", "network_key": random_key()}, b"201 Created"
    conn.sendall(answer(json.dumps(said).encode(), b"application/json", status=status))


def reply(conn, mode, request):
    if mode == "html":
        conn.sendall(answer(HTML, b"text/html"))
    elif mode == "badjson":
        conn.sendall(answer(b'{"challenge":5,"box_key":[],"session":{},"device":"x"}', b"application/json"))
    elif mode == "redirect":
        conn.sendall(answer(b"", b"text/plain", status=b"302 Found",
                            more=b"Location: https://198.51.100.1/\r\n"))
    elif mode == "garbage":
        conn.sendall(bytes(range(256)) * 64)
    elif mode == "huge":
        send_huge(conn)
    elif mode == "network":
        admit(conn, request)
    elif mode == "nothing":
        threading.Event().wait()


def read_request(conn):
    """One whole request; nothing at the end."""
    request = b""
    while b"\r\n\r\n" not in request or len(request) < length_of(request):
        more = conn.recv(65536)
        if not more:
            return b""
        request += more
    return request


def length_of(request):
    head, _, _ = request.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(head) + 4 + int(value)
    return 0


def talk(raw, context, mode):
    try:
        with raw if mode == "plain" else context.wrap_socket(raw, server_side=True) as conn:
            if mode == "plain":
                conn.sendall(answer(HTML, b"text/html"))
            while mode not in ("close", "plain") and (request := read_request(conn)):
                reply(conn, mode, request)
    except OSError:
        pass


def main():
    address, port, certificate, key, mode = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server((address, int(port))) as server:
        print("ready", flush=True)
        while True:
            raw, _ = server.accept()
            threading.Thread(target=talk, args=(raw, context, mode), daemon=True).start()


main()
