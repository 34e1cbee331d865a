# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# A connection lives exactly as long as its grant: a device that stops complying is cut in the middle of one.
#
#      wan ------- ctl
#       |--------- lin      laptop of lin@lab.example     strict: firewall + file;  patient: grace 4s
#       |                    protected: a script of the machine's owner, which is run once a minute
#       `--------- files    tag:files    tcp/8445 strict, 8446 patient, 8447 no posture, 8448 protected
#
# limit: 240
LAB_NET4=203.0.113
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[group staff]
	members = user:lin@lab.example
	[resource strict-files]
	on    = tag:files
	ports = tcp/8445
	[resource patient-files]
	on    = tag:files
	ports = tcp/8446
	[resource open-files]
	on    = tag:files
	ports = tcp/8447
	[posture managed]
	require = firewall.enabled == true, file.exists:/etc/ztnode/managed == true
	[posture protected]
	require = custom.antivirus == on
	[posture mended-soon]
	require = file.exists:/etc/ztnode/managed == true
	grace   = 4s
	[rule strict]
	who  = group:staff
	what = resource:strict-files
	how  = posture:managed
	why  = Files of customers
	[resource protected-files]
	on    = tag:files
	ports = tcp/8448
	[rule protected]
	who  = group:staff
	what = resource:protected-files
	how  = posture:protected
	why  = Files that viruses like
	[rule patient]
	who  = group:staff
	what = resource:patient-files
	how  = posture:mended-soon
	why  = Files of our own
	[rule open]
	who  = group:staff
	what = resource:open-files
	why  = The canteen's menu
	END
}

firewall_on()
{
	on lin nft -f - <<-'END'
	table inet mine {
		chain input {
			type filter hook input priority 10; policy drop;
			ct state established,related accept
			iif "lo" accept
			meta l4proto { icmp, ipv6-icmp } accept
			iifname "eth0" udp dport != 137 accept
			iifname "zt0" accept
		}
	}
	END
}

firewall_off()
{
	on lin nft delete table inet mine
}

# The script says what is in a file.
antivirus_script()
{
	mkdir -p "$lab/lin/etc/posture.d"
	printf '#!/bin/sh\nread state </etc/ztnode/antivirus\necho "antivirus=$state"\n' >"$lab/lin/etc/posture.d/antivirus"
	chmod 755 "$lab/lin/etc/posture.d/antivirus"
	echo on >"$lab/lin/etc/antivirus"
}

# The connection x of lin to the port is cut by the command, and she is told; then the other command mends it.
cut_by()
{
	local what=$1 spoil=$2 mend=$3 condition=$4 asked

	check "$what: a connection is open" hold x lin "$files" 8445
	now_us
	asked=$now
	must "$spoil"
	check "$what: it is cut" await 15 is_cut x
	note "$what: the last byte passed $((($(cut_at x) - asked) / 1000)) ms after the command began"
	check "$what: no new connection" denied reaches lin tcp "$files" 8445
	check "$what: nor over IPv6" denied reaches lin tcp "${address6[files]}" 8445
	check "$what: what asks for no posture goes on" reaches lin tcp "$files" 8447
	check "$what: why names the condition" says "$condition" denied_why "$files" tcp/8445
	check "$what: status too" has lin '.posture | any(.profile == "managed" and .ok == false and (.failed | length) > 0)'
	check "$what: explain at the controller says the same" says "$condition" denied_explain lin files tcp/8445
	must "$mend"
	check "$what: when it is mended, access comes back" await 15 reaches lin tcp "$files" 8445
	check "$what: and the connection goes on, if it was not closed" await 15 goes_on_or_ended x
	hold_end x
}

denied_why()
{
	ends_with 4 node lin why "$@"
}

denied_explain()
{
	ends_with 4 ztctl explain "$@"
}

managed_off()
{
	rm "$lab/lin/etc/managed"
}

managed_on()
{
	touch "$lab/lin/etc/managed"
}

patient_story()
{
	check "grace: a connection is open" hold p lin "$files" 8446
	managed_off
	check "grace: it goes on for a while" stays 2 is_held p
	check "grace: then it is cut" await 15 is_cut p
	check "grace: no new connection" denied reaches lin tcp "$files" 8446
	managed_on
	check "grace: mended, it comes back" await 15 reaches lin tcp "$files" 8446
	hold_end p
}

silence_story()
{
	local net

	policy_put "facts must be fresh" < <(make_policy | sed '/^\[posture managed\]/a max_age = 6s')
	check "silence: access is there" await 15 reaches lin tcp "$files" 8445
	check "silence: and stays, since reports come in time" stays 8 reaches lin tcp "$files" 8445
	check "silence: a connection is open" hold s lin "$files" 8445
	net=$(role_pid lin net)
	must kill -STOP "$net"
	check "silence: a device that reports nothing more is cut when its facts are too old" await 20 is_cut s
	check "silence: no new connection" denied reaches lin tcp "$files" 8445
	must kill -CONT "$net"
	check "silence: it reports again and gets access back" await 20 reaches lin tcp "$files" 8445
	hold_end s
}

lab_start lin files
antivirus_script
serve files 8445-8448
controller_start
must policy_put < <(make_policy)
node_join lin --user lin@lab.example
node_join files --tag files
nodes_ready lin files
files=${address[files]}

check "what asks for no posture is reached" await 10 reaches lin tcp "$files" 8447
check "a device that does not comply has no access" denied reaches lin tcp "$files" 8445
check "nor the patient one: grace is for who once complied" denied reaches lin tcp "$files" 8446
must firewall_on
managed_on
check "it complies, and gets access" await 15 reaches lin tcp "$files" 8445
check "the patient one too" await 5 reaches lin tcp "$files" 8446
check "posture shows each fact" says 'firewall\.enabled.*true' node lin posture
check "and no others: only what some profile asks for" denied says 'secureboot' node lin posture
check "custom: the script's word counts" await 15 reaches lin tcp "$files" 8448
check "custom: a connection is open" hold c lin "$files" 8448
echo off >"$lab/lin/etc/antivirus" # seen at its next run
cut_by "firewall" firewall_off firewall_on 'firewall\.enabled'
cut_by "file" managed_off managed_on 'file\.exists:/etc/ztnode/managed'
patient_story
check "custom: it is cut after the script's next run" await 75 is_cut c
check "custom: why names the fact" says 'custom\.antivirus' denied_why "$files" tcp/8448
hold_end c
silence_story
check "the log is unbroken" ztctl audit verify
