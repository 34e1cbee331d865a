# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# A new policy has a way back: it goes back by itself when nobody confirms it, and some devices may try it first.
#
#      wan ------- ctl
#       |--------- lin, eva   laptops of staff@lab.example
#       `--------- files      tag:files    tcp/8445 the old way, tcp/8446 the new one
#
# limit: 240
LAB_NET4=203.0.113
. "$(dirname "$0")/lib.sh"

# PORT: what the staff may use
make_policy()
{
	cat <<-END
	[resource files]
	on    = tag:files
	ports = tcp/$1
	[rule staff]
	who  = user:staff@lab.example
	what = resource:files
	why  = Files of our own
	END
}

put()
{
	make_policy "$1" >"$lab/new.ini"
	ztctl policy put "$lab/new.ini" --why "the lab" "${@:2}"
}

in_force()
{
	ztctl status --json | jq -r .policy.version
}

# At some time, for as long as it takes to be sure.
was_cut()
{
	[ -n "$(cut_at "$1")" ] || has_ended "$1"
}

goes_on_or_ended()
{
	is_held "$1" || has_ended "$1"
}

# Nobody is there to confirm, and the policy cut everybody off.
confirm_story()
{
	local before

	before=$(in_force)
	check "confirm: a connection is open" hold x lin "$files" 8445
	check "confirm: the new policy is put, with its end" says 'in force until 20' put 8446 --confirm 5s
	check "confirm: the connection is cut" await 15 was_cut x
	check "confirm: by itself the policy before it comes back" await 20 reaches lin tcp "$files" 8445
	check "confirm: and the connection goes on, if it was not closed" await 15 goes_on_or_ended x
	hold_end x
	check "confirm: the new way is closed again" denied reaches lin tcp "$files" 8446
	check "confirm: it came as a version of its own" [ "$(in_force)" = $((before + 2)) ]
	check "confirm: the log says why" says "version $((before + 1)) was not confirmed in time" ztctl policy log
	check "confirm: the audit log says who" \
		is_json "any(.kind == \"policy.put\" and .actor == \"system\" and .object == \"policy:$((before + 2))\")" \
		ztctl audit log
	check "confirm: too late is told" refused 1 'no policy waits' ztctl policy confirm
	must put 8446 --confirm 10m
	check "confirm: in time it stays" says 'is in force' ztctl policy confirm
	check "confirm: and status has nothing to say of it" is_json '.policy.confirm_until == null' ztctl status
	check "confirm: the new way is open" await 10 reaches lin tcp "$files" 8446
}

# Over while the controller is away: nobody hears of it again.
restart_story()
{
	must put 8445 --confirm 5s
	stop controller KILL || true
	wait_until_over
	must controller_serve
	check "restart: the one before it is in force at once" says '8446' ztctl policy get
	check "restart: its way is open" await 20 reaches lin tcp "$files" 8446
	check "restart: the other is not" denied reaches lin tcp "$files" 8445
}

is_over()
{
	now_us
	[ "$now" -gt "$over" ]
}

# Longer than it was to hold.
wait_until_over()
{
	now_us
	over=$((now + 5000000))
	must await 10 is_over
}

may()
{
	ztctl explain "$1" files "$2"
}

is_split()
{
	may lin tcp/8445 >/dev/null && ! may eva tcp/8445 >/dev/null
}

# Who is in it follows from the version: it is put until lin is and eva is not.
canary_story()
{
	for _ in {1..60}; do
		must put 8445 --canary 50%
		! is_split || break
	done
	check "canary: lin is in it and eva is not" is_split
	check "canary: status says so" is_json '.policy.canary.percent == 50' ztctl status
	check "canary: eva has nothing of it" denied reaches eva tcp "$files" 8445
	check "canary: lin has the new way" await 10 reaches lin tcp "$files" 8445
	check "canary: and not the old one" denied reaches lin tcp "$files" 8446
	check "canary: which eva has" await 10 reaches eva tcp "$files" 8446
	check "canary: lin's own why agrees" node lin why "$files" tcp/8445
	check "canary: it is ended" ztctl policy abort --why "enough"
	check "canary: lin has the old way again" await 10 reaches lin tcp "$files" 8446
	check "canary: and not the new one" denied reaches lin tcp "$files" 8445
	must put 8445 --canary 50%
	check "canary: another is promoted" ztctl policy promote
	check "canary: now eva has the new way" await 10 reaches eva tcp "$files" 8445
	check "canary: and lin too" await 10 reaches lin tcp "$files" 8445
	check "canary: the old one is closed" denied reaches eva tcp "$files" 8446
}

lab_start lin eva files
serve files 8445-8446
controller_start
make_policy 8445 >"$lab/new.ini"
check "nobody offers it yet: a warning" says "warning: .*new.ini:1:2: no device offers" ztctl policy check "$lab/new.ini"
must put 8445
node_join lin --user staff@lab.example
node_join eva --user staff@lab.example
node_join files --tag files
nodes_ready lin eva files
files=${address[files]}
check "now somebody does: none" denied says warning ztctl policy check "$lab/new.ini"
check "denied before allowed: the new way is closed" denied reaches lin tcp "$files" 8446
check "the old way is open" await 10 reaches lin tcp "$files" 8445
confirm_story
restart_story
canary_story
check "the log is unbroken" ztctl audit verify
