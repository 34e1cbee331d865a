#!/bin/bash
# What scripts/lab-run promises to its caller, seen from outside. As in selftest.sh, which it runs
# too: "ok - ..." or "not ok - ..." for each fact; fails when one does not hold.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
lab_run=$(dirname "$here")/lab-run
failed=0
dir=$(mktemp -d /var/tmp/selftest.XXXXXX)
trap 'rm -rf "$dir"' EXIT

# A fact is a sentence and the command that shows it.
check()
{
	local fact=$1

	shift
	if "$@" >"$dir/log" 2>&1; then
		echo "ok - $fact"
	else
		echo "not ok - $fact"
		sed 's/^/# /' "$dir/log"
		failed=$((failed + 1))
	fi
}

# Exit statuses.

ends_with()
{
	local wanted=$1 status=0

	shift
	"$lab_run" "$@" || status=$?
	echo "exit status $status"
	[ "$status" -eq "$wanted" ]
}

# There is a kernel to lose only in the lab kernel.
show_panic()
{
	ends_with 125 sh -c '[ "$ZT_LAB" = native ] || echo c >/proc/sysrq-trigger; exit 125' \
		2>"$dir/err"
	grep -q 'Kernel panic' "$dir/err" || "$lab_run" sh -c '[ "$ZT_LAB" = native ]'
}

show_reboot()
{
	ends_with 125 -t 20 sh -c '[ "$ZT_LAB" = native ] || reboot -f; exit 125'
}

# A machine that never gets to its own power switch; a program stands in for the kernel.
show_stuck_end()
{
	local kernel

	kernel=$("$(dirname "$here")/lab-kernel" uml)
	mkdir -p "$dir/cache"
	cp -a "$(dirname "$(dirname "$kernel")")/." "$dir/cache"
	kernel=$dir/cache/$(basename "$(dirname "$kernel")")/linux
	cat >"$dir/stuck" <<-'END'
		#!/bin/bash
		for word; do
			[[ $word != umlwork=* ]] || echo 7 >"${word#umlwork=}/rc"
		done
		exec sleep 4997
	END
	chmod +x "$dir/stuck"
	mv "$dir/stuck" "$kernel"
	ZT_LAB_MODE=uml ZT_LAB_CACHE=$dir/cache ends_with 7 -t 120 true &&
		! ps -eo args | grep -x 'sleep 4997' >/dev/null
}

check_status()
{
	check "success is passed on" ends_with 0 true
	check "status 7 is passed on" ends_with 7 sh -c 'exit 7'
	check "a command that a signal ended gives 128 and its number" \
		ends_with 137 sh -c 'kill -KILL $$'
	check "a command that does not exist gives 127" ends_with 127 no-such-command
	check "a timeout gives 124" ends_with 124 -t 1 sleep 60
	check "a command line that is wrong gives 125" ends_with 125 -t soon true
	check "a kernel that panics gives 125 and its last words" show_panic
	check "a command cannot reboot the machine, only end it" show_reboot
	check "a machine that has left its status and does not end is ended; the status counts" show_stuck_end
	check "a folder that does not exist gives 125" ends_with 125 -o "$dir/none" true
}

# Output, arguments, environment.

show_streams()
{
	"$lab_run" sh -c 'echo out; echo err >&2' >"$dir/out" 2>"$dir/err"
	[ "$(cat "$dir/out")" = out ] && [ "$(cat "$dir/err")" = err ]
}

show_bulk()
{
	head -c 3000000 /dev/urandom >"$dir/bulk"
	"$lab_run" cat "$dir/bulk" | cmp - "$dir/bulk"
}

# The first line must come while the command still runs.
show_live()
{
	local line

	"$lab_run" sh -c 'echo first; sleep 30' >"$dir/live" &
	for _ in {1..100}; do
		line=$(cat "$dir/live")
		[ "$line" != first ] || break
		sleep 0.1
	done
	kill $!
	wait $! || true
	[ "$line" = first ]
}

show_arguments()
{
	"$lab_run" -- printf '<%s>' -t 'two words' '' $'new\nline' '*' >"$dir/out"
	printf '<%s>' -t 'two words' '' $'new\nline' '*' | cmp - "$dir/out"
}

show_environment()
{
	ZT_SELFTEST=seen SELFTEST_SECRET=hidden "$lab_run" env >"$dir/out"
	grep -qx ZT_SELFTEST=seen "$dir/out" &&
		! grep -q SELFTEST_SECRET "$dir/out" &&
		grep -qxE 'ZT_LAB=(uml|native)' "$dir/out"
}

show_folder()
{
	cd "$here" && [ "$("$lab_run" pwd)" = "$here" ]
}

# A check-out in a folder that starts out empty inside.
show_hidden_folder()
{
	local hidden status=0

	hidden=$(mktemp -d /tmp/selftest.XXXXXX)
	echo seen >"$hidden/file"
	(cd "$hidden" && "$lab_run" sh -c 'cat file && echo changed >file') || status=$?
	[ "$(cat "$hidden/file")" = seen ] || status=1
	rm -rf "$hidden"
	return "$status"
}

check_passing()
{
	check "stdout and stderr stay apart" show_streams
	check "bulk output arrives whole" show_bulk
	check "output arrives while the command runs" show_live
	check "arguments arrive unchanged" show_arguments
	check "of the environment only the named variables arrive" show_environment
	check "the caller's folder is the command's" show_folder
	check "also a folder below /tmp, whose files stay unchanged" show_hidden_folder
}

# Isolation.

show_isolation()
{
	echo before >"$dir/file"
	"$lab_run" bash -c '
		echo after >"$1/file" && touch "$1/new" && rm -f "$1/doomed" &&
			touch /tmp/selftest-new /etc/selftest-new /root/selftest-new' \
		isolation "$dir"
	[ "$(cat "$dir/file")" = before ] && [ ! -e "$dir/new" ] &&
		[ ! -e /tmp/selftest-new ] && [ ! -e /etc/selftest-new ] && [ ! -e ~/selftest-new ]
}

show_writable()
{
	mkdir -p "$dir/results"
	"$lab_run" -o "$dir/results" bash -c 'cd "$1" && echo kept >results/a && echo lost >b' \
		writable "$dir"
	[ "$(cat "$dir/results/a")" = kept ] && [ ! -e "$dir/b" ]
}

show_processes_end()
{
	"$lab_run" sh -c 'sleep 4999 & exit 0' && ! ps -eo args | grep -x 'sleep 4999' >/dev/null
}

# Each waits until the other one is there too.
meet()
{
	mkdir -p "$dir/meet"
	"$lab_run" -t 60 -o "$dir/meet" bash -c '
		ip link add wg0 type wireguard
		touch "$1/$2"
		until ls "$1" | grep -qx "$3"; do sleep 0.1; done' meet "$dir/meet" "$1" "$2"
}

show_side_by_side()
{
	local other

	meet left right &
	other=$!
	meet right left && wait "$other"
}

check_isolation()
{
	check "what the command writes is gone afterwards" show_isolation
	check "-o makes one folder that is really written" show_writable
	check "what the command leaves running ends with it" show_processes_end
	check "two of them run side by side" show_side_by_side
}

# Nothing of it may be left, however lab-run ends. Python, because a background job of bash has
# SIGINT ignored. TMPDIR tells its exchange folder and its processes from those of others.
show_end_by()
{
	TMPDIR=$dir python3 - "$lab_run" "$1" "$dir" <<-'END'
	import glob, os, signal, subprocess, sys, time
	lab_run, name, dir = sys.argv[1:]
	run = subprocess.Popen([lab_run, "-t", "60", "sh", "-c", "echo up; sleep 4998"],
	                       stdout=subprocess.PIPE)
	assert run.stdout.readline() == b"up\n"
	run.send_signal(getattr(signal, "SIG" + name))
	run.communicate()
	def left():
	    args = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
	    mine = [line for line in args.splitlines() if dir + "/lab." in line or "sleep 4998" in line]
	    return glob.glob(dir + "/lab.*") + mine
	deadline = time.monotonic() + 5
	while left() and time.monotonic() < deadline:
	    time.sleep(0.05)
	sys.exit("\n".join(left()) or 0)
	END
}

check_ends()
{
	local signal

	for signal in INT TERM HUP KILL; do
		check "SIG$signal to lab-run leaves no process and no file" show_end_by "$signal"
	done
}

check_inside()
{
	local line

	while read -r line; do
		echo "$line"
		[[ $line != not\ ok* ]] || failed=$((failed + 1))
	done < <("$lab_run" -t 120 "$here/selftest.sh" || echo "not ok - selftest.sh inside of the lab")
}

check_status
check_passing
check_isolation
check_ends
check_inside
[ "$failed" -eq 0 ]
