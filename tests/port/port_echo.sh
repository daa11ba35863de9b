#!/bin/sh
# A real DPDK port over a veth pair, a kernel client at the other end, each in a network namespace
# of its own: the client gets every datagram back once and unchanged, ping is answered, and nothing
# but the port speaks at its end. Prints TAP. Needs root; whatever it makes goes at the end, also
# after a Ctrl-C.
#
# port_echo.sh PORT_ECHO PORT_CLIENT [DEVICE ...]
set -u

echo_program=$1
client_program=$2
shift 2
[ $# -gt 0 ] || set -- net_af_packet0,iface=kport net_af_xdp0,iface=kport,busy_budget=0

if [ "$(id -u)" != 0 ]; then
    echo "1..0 # SKIP needs root for network namespaces"
    exit 0
fi
ns_port="keel-port-$$"
ns_client="keel-client-$$"
scratch=$(mktemp -d) || exit 1
echo_pid=

finish() {
    trap - EXIT INT TERM HUP
    [ -z "$echo_pid" ] || kill "$echo_pid" 2>/dev/null
    [ -z "$echo_pid" ] || wait "$echo_pid" 2>/dev/null
    ip netns del "$ns_port" 2>/dev/null
    ip netns del "$ns_client" 2>/dev/null
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

tests=0
failures=0
check() { # description, then a command that shows it
    tests=$((tests + 1))
    description=$1
    shift
    if "$@"; then
        echo "ok $tests - $description"
    else
        echo "not ok $tests - $description"
        failures=$((failures + 1))
    fi
}

counter() { # the value of a counter that the echo printed
    awk -v name="$1" '$1 == name { print $2 }' "$scratch/echo.out"
}

counter_is() {
    [ "$(counter "$1")" = "$2" ] || { echo "# $1 is $(counter "$1"), not $2"; false; }
}

fragments_dropped() {
    # One by one, or as one frame that is too long: af_packet has the kernel put them together.
    [ "$(counter fragment)" = 3 ] || [ "$(counter unfit)" = 1 ]
}

make_network() {
    ip netns add "$ns_port" && ip netns add "$ns_client" || return 1
    # No IPv6, so that the kernel neither sends nor answers anything on the port's end.
    ip netns exec "$ns_port" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 \
        net.ipv6.conf.default.disable_ipv6=1 2>/dev/null
    ip link add kport netns "$ns_port" type veth peer name kclient netns "$ns_client" || return 1
    # Else the kernel leaves UDP checksums to a device that is not there.
    ip netns exec "$ns_client" ethtool -K kclient tx off >/dev/null || return 1
    ip netns exec "$ns_port" ip link set kport up || return 1
    ip netns exec "$ns_client" ip addr add 10.99.0.2/24 dev kclient || return 1
    ip netns exec "$ns_client" ip link set kclient up || return 1
    ip netns exec "$ns_client" ip link set lo up
}

start_echo() { # device, idle strategy
    : >"$scratch/echo.out" # now: the new one's shell may come to it late, and the last one was ready, too
    ip netns exec "$ns_port" "$echo_program" "$1" 10.99.0.1/24 7000 "$2" 90 \
        >"$scratch/echo.out" 2>"$scratch/echo.err" &
    echo_pid=$!
    for _ in $(seq 100); do
        grep -q '^ready' "$scratch/echo.out" && return 0
        kill -0 "$echo_pid" 2>/dev/null || break
        sleep 0.1
    done
    sed 's/^/# /' "$scratch/echo.err"
    return 1
}

stop_echo() {
    kill -TERM "$echo_pid" && wait "$echo_pid"
    status=$?
    echo_pid=
    return $status
}

client() { # payload size, in flight, count
    ip netns exec "$ns_client" "$client_program" 10.99.0.1 7000 "$1" "$2" "$3" \
        >"$scratch/client.out"
    status=$?
    sed "s/^/# $1 bytes, $2 in flight: /" "$scratch/client.out"
    return $status
}

ping_host() {
    ip netns exec "$ns_client" ping -q -c 20 -i 0.01 -W 1 -s "$1" 10.99.0.1 >"$scratch/ping.out" &&
        grep -q ' 0% packet loss' "$scratch/ping.out" && ! grep -q duplicates "$scratch/ping.out"
}

no_icmp_errors() {
    # The kernel at the port's end has no address there and must not answer for it.
    ip netns exec "$ns_client" cat /proc/net/snmp >"$scratch/snmp"
    errors=$(awk '/^Icmp:/ && ++n == 1 { while ($(++at) != "InDestUnreachs" && at < NF); }
        /^Icmp:/ && n == 2 { print $at }' "$scratch/snmp")
    [ "$errors" = 0 ] || { echo "# $errors ICMP errors"; false; }
}

mac_learnt() {
    port_mac=$(ip netns exec "$ns_port" cat /sys/class/net/kport/address)
    ip netns exec "$ns_client" ip neigh show 10.99.0.1 | grep -q "$port_mac"
}

killed_and_again() { # device
    kill -KILL "$echo_pid"
    wait "$echo_pid" 2>/dev/null
    start_echo "$1" sleep || return 1
    client 86 32 20000 && return
    stop_echo # so that it tells where they stayed
    sed 's/^/# after the loss: /' "$scratch/echo.out"
    start_echo "$1" sleep
    false
}

refused() { # device; the kernel's own interface keeps its address, its MTU and its silence
    ip netns exec "$ns_client" "$echo_program" "$1" 10.99.0.3/24 7000 yield 5 \
        >"$scratch/refused.out" 2>&1
    status=$?
    [ "$status" = 1 ] && grep -q '10.99.0.2' "$scratch/refused.out" &&
        ! grep -q '^ready' "$scratch/refused.out"
}

for device in "$@"; do
    driver=${device%%,*}
    check "$driver: the namespaces are made" make_network
    check "$driver: the port opens" start_echo "$device" yield
    check "$driver: one in flight, shortest" client 16 1 2000
    check "$driver: one in flight, a 128-byte frame" client 86 1 5000
    check "$driver: 32 in flight, a 128-byte frame" client 86 32 50000
    check "$driver: 32 in flight, the largest frame" client 1472 32 10000
    check "$driver: the client's ARP is answered by the port" mac_learnt
    check "$driver: ping" ping_host 56
    check "$driver: ping, the largest frame" ping_host 1472
    check "$driver: the kernel answers for nobody" no_icmp_errors
    # 3000 bytes come as fragments: counted, never answered.
    ip netns exec "$ns_client" ping -q -c 1 -W 1 -s 3000 10.99.0.1 >/dev/null
    ip netns exec "$ns_client" "$client_program" 10.99.0.1 7001 64 1 1 >/dev/null
    check "$driver: the port stops" stop_echo
    check "$driver: fragments are counted" fragments_dropped
    check "$driver: another UDP port is counted" counter_is other_port 1
    check "$driver: every datagram was taken" counter_is ok 67000
    check "$driver: no bad checksum" counter_is udp_checksum 0
    check "$driver: nothing was dropped on the way out" counter_is tx_dropped 0
    check "$driver: no buffer was missing" counter_is rx_no_buffer 0
    check "$driver: the port opens again, idle asleep" start_echo "$device" sleep
    check "$driver: a killed port leaves nothing in the way" killed_and_again "$device"
    check "$driver: it stops again" stop_echo
    check "$driver: an interface with an address is refused" \
        refused "$(echo "$device" | sed s/kport/kclient/)"
    ip netns del "$ns_port"
    ip netns del "$ns_client"
done
echo "1..$tests"
[ "$failures" = 0 ]
