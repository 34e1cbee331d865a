# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# What explain says is what packets do: twelve devices, a policy with all its parts, and one change after the other. After
# each, every pair of devices is asked about services inside, outside and at the edges of what is granted, both of explain
# and, in packets of IPv4 and IPv6, of the kernels. CHANGES=30 makes more of them.
#
#      wan ------- ctl
#       |--------- ada    192.0.2     ada@     complies with managed
#       |--------- bob    192.0.2     bob@
#       |--------- cyd    198.51.100  cyd@                     |- web1 (tag:web)  web2 (tag:web,dmz)
#       |--------- dee    198.51.100  dee@     complies        |- db1 (tag:db)  db2 (tag:db,payroll)
#       |--------- eve1   192.0.2     eve@                     |- mon (tag:monitor), all at 192.0.2
#       |--------- eve2   203.0.113   eve@                     `- bld (tag:build, of bob@) 203.0.113
#
# limit: 900
. "$(dirname "$0")/lib.sh"

changes=${CHANGES:-16}
done_changes=0
points=(tcp/22 tcp/5432 tcp/5433 tcp/7999 tcp/8000 tcp/8001 tcp/8003 tcp/8004 udp/8002 udp/8003 icmp)

# "14:00-17:00": hours from now, of UTC.
hours()
{
	date -u -d "@$(($(date +%s) + $1 * 3600))" "+%H:%M-$(date -u -d "@$(($(date +%s) + $2 * 3600))" +%H:%M)"
}

# "2026-01-02T03:04:05Z": so many seconds from now.
in_seconds()
{
	date -u -d "@$(($(date +%s) + $1))" +%Y-%m-%dT%H:%M:%SZ
}

# UNTIL of one of the rules
make_policy()
{
	cat <<-END
	[group staff]
	members = group:finance, group:ops, user:eve@m.example
	except  = user:bob@m.example
	[group finance]
	members = user:ada@m.example, group:auditors
	[group auditors]
	members = user:dee@m.example
	[group ops]
	members = user:cyd@m.example
	[group contractors]
	[group machines]
	members = tag:monitor, tag:build
	except  = tag:retired

	[resource web]
	on    = tag:web
	ports = tcp/8000-8003, udp/8002
	[resource db]
	on    = tag:db
	ports = tcp/5432, icmp
	[resource payroll]
	on    = tag:payroll
	ports = any
	[resource shell]
	on     = tag:web, tag:db, tag:monitor
	ports  = tcp/22, tcp/8000-8010
	except = tag:payroll, tcp/8001
	[resource desk]
	on    = device:ada
	ports = tcp/any

	[posture managed]
	require = file.exists:/etc/ztnode/managed == true
	[place office]
	source = 192.0.2.0/24
	[place away]
	source = 198.51.100.0/24, 203.0.113.0/24
	except = 203.0.113.128/25
	[schedule today]
	when = $(hours -1 2) UTC
	[schedule later]
	when = $(hours 3 4) UTC

	[rule staff-web]
	who  = group:staff
	what = resource:web
	when = schedule:today
	why  = Everybody looks at the site
	[rule finance-db]
	who   = group:finance
	what  = resource:db, resource:payroll
	where = place:office, country:AT
	how   = posture:managed
	why   = Finance keeps the books, here and in Austria
	[rule ops-all]
	who    = group:ops
	what   = resource:*
	except = resource:payroll
	why    = Operations runs all but payroll
	[rule machines-watch]
	who  = group:machines
	what = resource:db, resource:shell
	why  = They watch and build
	[rule finance-later]
	who  = group:finance
	what = resource:shell
	when = schedule:later
	why  = Not now
	[rule eve-shell]
	who    = user:eve@m.example, group:staff
	except = device:eve2, group:finance
	what   = resource:shell
	why    = She looks after the machines, from one of hers
	[rule ada-shell]
	who   = user:ada@m.example
	what  = resource:shell
	until = $1
	why   = For a while
	[rule no-contractors]
	action = deny
	who    = group:contractors
	what   = resource:*
	except = resource:web
	why    = The site alone
	[rule no-shell-away]
	action = deny
	who    = anyone
	what   = resource:shell
	where  = place:away
	why    = No shells from there
	END
}

# The same and a deny on a part of a range.
make_stricter()
{
	make_policy "$1"
	cat <<-'END'
	[resource web-top]
	on    = tag:web
	ports = tcp/8003, tcp/8005-8009
	[rule no-top]
	action = deny
	who    = group:staff
	what   = resource:web-top
	why    = Under construction
	END
}

# The same, with lists and sections in another order.
reordered()
{
	python3 -c '
import re, sys
def turned(line):
    key, cut, value = line.partition("=")
    return f"{key}= " + ", ".join(reversed(value.strip().split(", "))) if re.match("members|who|what|on|ports|except|where", key) else line
sections = [s for s in re.split(r"(?m)^(?=\[)", sys.stdin.read()) if s]
print("\n".join("\n".join(map(turned, s.strip().split("\n"))) for s in reversed(sections)))'
}

# What explain has to say first (SRC:DST:SERVICE=yes|no ...), and then all of it in packets.
agree()
{
	on wan env LAB_TOOL="$tool" python3 "$project/tests/lab/matrix.py" "$lab" "${points[@]}" -- "$@" | tee "$lab/agreed"
}

# WHAT, the change (a command), "--", what explain says then. Left out when enough has changed.
change()
{
	local what=$1 command=()

	shift
	[ "$done_changes" -lt "$changes" ] || return 0
	done_changes=$((done_changes + 1))
	while [ "$1" != -- ]; do
		command+=("$1")
		shift
	done
	shift
	must "${command[@]}"
	check "$what: packets do what explain says" agree "$@"
	note "$(tail -n 1 "$lab/agreed")"
}

put()
{
	policy_put "$1" <"$lab/$1.ini"
}

nothing_changes()
{
	cp "$lab/matrix.json" "$lab/before.json"
	put reordered
}

comply()
{
	if [ "$2" = yes ]; then touch "$lab/$1/etc/managed"; else rm "$lab/$1/etc/managed"; fi
}

expire_and_approve()
{
	ztctl device expire db2 && await 10 denied reaches ada tcp "${address[db2]}" 5432 && ztctl device approve db2
}

put_for_a_while()
{
	make_stricter "$(in_seconds 15)" >"$lab/short.ini"
	put short && await 10 reaches ada tcp "${address[web1]}" 22
}

# Without a word to anybody: its processes are gone at once.
restart_controller()
{
	stop controller KILL || true
	controller_serve
	# shellcheck disable=SC2086
	nodes_ready $living
}

restore_first()
{
	ztctl policy restore "$(ztctl policy log --json | jq '.[] | select(.why == "first") | .version')" --why "as it was"
}

enrol()
{
	node_join ada --user ada@m.example
	node_join bob --user bob@m.example
	node_join cyd --user cyd@m.example
	node_join dee --user dee@m.example
	node_join eve1 --user eve@m.example
	node_join eve2 --user eve@m.example
	node_join web1 --tag web
	node_join web2 --tag web --tag dmz
	node_join db1 --tag db
	node_join db2 --tag db --tag payroll
	node_join mon --tag monitor
	node_join bld --user bob@m.example --tag build
	nodes_ready "$@"
}

all=(ada bob cyd dee eve1 eve2 web1 web2 db1 db2 mon bld)
lab_start "${all[@]}"
wan_also 198.51.100 203.0.113
move cyd 198.51.100.31
move dee 198.51.100.32
move eve2 203.0.113.140
move bld 203.0.113.41
for name in "${all[@]}"; do serve "$name" 22 5432-5433 7999-8004; done
know_countries
controller_start
comply ada yes
comply dee yes
enrol "${all[@]}"
living="${all[*]}"
make_policy "$(in_seconds 86400)" >"$lab/first.ini"
make_stricter "$(in_seconds 86400)" >"$lab/strict.ini"
reordered <"$lab/strict.ini" >"$lab/reordered.ini"

check "before any policy nothing passes, and explain allows nothing" agree
check "nothing at all" grep '^0 of 1452 allowed' "$lab/agreed"

change "the policy is put" put first -- \
	ada:db1:tcp/5432=yes ada:db1:tcp/5433=no ada:db2:udp/8003=yes ada:web1:tcp/22=yes dee:db2:tcp/22=yes dee:web1:tcp/22=no \
	bob:web1:tcp/8000=no cyd:web1:tcp/8000=no cyd:web1:tcp/8001=yes cyd:ada:tcp/7999=yes eve1:web1:tcp/8001=yes \
	eve1:web1:tcp/22=yes eve2:web1:tcp/22=no eve2:web1:udp/8002=yes mon:db1:icmp=yes bld:db1:tcp/5432=yes bld:db1:tcp/22=no
change "a server's tags" ztctl device tag web2 +db -dmz -- ada:web2:tcp/5432=yes ada:web2:tcp/8002=yes
change "an admin gives a group that a deny is about" ztctl user groups eve@m.example contractors -- \
	eve1:web1:tcp/8004=no eve1:web1:udp/8002=yes
change "an admin gives a group that allows" ztctl user groups bob@m.example ops -- bob:db1:tcp/5432=yes bob:web1:tcp/8003=yes
change "a deny on a part of a range" put strict -- ada:web1:tcp/8003=no ada:web1:tcp/8004=yes bob:web1:tcp/8003=yes
change "lists and sections in another order" nothing_changes -- ada:web1:tcp/8003=no
check "change nothing" cmp "$lab/before.json" "$lab/matrix.json"
change "another place" move dee 203.0.113.150 -- dee:db1:tcp/5432=no dee:web1:tcp/8001=yes
change "posture fails" comply ada no -- ada:db1:tcp/5432=no ada:web1:tcp/8001=yes
change "posture complies" comply ada yes -- ada:db1:tcp/5432=yes
change "a device revoked" ztctl device revoke bob --why "lost" -- bob:db1:tcp/5432=no bld:db1:tcp/5432=yes
living=${living/bob /}
change "a device expired and approved again" expire_and_approve -- ada:db2:tcp/5432=yes
change "an owner disabled" ztctl user disable eve@m.example -- eve1:web1:udp/8002=no ada:web1:tcp/8001=yes
change "and given back" ztctl user enable eve@m.example -- eve1:web1:udp/8002=yes
change "until passes" put_for_a_while -- ada:web1:tcp/22=no
change "the controller is killed and restarted" restart_controller -- ada:db1:tcp/5432=yes
change "the first policy restored" restore_first -- ada:web1:tcp/8003=yes ada:web1:tcp/22=yes

while [ "$done_changes" -lt "$changes" ]; do
	change "more: out of the group" ztctl user groups eve@m.example --none -- eve1:web1:tcp/8004=yes
	change "more: a tag less" ztctl device tag web2 -db -- ada:web2:tcp/5432=no
	change "more: posture fails" comply ada no -- ada:db1:tcp/5432=no
	change "more: at its old place" move dee 198.51.100.32 -- dee:db1:tcp/5432=yes
	change "more: in the group" ztctl user groups eve@m.example contractors -- eve1:web1:tcp/8004=no
	change "more: a tag more" ztctl device tag web2 +db -- ada:web2:tcp/5432=no
	change "more: posture complies" comply ada yes -- ada:web2:tcp/5432=yes
	change "more: elsewhere" move dee 203.0.113.150 -- dee:db1:tcp/5432=no
done
for name in $living; do
	check "$name: nothing is to be done in the kernel" has_no_plan "$name"
	check "$name: and nothing ever had to be put right" denied grep "put right" "$lab/$name.log"
done
check "the log is unbroken" ztctl audit verify
