#!/usr/bin/env python3
"""In systemd's place, for one service with one listening Unix socket (Accept=no): starts it with the socket when somebody is
at the door, and anew after it has ended.

    activate.py stream|seqpacket PATH OWNER MODE COMMAND...

Prints "ready" when the socket is there. Ends with its service on SIGTERM.
"""

import os
import pwd
import select
import signal
import socket
import sys

LISTEN_FD = 3


def listen(kind, path, owner, mode):
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_SEQPACKET)
    os.umask(0o777)
    door.bind(path)
    door.listen(16)
    os.chown(path, pwd.getpwnam(owner).pw_uid, -1)
    os.chmod(path, int(mode, 8))
    os.umask(0o077)
    return door


def serve(door, command):
    os.dup2(door.fileno(), LISTEN_FD)
    os.set_inheritable(LISTEN_FD, True)  # also when it was there already
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.execvp(command[0], command)


def main():
    kind, path, owner, mode, *command = sys.argv[1:]
    door = listen(kind, path, owner, mode)
    child = 0

    def end(*_):
        if child:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    while True:
        select.select([door], [], [])
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            serve(door, command)
        os.waitpid(child, 0)
        child = 0


main()
