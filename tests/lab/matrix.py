"""What explain says is what packets do: for every pair of devices, every service given, IPv4 and IPv6.

    matrix.py LAB_FOLDER SERVICE... [-- SRC:DST:SERVICE=yes|no...]

Asks the controller (its credential is in $ZTCTL_ADMIN) for an explanation of each (source, destination, service) and the
machines' packets for the same (`tool pairs`). What stands behind -- has to be what explain says first: it is waited for, and
says that the change before has come. Then packets must come to be what explain says, and be so throughout once more. Devices
have their machines' names. Status 1: they differ, a line for each."""

import base64
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.parse

CHANGE_S = 40  # for explain to say what is expected
SETTLE_S = 60  # for packets to follow
TOOL = os.environ["LAB_TOOL"]


class Controller:
    """One connection, with the admin's credential."""

    def __init__(self, credential):
        raw = base64.urlsafe_b64decode(credential.split("_", 1)[1] + "==")
        url = urllib.parse.urlsplit(raw[2 : 2 + raw[1]].decode())
        secret = base64.urlsafe_b64encode(raw[-36:-4]).decode().rstrip("=")
        self.headers = {"Authorization": f"Admin {int.from_bytes(raw[-44:-36], 'little')}.{secret}"}
        self.connection = http.client.HTTPSConnection(
            url.hostname, url.port, context=ssl._create_unverified_context(), timeout=30
        )

    def get(self, path, **query):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        while True:
            self.connection.request("GET", path, headers=self.headers)
            answer = self.connection.getresponse()
            body = answer.read()
            if answer.status != 429:  # else: more questions than an admin may ask at once
                return answer.status, json.loads(body)
            time.sleep(0.25)


class Matrix:
    def __init__(self, lab, services):
        with open(os.environ["ZTCTL_ADMIN"], encoding="ascii") as f:
            self.controller = Controller(f.read().strip())
        self.lab = lab
        self.services = services
        _, devices = self.controller.get("/v1/admin/devices")
        self.devices = {d["name"]: d for d in devices}

    def explain(self, src, dst, service):
        """Whether it is allowed, and in words why. The destination is named in all the ways there are."""
        device = self.devices[dst]
        revoked = device["state"] == "revoked"  # its addresses are nobody's
        to = dst if revoked else [dst, *device["addresses"]][len(src + service) % 3]
        status, x = self.controller.get("/v1/admin/explain", **{"from": src, "to": to, "service": service})
        if status != 200:
            sys.exit(f"explain {src} {to} {service}: {status} {x}")
        if x["allowed"]:
            return True, f"rule {x['rule']}"
        near = x["nearest"]
        return False, "no rule comes near" if not near else f"nearest {near['rule']}: " + "; ".join(
            f"{f['condition']} is {f['is']}" for f in near["failed"]
        )

    def explain_all(self):
        return {
            (src, dst, service): self.explain(src, dst, service)
            for src in self.devices
            for dst in self.devices
            for service in self.services
            if src != dst
        }

    def packets(self, questions, timeout_ms=2500):
        """Which of (src, dst, service, family) pass."""
        lines = []
        for src, dst, service, family in questions:
            proto, _, port = service.partition("/")
            lines.append(f"{src} {proto} {self.devices[dst]['addresses'][family]} {port or 0}")
        run = subprocess.run(
            [TOOL, "pairs", "-t", str(timeout_ms), self.lab],
            input="\n".join(lines) + "\n",
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        answers = run.stdout.splitlines()
        if [a.rsplit(" ", 1)[0] for a in answers] != lines:
            sys.exit("tool pairs did not answer what it was asked")
        return {q: a.endswith(" yes") for q, a in zip(questions, answers)}

    def expect(self, wanted):
        """Until explain says so."""
        end = time.monotonic() + CHANGE_S
        for text in wanted:
            what, _, answer = text.partition("=")
            src, dst, service = what.split(":")
            while True:
                allowed, words = self.explain(src, dst, service)
                if allowed == (answer == "yes"):
                    break
                if time.monotonic() > end:
                    sys.exit(f"wanted {text}, but explain says {allowed}: {words}")
                time.sleep(0.1)

    def differing(self, said, passed):
        return [q for q, answer in passed.items() if answer != said[q[:3]][0]]

    def settle(self, said, questions):
        """Packets come to be what explain says. Where they are not yet, explain is asked again (time passes), and when it
        has changed its mind both address families are."""
        end = time.monotonic() + SETTLE_S
        differ, rounds = self.differing(said, self.packets(questions)), 1
        while differ and time.monotonic() < end:
            pairs = sorted({q[:3] for q in differ})
            said.update({pair: self.explain(*pair) for pair in pairs})
            differ, rounds = self.differing(said, self.packets([(*p, f) for p in pairs for f in (0, 1)])), rounds + 1
        return differ, rounds

    def hold(self, said, questions):
        """All once more. A packet too many is wrong unless the explanation has changed; one too few may be late."""
        wrong = []
        for q in self.differing(said, self.packets(questions)):
            before, now = said[q[:3]][0], self.explain(*q[:3])
            said[q[:3]] = now
            again = self.packets([q], 6000)[q]
            if again != now[0] or (before == now[0] and not before):
                wrong.append(q)
        return wrong


def report(wrong, said):
    for src, dst, service, family in wrong:
        allowed, words = said[src, dst, service]
        print(
            f"{src} -> {dst} {service} IPv{6 if family else 4}: explain says {'yes' if allowed else 'no'} ({words}), "
            f"packets {'do not pass' if allowed else 'pass'}"
        )


def main(lab, *words):
    cut = words.index("--") if "--" in words else len(words)
    matrix = Matrix(lab, words[:cut])
    matrix.expect(words[cut + 1 :])
    start = time.monotonic()
    said = matrix.explain_all()
    explained = time.monotonic()
    questions = [(*q, family) for q in said for family in (0, 1)]
    wrong, rounds = matrix.settle(said, questions)
    settled = time.monotonic()
    wrong = wrong or matrix.hold(said, questions)
    report(wrong, said)
    print(
        f"{sum(allowed for allowed, _ in said.values())} of {len(said)} allowed, {len(questions)} asked in packets, "
        f"alike in round {rounds} (explain {explained - start:.1f} s, packets {settled - explained:.1f} s)"
    )
    with open(os.path.join(lab, "matrix.json"), "w", encoding="ascii") as f:
        json.dump(sorted([*q] for q, (allowed, _) in said.items() if allowed), f)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
