# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# The demo, inside of the lab (scripts/demo starts it): the main job as a story. It ends with status 1 at the first
# step that does not behave as told.
#
#      wan ------- ctl           the controller; the admin types here
#       |--------- ada-laptop    ada@example.com, in group:finance
#       |--------- sam-laptop    sam@example.com, in no group
#       `--------- db-server     tag:payroll: database on 5432, ssh on 22
. "$(dirname "$0")/lib.sh"

keep=${KEEP:-} dir=${ZT_DEMO_DIR:-}
lease_s=9
if [ -n "${ZT_DEMO_COLOR:-}" ]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' plain=$'\e[0m'
else
	bold='' dim='' green='' red='' cyan='' plain=''
fi

# --- telling ---

chapter()
{
	printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

tell()
{
	echo "  $*"
}

prompt()
{
	local machine=$1 word line=

	shift
	for word in "$@"; do
		[[ $word != *' '* || $# -eq 1 ]] || word="'$word'"
		line+=" $word"
	done
	echo "    $cyan$machine \$$plain$line" | sed -E 's/(zt1_[A-Za-z0-9_-]{8})[A-Za-z0-9_-]+/\1.../'
}

good()
{
	echo "    $green✓$plain $*"
}

bad()
{
	echo "    $red✗ $*$plain"
	[ ! -s "$lab/said" ] || sed 's/^/      /' "$lab/said"
	failed=1
	exit 1
}

# What the command said.
quote()
{
	sed "s/^/      $dim| /; s/\$/$plain/" "$lab/said" | head -n "${1:-12}"
}

# MACHINE COMMAND...: types it, and it works.
types()
{
	local machine=$1

	prompt "$@"
	shift
	on "$machine" "$@" >"$lab/said" 2>&1 || bad "this did not work (status $?)"
}

# It does not work, with this status.
fails()
{
	local wanted=$1 status=0

	prompt "${@:2}"
	on "$2" "${@:3}" >"$lab/said" 2>&1 || status=$?
	[ "$status" -eq "$wanted" ] || bad "status $status, but it should be $wanted"
}

holds()
{
	local what=$1

	shift
	"$@" >"$lab/said" 2>&1 || bad "this does not hold: $what"
	good "$what"
}

# --- the story ---

start_controller()
{
	chapter "1. A controller"
	tell "It keeps everything in one folder: keys, certificate, an embedded database. Nothing else is installed."
	prompt ctl "ztcontroller init --dir /var/lib/zt --url $(controller_url)"
	controller_init >"$lab/said" 2>&1 || bad "init did not work"
	prompt ctl "ztcontroller serve --dir /var/lib/zt"
	controller_serve >"$lab/said" 2>&1 || bad "the controller is not ready"
	good "the controller is ready; its first policy denies everything"
}

enroll_one()
{
	local machine=$1

	shift
	types ctl ztctl token create "$@"
	secret=$(cat "$lab/said")
	types "$machine" ztnode enroll "$secret"
	prompt "$machine" "systemctl start ztnode"
	node_start "$machine"
}

enroll()
{
	chapter "2. Three machines, one token each"
	tell "A token works once. It says where the controller is, and which key it must show."
	enroll_one ada-laptop --user ada@example.com
	spent=$secret
	tell "Sam finds the one that Ada used:"
	fails 1 sam-laptop ztnode enroll "$spent"
	quote 2
	good "refused: it is used up"
	enroll_one sam-laptop --user sam@example.com
	enroll_one db-server --tag payroll
	nodes_ready ada-laptop sam-laptop db-server
	db=${address[db-server]}
	good "all three are connected; their keys were made on them and never leave them"
	holds "without a policy nobody has a tunnel to anybody" no_tunnels
}

no_tunnels()
{
	[ -z "$(on ada-laptop wg show zt0 peers)$(on db-server wg show zt0 peers)" ]
}

write_policy()
{
	cat >"$lab/policy.ini" <<-END
	[network]
	lease = ${lease_s}s

	[group finance]
	members = user:ada@example.com

	[resource payroll-db]
	on    = tag:payroll
	ports = tcp/5432

	[posture managed-laptop]
	require = os.family == linux, firewall.enabled == true

	[rule finance-to-payroll]
	who  = group:finance
	what = resource:payroll-db
	how  = posture:managed-laptop
	why  = Payroll clerks run the monthly payroll

	[test sam-stays-out]
	from   = user:sam@example.com
	to     = payroll-db tcp/5432
	expect = deny
	END
}

put_policy()
{
	chapter "3. A policy"
	tell "Who may reach what, how, and why. What it does not say does not exist. The lease of $lease_s s is for the"
	tell "impatient; usually it is an hour."
	write_policy
	sed "s/^/      $dim| /; s/\$/$plain/" "$lab/policy.ini"
	prompt ctl "ztctl policy put policy.ini --why 'payroll starts'"
	ztctl policy put "$lab/policy.ini" --why "payroll starts" >"$lab/said" 2>&1 || bad "the policy was refused"
	good "in force (had its own test failed, the old one would have stayed)"
}

use_it()
{
	chapter "4. Ada reaches the database, and nothing else"
	await 15 reaches ada-laptop tcp "$db" 5432 >"$lab/said" 2>&1 || bad "Ada does not reach the database"
	types ada-laptop nc -zv -w 3 "$db" 5432
	good "through WireGuard, from laptop to server, over no third machine"
	fails 1 ada-laptop nc -zv -w 1 "$db" 22
	good "ssh on the same server: no answer"
	holds "of 1200 ports asked, exactly one answers" \
		only_open 5432 ada-laptop -t 1500 tcp "$db" 1-1000 5400-5599
	holds "the server cannot open a connection to Ada" \
		only_open "" db-server -t 700 tcp "${address[ada-laptop]}" 22 5432
	types sam-laptop wg show zt0 peers
	[ ! -s "$lab/said" ] || bad "Sam has a peer"
	good "Sam's laptop does not even have a tunnel: no peer, no key, no route"
	fails 4 sam-laptop ztnode why "$db" tcp/5432
	quote
}

spoil_posture()
{
	local before after

	chapter "5. Ada turns her firewall off while she is connected"
	must hold ada ada-laptop "$db" 5432
	tell "She has a connection to the database open, on which a byte goes to and fro every few ms."
	prompt ada-laptop "nft delete table inet laptop"
	now_us
	before=$now
	on ada-laptop nft delete table inet laptop
	now_us
	after=$now
	await 15 is_cut ada >"$lab/said" 2>&1 || bad "the connection goes on"
	good "the open connection was cut: the last byte passed $(ms_after "$before") ms after she pressed enter," \
		"$(told_after "$(ms_after "$after")")"
	fails 4 ada-laptop ztnode why "$db" tcp/5432
	quote
	good "she is told why, and what would mend it"
	tell "She turns it on again."
	prompt ada-laptop "nft -f /etc/nftables.conf"
	now_us
	before=$now
	firewall_on
	await 15 reaches ada-laptop tcp "$db" 5432 >"$lab/said" 2>&1 || bad "access does not come back"
	now_us
	good "and has access again after $(((now - before) / 1000)) ms"
	hold_end ada
}

# The command itself takes most of the time; what counts is how long the firewall was off.
told_after()
{
	if [ "$1" -gt 0 ]; then
		echo "$1 ms after the command had ended"
	else
		echo "before the command had even ended"
	fi
}

ms_after()
{
	echo $((($(cut_at ada) - $1) / 1000))
}

firewall_on()
{
	on ada-laptop nft -f - <<-'END'
	table inet laptop {
		chain input {
			type filter hook input priority 10; policy drop;
			ct state established,related accept
			iifname { "lo", "zt0" } accept
			meta l4proto { icmp, ipv6-icmp } accept
			udp dport != 137 accept
		}
	}
	END
}

revoke()
{
	chapter "6. Sam leaves the company"
	types ctl ztctl device revoke sam-laptop --why "left the company"
	await 10 has sam-laptop '.device.state == "revoked"' >"$lab/said" 2>&1 || bad "Sam's laptop does not know"
	types ctl ztctl device list
	quote
	good "its sessions, certificate and every grant ended at once"
}

kill_controller()
{
	local start

	chapter "7. The controller is killed"
	prompt ctl "kill -9 $(cat "$lab/ctl/var/c/controller.db.lock" 2>/dev/null || echo PID)"
	must hold ada ada-laptop "$db" 5432
	now_us
	start=$now
	stop controller KILL || true
	holds "Ada's connection goes on: packets never went through the controller" stays 3 is_held ada
	await $((lease_s + 5)) is_cut ada >"$lab/said" 2>&1 || bad "access did not end with the lease"
	good "until the lease ended: the kernel let the last byte pass $((($(cut_at ada) - start) / 1000)) ms after the kill"
	holds "and no new connection is possible" denied reaches ada-laptop tcp "$db" 5432
	hold_end ada
	prompt ctl "ztcontroller serve --dir /var/lib/zt"
	controller_serve >"$lab/said" 2>&1 || bad "the controller does not start again"
	await 30 reaches ada-laptop tcp "$db" 5432 >"$lab/said" 2>&1 || bad "access does not come back"
	good "the controller is back, and with it Ada's access"
}

prove()
{
	chapter "8. Who did what"
	types ctl ztctl audit log
	tail -n 6 "$lab/said" >"$lab/tail" && mv "$lab/tail" "$lab/said"
	quote
	types ctl ztctl audit verify
	quote
	good "every change is in a chain of hashes, and the chain is unbroken"
}

# Commands from outside, as files (a pipe does not cross into the lab kernel): job.N in, out.N and rc.N back.
serve_commands()
{
	local n=0 status words

	: >"$dir/ready"
	sync
	until [ -e "$dir/stop" ]; do
		pause 0.2
		[ -e "$dir/job.$n" ] || continue
		mapfile -d '' words <"$dir/job.$n"
		status=0
		on "${words[@]}" >"$dir/out.$n" 2>&1 </dev/null || status=$?
		echo "$status" >"$dir/rc.$n.part"
		mv "$dir/rc.$n.part" "$dir/rc.$n"
		sync
		n=$((n + 1))
	done
}

lab_start ada-laptop sam-laptop db-server
serve db-server 22 5432
firewall_on
tell "Four machines of namespaces on one wire; WireGuard and nftables are those of this kernel: $(uname -r) ($ZT_LAB)."
start_controller
enroll
put_policy
use_it
spoil_posture
revoke
kill_controller
prove
printf '\n%sThat was it%s\n' "$bold" "$plain"
[ -z "$keep" ] || serve_commands
