# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Rules begin and end by themselves, to the second: an open connection ends with its rule's until, with its window, and
# when a deny's window opens; a window that opens gives access. What ends, ends also with nobody left but the kernel, and
# by whichever clock of controller and nodes is first.
#
#      wan ------- ctl
#       |--------- ada    laptop of ada@time.example
#       `--------- db     tag:db    tcp/6001-6006, a rule each
#
# limit: 480
. "$(dirname "$0")/lib.sh"

# Rules for the minute that begins at $1 (seconds of the epoch) and until $2.
make_policy()
{
	local begin end early port

	begin=$(date -u -d "@$1" +%H:%M)
	end=$(date -u -d "@$(($1 + 60))" +%H:%M)
	early=$(date -u -d "@$(($1 - 3600))" +%H:%M)
	for port in 6001 6002 6003 6004 6005 6006; do
		printf '[resource p%s]\non = tag:db\nports = tcp/%s\n' "$port" "$port"
	done
	cat <<-END
	[rule until]
	who   = user:ada@time.example
	what  = resource:p6001
	until = $(date -u -d "@$2" +%Y-%m-%dT%H:%M:%SZ)
	why   = For a while
	[rule always]
	who  = user:ada@time.example
	what = resource:p6002, resource:p6004
	why  = At all times
	[rule opens]
	who  = user:ada@time.example
	what = resource:p6003
	when = $begin-$end UTC
	why  = In that minute
	[rule pause]
	action = deny
	who    = anyone
	what   = resource:p6004
	when   = $begin-$end UTC
	why    = Not in that minute
	[rule closes]
	who  = user:ada@time.example
	what = resource:p6005
	when = $early-$begin UTC
	why  = Until that minute
	[rule opens-but-ends]
	who   = user:ada@time.example
	what  = resource:p6006
	when  = $begin-$end UTC
	until = $(date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ)
	why   = Never
	END
}

# A full minute that is some time ahead.
next_minute()
{
	now_us
	minute=$(((now / 1000000 + 30 + 59) / 60 * 60))
}

seconds_ahead()
{
	now_us
	second=$((now / 1000000 + $1))
}

# Nothing ends before its time (but what a busy machine takes to send a byte); how long after is said, not judged.
ended_at()
{
	local what=$1 port=$2 edge=$3 wait

	now_us
	wait=$((edge - now / 1000000 + 20))
	check "$what: the connection is cut" await "$wait" is_cut "$port"
	note "$what: the last byte passed $((($(cut_at "$port") - edge * 1000000) / 1000)) ms after the edge"
	check "$what: and not before the edge" test "$(cut_at "$port")" -ge $((edge * 1000000 - 1500000))
	check "$what: no new one" denied reaches ada tcp "$db" "$port"
	check "$what: nor over IPv6" denied reaches ada tcp "${address6[db]}" "$port"
}

began_at()
{
	local what=$1 port=$2 edge=$3 wait

	now_us
	wait=$((edge - now / 1000000 + 20))
	check "$what: access is there" await "$wait" reaches ada tcp "$db" "$port"
	now_us
	note "$what: the first connection stood $(((now - edge * 1000000) / 1000)) ms after the edge"
	check "$what: and not before the edge" test "$now" -ge $((edge * 1000000))
}

still_ahead()
{
	now_us
	[ "$now" -lt $(($1 * 1000000)) ]
}

# "2026-11-23 18:41": a time as explain says it.
said()
{
	date -u -d "@$1" "+%Y-%m-%d %H:%M"
}

why_not()
{
	ends_with 4 ztctl explain ada db "tcp/$1"
}

# NAME, its clock so many seconds off from the controller's
node_start_off_by()
{
	start "$1" "$1" "$1.log" env "LD_PRELOAD=$lab/shift_clock.so" "SHIFT_CLOCK=$2" ztnode run
}

everybody_dies()
{
	stop controller KILL || true
	node_kill ada
	node_kill db
}

everybody_starts()
{
	node_start ada
	node_start db
	must controller_serve
	nodes_ready ada db
}

hold_ports()
{
	local port

	for port in "$@"; do
		check "tcp/$port: a connection is open" hold "$port" ada "$db" "$port"
	done
}

all_end()
{
	local port

	for port in "$@"; do hold_end "$port"; done
}

lab_start ada db
cp "$programs/tests/lab/shift_clock.so" "$lab/"
chmod 755 "$lab" "$lab/shift_clock.so"
serve db 6001-6006
controller_start
node_join ada --user ada@time.example
node_join db --tag db
nodes_ready ada db
db=${address[db]}

note "everything runs"
next_minute
must policy_put < <(make_policy "$minute" "$minute")
check "before: access" await 10 reaches ada tcp "$db" 6002
check "before: the window that has not opened yet gives none" only_open "6001 6002 6004 6005" ada -t 1500 tcp "$db" 6001-6006
check "before: explain says when it opens" says "opens again at $(said "$minute")" why_not 6003
check "before: and that what ends as it opens never does" says "time is over" why_not 6006
hold_ports 6001 6002 6004 6005
check "all of that before the edge" still_ahead "$minute"
began_at "a window opens" 6003 "$minute"
ended_at "until" 6001 "$minute"
ended_at "a deny's window opens" 6004 "$minute"
ended_at "a window closes" 6005 "$minute"
check "what never opens did not" denied reaches ada tcp "$db" 6006
check "what has no time goes on" is_held 6002
check "explain: the rule that denies" says "rule pause denies: Not in that minute" why_not 6004
check "explain: its when" says "outside of when: $(date -u -d "@$minute" +%H:%M)-$(date -u -d "@$((minute + 60))" +%H:%M) UTC" why_not 6004
check "explain: until when" says "until $(said $((minute + 60)))" why_not 6004
check "why on the device says the same" says "until $(said $((minute + 60)))" ends_with 4 node ada why "$db" tcp/6004
check "explain: what is over is over" says "time is over" why_not 6001
hold_ports 6003
began_at "the deny's window closes" 6004 $((minute + 60))
ended_at "the window closes again" 6003 $((minute + 60))
check "only now: and the same ports as ever" only_open "6002 6004" ada -t 1500 tcp "$db" 6001-6006
all_end 6001 6002 6003 6004 6005

note "nobody but the kernel"
next_minute
must policy_put < <(make_policy "$minute" "$minute")
check "access" await 10 reaches ada tcp "$db" 6005
hold_ports 6001 6002 6004 6005
everybody_dies
check "all of that before the edge" still_ahead "$minute"
ended_at "killed, until" 6001 "$minute"
ended_at "killed, a deny's window opens" 6004 "$minute"
ended_at "killed, a window closes" 6005 "$minute"
check "what nobody is left to open stays closed" denied reaches ada tcp "$db" 6003
check "what has no time goes on, for the lease" is_held 6002
everybody_starts
check "back: what is over stays over" only_open "6002" ada -t 1500 tcp "$db" 6001 6002 6005
all_end 6001 6002 6004 6005

note "the controller's clock is a minute behind: the nodes end it by theirs"
must stop controller
must controller_serve "$lab/ctl/var/c" env "LD_PRELOAD=$lab/shift_clock.so" SHIFT_CLOCK=-60
nodes_ready ada db
next_minute # a window would be a minute late; until is an instant
seconds_ahead 15
must policy_put < <(make_policy "$minute" "$second")
check "access" await 10 reaches ada tcp "$db" 6001
hold_ports 6001
ended_at "controller behind, until" 6001 "$second"
check "the controller's explain is as late as its clock" ztctl explain ada db tcp/6001
check "and stays without effect" stays 3 denied reaches ada tcp "$db" 6001
all_end 6001
must stop controller
must controller_serve
nodes_ready ada db

note "the nodes' clocks are a minute behind: they know the controller's from its word, and nobody need be left"
for name in ada db; do
	must node_stop "$name"
	node_start_off_by "$name" -60
done
nodes_ready ada db
seconds_ahead 15
must policy_put < <(make_policy "$minute" "$second")
check "access" await 10 reaches ada tcp "$db" 6001
hold_ports 6001
stop controller KILL || true
ended_at "nodes behind, controller dead, until" 6001 "$second"
all_end 6001
must controller_serve

note "one node's clock is a minute ahead: it ends what it thinks is over, and no window opens sooner by it"
must node_stop ada
node_start_off_by ada 60
nodes_ready ada db
seconds_ahead 75
next_minute
must policy_put < <(make_policy "$minute" "$second")
check "access" await 10 reaches ada tcp "$db" 6001
hold_ports 6001
ended_at "a node ahead, until" 6001 $((second - 60))
check "the window is not open" denied reaches ada tcp "$db" 6003
check "the log is unbroken" ztctl audit verify
