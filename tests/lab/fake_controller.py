"""A controller that is none: HTTPS (or not even that) on ADDRESS PORT, and one kind of nonsense for every request.

usage: fake_controller.py ADDRESS PORT CERTIFICATE KEY MODE
modes: html nothing close huge plain badjson redirect garbage
"ready" when it listens; what a client took is said on stdout ("sent N").
"""
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


def reply(conn, mode):
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
    elif mode == "nothing":
        threading.Event().wait()


def talk(raw, context, mode):
    try:
        with raw if mode == "plain" else context.wrap_socket(raw, server_side=True) as conn:
            if mode == "plain":
                conn.sendall(answer(HTML, b"text/html"))
            while mode not in ("close", "plain") and conn.recv(65536):
                reply(conn, mode)
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
