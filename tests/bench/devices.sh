#!/bin/bash
# What an idle connected device costs the controller: its resident memory before and after N devices (devices.c) connect.
# Before: started anew with all of them enrolled, so that what enrolling left behind is not lent to their sessions.
#
#   tests/bench/devices.sh [N]
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/../.."
. tests/bench/lib.sh

n=${1:-1000}
build=${B:-build}
dir=$(mktemp -d)
controller=
load=

complain()
{
	echo "devices.sh: $*" >&2
	[ ! -s "$dir/log" ] || tail -n 5 "$dir/log" >&2
	exit 1
}

end()
{
	[ -z "$load" ] || kill "$load" 2>/dev/null || true
	[ -z "$controller" ] || kill "$controller" 2>/dev/null || true
	wait
	rm -rf "$dir"
}

free_port()
{
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

serve()
{
	local try

	: >"$dir/said"
	"$build/ztcontroller" serve --dir "$dir/c" --listen "127.0.0.1:$port" --log warn >"$dir/said" 2>"$dir/log" &
	controller=$!
	for ((try = 0; try < 200; try++)); do
		! grep -qx ready "$dir/said" || return 0
		sleep 0.05
	done
	complain "the controller does not start"
}

stop()
{
	kill "$controller"
	wait "$controller" || true
	controller=
}

# Waits until the load program has come so far.
expect()
{
	local word=

	read -r -t 120 word <&"${from[0]}" || true
	[ "$word" = "$1" ] || complain "the devices are not $1"
}

rss()
{
	proc_kib VmRSS "$controller/status"
}

streams()
{
	ZTCTL_ADMIN=$dir/c/admin.key "$build/ztctl" status --json | jq .streams
}

trap end EXIT
trap 'exit 143' TERM INT
port=$(free_port)
"$build/ztcontroller" init --dir "$dir/c" --url "https://127.0.0.1:$port" >/dev/null 2>&1
serve
token=$(ZTCTL_ADMIN=$dir/c/admin.key "$build/ztctl" token create --tag bench --uses "$n")
coproc from { exec "$build/tests/bench/devices" "$n"; }
load=$from_PID
to=${from[1]}
echo "$token" >&"$to"
expect enrolled
stop
serve
[ "$(streams)" -eq 0 ] || complain "someone else is connected"
before=$(rss)
echo go >&"$to"
expect connected
[ "$(streams)" -eq "$n" ] || complain "$(streams) streams of $n"
after=$(rss)
figure "controller, $n devices enrolled, none connected (VmRSS)" "$(mb "$before")" MB
figure "controller, each of $n idle connected devices" "$(awk -v a="$after" -v b="$before" -v n="$n" 'BEGIN { printf "%.1f", (a - b) / n }')" KiB "<=" 40
