# shellcheck shell=bash
# The lab tests' own words. Sourced by every scenario, which scripts/lab-run starts (docs/testing.md).
#
#   wan    a bridge: the internet that everybody hangs on, $LAB_NET4.1 and $LAB_NET6::1, everybody's default route
#   ctl    the controller, $LAB_NET4.2
#   NAME   a machine of its own (namespaces: network, mount, UTS), $LAB_NET4.11, .12 ... in the order given;
#          its /var/lib/ztnode, /run/ztnode and /etc/ztnode are $lab/NAME/{state,run,etc} outside
#
# A scenario sets LAB_NET4, LAB_NET6 when it wants others, calls lab_start NAME..., and then tells its story by
# `check "what holds" COMMAND...`. Its exit status is 0 when everything held.
# shellcheck disable=SC2034  # what scenarios read: now, gap, address
set -euo pipefail

LAB_NET4=${LAB_NET4:-192.0.2}
LAB_NET6=${LAB_NET6:-2001:db8:2}
LAB_PORT=${LAB_PORT:-8443}

project=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
programs=${ZT_PROGRAMS:-$project/build}
tool=$programs/tests/lab/tool
lab=/tmp/lab
failed=0
machines=()        # names, ctl and wan among them
declare -A pids=() # what we started: "controller", a node's name, "serve:NAME" ...
declare -A address=() address6=()

# --- checks ---

# What holds, and the command that shows it. A failure is noted and the story goes on.
check()
{
	local what=$1

	shift
	if "$@" >"$lab/log" 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what"
		sed 's/^/# /' "$lab/log" | tail -n 25
		failed=$((failed + 1))
	fi
}

# A step that the rest cannot do without.
must()
{
	"$@" >"$lab/log" 2>&1 && return
	echo "not ok - $*"
	sed 's/^/# /' "$lab/log" | tail -n 25
	exit 1
}

note()
{
	echo "# $*"
}

# "No" must be an answer: a tool that could not even ask (125) proves nothing.
denied()
{
	local status=0

	"$@" || status=$?
	[ "$status" -eq 1 ]
}

# It ends with this status, and (said to a person, on stderr) these words.
ends_with()
{
	local wanted=$1 status=0

	shift
	"$@" 2>"$lab/stderr" || status=$?
	cat "$lab/stderr"
	echo "exit status $status, wanted $wanted"
	[ "$status" -eq "$wanted" ]
}

# Wanted status, an extended regular expression for the one line that says what is wrong, the command.
# "One clear line": at most one more for the hint, no stack of prefixes, no errno number alone.
refused()
{
	local status=$1 words=$2

	shift 2
	ends_with "$status" "$@" || return 1
	grep -qiE -- "$words" "$lab/stderr" || { echo "no words like: $words"; return 1; }
	[ "$(wc -l <"$lab/stderr")" -le 2 ] || { echo "more than a line and a hint"; return 1; }
}

# Its output has these words (an extended regular expression).
says()
{
	local words=$1

	shift
	"$@" >"$lab/said" 2>&1 || { cat "$lab/said"; return 1; }
	grep -qE -- "$words" "$lab/said" || { cat "$lab/said"; echo "no words like: $words"; return 1; }
}

# `COMMAND --json` fulfils this jq filter.
is_json()
{
	local filter=$1

	shift
	"$@" --json >"$lab/said" || return 1
	jq -e "$filter" "$lab/said" >/dev/null || { cat "$lab/said"; return 1; }
}

# --- waiting on conditions; the clock is the one that no date -s moves ---

uptime_ms()
{
	local up

	read -r up _ </proc/uptime
	uptime=$((10#${up/./} * 10))
}

# Without a process.
pause()
{
	read -r -t "$1" -u "$pause_fd" _ || true
}
exec {pause_fd}<> <(:)

# Of what it says, the last try is kept.
await()
{
	local seconds=$1 end

	shift
	uptime_ms
	end=$((uptime + seconds * 1000))
	until "$@" >"$lab/await" 2>&1; do
		uptime_ms
		if [ "$uptime" -ge "$end" ]; then
			cat "$lab/await"
			echo "not within $seconds s: $*"
			return 1
		fi
		pause 0.05
	done
}

# It holds all the time, for so long.
stays()
{
	local seconds=$1 end

	shift
	uptime_ms
	end=$((uptime + seconds * 1000))
	while [ "$uptime" -lt "$end" ]; do
		"$@" || { echo "ended before $seconds s: $*"; return 1; }
		pause 0.05
		uptime_ms
	done
}

now_us()
{
	now=${EPOCHREALTIME/[.,]/}
}

# --- machines ---

on()
{
	local machine=$1

	shift
	"$tool" on "$lab/$machine" "$@"
}

# A process of ours in the background, by the name under which it is ended. Its output: $lab/LOG.
start()
{
	local name=$1 machine=$2 log=$3

	shift 3
	# Not through on(): the process must be the program itself, not a shell around it.
	"$tool" on "$lab/$machine" "$@" >>"$lab/$log" 2>&1 &
	pids[$name]=$!
	# A signal between the shell's fork and its exec is lost: bash's own handler takes it (once in
	# 2,000 starts on a busy machine).
	while is_still_us "$!"; do
		pause 0.01
	done
}

# A fork of this shell that has not become a program yet; one that ended has no words.
is_still_us()
{
	local its ours

	{ mapfile -d '' -t its <"/proc/$1/cmdline"; } 2>/dev/null || return 1
	mapfile -d '' -t ours <"/proc/$$/cmdline"
	[ "${its[*]}" = "${ours[*]}" ]
}

# Its exit status comes back; who does not end within a minute (the machine may be busy) is killed, which is a
# failure, and where everybody stands is shown.
stop()
{
	local name=$1 signal=${2:-TERM} status=0

	[ -n "${pids[$name]:-}" ] || return 0
	kill "-$signal" "${pids[$name]}" 2>/dev/null || true
	if ! await 60 denied is_running "$name" >/dev/null; then
		echo "not ok - $name does not end on SIG$signal"
		ps -eo pid,ppid,stat,wchan:32,args | sed 's/^/# /'
		failed=$((failed + 1))
		kill -KILL "${pids[$name]}" 2>/dev/null || true
		# Stuck in the kernel: waited for no longer; it ends with the machine.
		await 15 denied is_running "$name" >/dev/null || { unset "pids[$name]"; return 1; }
	fi
	wait "${pids[$name]}" 2>/dev/null || status=$?
	unset "pids[$name]"
	return "$status"
}

# A zombie has ended: bash (5.2) may not see that a child died while it reads with a time limit, and only learns of
# it from its next child.
is_running()
{
	local stat

	{ read -r stat <"/proc/${pids[$1]}/stat"; } 2>/dev/null || return 1
	stat=${stat##*) } # behind the name
	[ "${stat%% *}" != Z ]
}

wire()
{
	local name number=0

	{
		for name in "${machines[@]}"; do
			[ "$name" = wan ] || echo "link add eth0 netns $name type veth peer name $name netns wan"
		done
	} | ip -batch -
	{
		echo "link add br0 type bridge"
		echo "link set br0 up"
		echo "address add $LAB_NET4.1/24 dev br0"
		echo "address add $LAB_NET6::1/64 dev br0 nodad"
		for name in "${machines[@]}"; do
			[ "$name" = wan ] || echo "link set dev $name master br0 up"
		done
	} | ip -n wan -batch -
	for name in "${machines[@]}"; do
		number=$(number_of "$name")
		[ "$name" = wan ] || ip -n "$name" -batch - <<-END
			link set dev eth0 up
			address add $LAB_NET4.$number/24 dev eth0
			address add $LAB_NET6::$number/64 dev eth0 nodad
			route add default via $LAB_NET4.1
			route add default via $LAB_NET6::1
		END
	done
}

# Networks behind the same internet, each of 256 addresses: wan_also 198.51.100 ...
wan_also()
{
	local net

	for net in "$@"; do
		ip -n wan address add "$net.1/24" dev br0
	done
	# All is one wire: nobody is told of the shorter way.
	on wan sh -c 'cd /proc/sys/net/ipv4 && echo 1 >ip_forward && echo 0 | tee conf/*/send_redirects' >/dev/null
}

# The machine is somewhere else from now on, with this address alone.
move()
{
	ip -n "$1" -batch - <<-END
		address flush dev eth0 scope global
		address add $2/24 dev eth0
		route add default via ${2%.*}.1
	END
}

number_of()
{
	local i

	for i in "${!machines[@]}"; do
		[ "${machines[$i]}" != "$1" ] || break
	done
	if [ "$i" -lt 2 ]; then echo $((i + 1)); else echo $((i + 9)); fi
}

underlay()
{
	echo "$LAB_NET4.$(number_of "$1")"
}

lab_start()
{
	[ -n "${ZT_LAB:-}" ] || { echo "run me by: scripts/lab-run $0" >&2; exit 125; }
	mkdir -p "$lab/bin"
	trap lab_end EXIT
	trap 'exit 143' TERM INT HUP
	cp "$programs/ztcontroller" "$programs/ztctl" "$programs/ztnode" "$lab/bin/"
	export PATH=$lab/bin:$PATH
	machines=(wan ctl "$@")
	"$tool" nodes "$lab" "${machines[@]}" >"$lab/nodes.log" 2>&1 &
	pids[nodes]=$!
	must await 10 grep -q ready "$lab/nodes.log"
	wire
}

show_logs()
{
	local file

	for file in "$lab"/*.log; do
		[ -s "$file" ] || continue
		echo "# --- ${file##*/}, its end:"
		tail -n 12 "$file" | sed 's/^/#   /'
	done
}

lab_end()
{
	local status=$? name

	trap - EXIT
	[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || echo "not ok - the scenario ended early (status $status)"
	if [ "$status" -ne 0 ] || [ "$failed" -gt 0 ]; then
		show_logs
	fi
	for name in "${!pids[@]}"; do
		[ "$name" = nodes ] || stop "$name" || true
	done
	stop nodes KILL || true
	[ "$failed" -eq 0 ] || status=1
	exit "$status"
}

# --- the controller; an ordinary user, as in real life ---

daemon_user=(setpriv --reuid=daemon --regid=daemon --clear-groups)

as_daemon()
{
	on ctl "${daemon_user[@]}" "$@"
}

controller_url()
{
	echo "https://$LAB_NET4.2:$LAB_PORT"
}

controller_init()
{
	mkdir -p "$lab/ctl/var"
	chown daemon:daemon "$lab/ctl/var"
	as_daemon ztcontroller init --dir "$lab/ctl/var/c" --url "$(controller_url)" "$@"
	export ZTCTL_ADMIN=$lab/ctl/var/c/admin.key
}

# From its usual folder, or another one; what comes before the command (env ...) may follow. $lab/controller.ini is its
# configuration when it is there.
controller_serve()
{
	local dir=${1:-$lab/ctl/var/c} config=()

	[ ! -e "$lab/controller.ini" ] || config=(--config "$lab/controller.ini")
	: >"$lab/controller.log"
	start controller ctl controller.log "${daemon_user[@]}" "${@:2}" \
		ztcontroller serve --dir "$dir" --listen "$LAB_NET4.2:$LAB_PORT" "${config[@]}"
	await 20 grep -qx ready "$lab/controller.log"
}

# So that places may name countries: 192.0.2.0/24 is in DE, 198.51.100.0/24 in AT; no others are known.
know_countries()
{
	cp "$project/tests/unit/fixtures/geo/country.mmdb" "$lab/"
	echo "country_database = $lab/country.mmdb" >"$lab/controller.ini"
	chmod 755 "$lab"
	chmod 644 "$lab/country.mmdb" "$lab/controller.ini"
}

controller_start()
{
	must controller_init "$@"
	must controller_serve
}

ztctl()
{
	on ctl ztctl "$@"
}

token()
{
	ztctl token create "$@"
}

# The policy on stdin.
policy_put()
{
	cat >"$lab/policy.ini"
	ztctl policy put "$lab/policy.ini" --why "${1:-the lab}"
}

# --- nodes ---

node()
{
	local name=$1

	shift
	on "$name" ztnode "$@"
}

node_enroll()
{
	local name=$1

	shift
	node "$name" enroll "$@"
}

# NAME, then global options
node_start()
{
	local name=$1

	shift
	start "$name" "$name" "$name.log" ztnode "$@" run
}

node_stop()
{
	stop "$1"
}

# Without ps, which has not all it wants in the lab kernel.
children_of()
{
	local stat line

	for stat in /proc/[0-9]*/stat; do
		{ read -r line <"$stat"; } 2>/dev/null || continue
		line=${line##*) } # after the name: state, parent
		line=${line#* }
		[ "${line%% *}" != "$1" ] || { stat=${stat#/proc/}; echo "${stat%/stat}"; }
	done
}

# Nobody of the daemon is left to do anything.
node_kill()
{
	local children

	children=$(children_of "${pids[$1]}")
	stop "$1" KILL || true
	# shellcheck disable=SC2086
	kill -KILL $children 2>/dev/null || true
}

# The role of a running daemon by its pid: kern or net, as its command line says.
role_pid()
{
	local pid

	for pid in $(children_of "${pids[$1]}"); do
		! tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qw -- "$2" || { echo "$pid"; return; }
	done
	return 1
}

# enrol with a token of these options, start, and wait for nothing
node_join()
{
	local name=$1 secret

	shift
	secret=$(token "$@")
	must node_enroll "$name" "$secret"
	node_start "$name"
}

# A question to `status --json` in jq.
has()
{
	node "$1" status --json 2>/dev/null | jq -e "$2" >/dev/null
}

get()
{
	node "$1" status --json | jq -r "$2"
}

# The kernel has what it should have.
has_no_plan()
{
	[ "$(node "$1" plan --json | jq -c .ops)" = "[]" ]
}

is_connected()
{
	has "$1" '.controller.connected'
}

nodes_ready()
{
	local name

	for name in "$@"; do
		must await 20 is_connected "$name"
	done
	learn_addresses
}

learn_addresses()
{
	local name four six

	while read -r name four six; do
		address[$name]=$four
		address6[$name]=$six
	done < <(ztctl device list --json | jq -r '.[] | [.name] + .addresses | join(" ")')
}

# --- packets ---

serve()
{
	local machine=$1

	shift
	: >"$lab/serve-$machine.log"
	start "serve:$machine" "$machine" "serve-$machine.log" "$tool" serve "$@"
	must await 10 grep -qx ready "$lab/serve-$machine.log"
}

# FROM tcp|udp HOST PORT..., with the options of `tool probe` before: prints what answers, 1 when nothing does.
probe()
{
	local from=$1

	shift
	on "$from" "$tool" probe "$@"
}

reaches()
{
	probe "$1" -t 1500 "$2" "$3" "$4" >/dev/null
}

# Which ports answer, in one line; "" none.
open_ports()
{
	local ports status=0

	ports=$(probe "$@") || status=$?
	[ "$status" -le 1 ] || { echo "probe failed"; return; }
	echo "${ports//$'\n'/ }"
}

# Exactly these ports answer: "5432" FROM [options] tcp HOST PORT...
only_open()
{
	local wanted=$1 found

	shift
	found=$(open_ports "$@")
	echo "answering: '$found', wanted '$wanted'"
	[ "$found" = "$wanted" ]
}

pings()
{
	on "$1" ping -q -c 1 -W 1 "$2"
}

# An open connection, watched: hold NAME FROM HOST PORT; its events are in $lab/hold-NAME.log. A silence of less than
# that is a busy machine.
hold()
{
	: >"$lab/hold-$1.log"
	start "hold:$1" "$2" "hold-$1.log" "$tool" hold -g 1500 "$3" "$4"
	await 10 grep -q '^open' "$lab/hold-$1.log"
}

last_event()
{
	event=$(tail -n 1 "$lab/hold-$1.log")
	event=${event%% *}
}

# Nothing passes any more.
is_cut()
{
	last_event "$1"
	[ "$event" = cut ] || [ "$event" = closed ]
}

is_held()
{
	last_event "$1"
	is_running "hold:$1" && { [ "$event" = open ] || [ "$event" = back ]; }
}

has_ended()
{
	last_event "$1"
	[ "$event" = closed ]
}

goes_on_or_ended()
{
	is_held "$1" || has_ended "$1"
}

# When the last byte came back, microseconds.
cut_at()
{
	sed -n 's/^cut \([0-9]*\)$/\1/p' "$lab/hold-$1.log" | tail -n 1
}

# Ends it and sets gap: the longest silence it saw, ms.
hold_end()
{
	stop "hold:$1" || true
	gap=$(sed -n 's/^end [0-9]* //p' "$lab/hold-$1.log")
	gap=${gap:-0}
}
