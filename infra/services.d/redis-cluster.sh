# shellcheck shell=bash disable=SC2034,SC2154 # infra/services reads and sets these names
# A Redis Cluster of three primaries without replicas, in memory only. One shell keeps the three servers: it ends them
# when it is told to end, and the kernel does (--pdeathsig) should it be killed.

port_from=16400
ready_seconds_max=40
stop_signal=TERM
stop_seconds_max=10

fetch() { program redis-server redis-server && program redis-cli redis-tools; }

# The ports of the three, and those by which they hear of each other, in lines of two.
prepare() {
  local node next=$port bus=$((port_from + 10000))
  for node in 1 2 3; do
    next=$(free_port "$next")
    bus=$(free_port "$bus")
    mkdir "$data/$node"
    echo "$next $bus"
    next=$((next + 1)) bus=$((bus + 1))
  done >"$data/ports"
}

serve() {
  local node=0 client bus servers=() addresses=()
  trap 'kill "${servers[@]}"; wait; exit 0' TERM INT
  while read -r client bus; do
    node=$((node + 1))
    setpriv --pdeathsig KILL redis-server --bind 127.0.0.1 --port "$client" --cluster-port "$bus" \
      --cluster-enabled yes --cluster-announce-ip 127.0.0.1 --dir "$data/$node" --save '' --appendonly no \
      --daemonize no &
    servers+=("$!")
    addresses+=("127.0.0.1:$client")
  done <"$data/ports"
  local client_ready deadline=$((SECONDS + 10))
  while read -r client bus; do
    until client_ready=$(redis-cli -h 127.0.0.1 -p "$client" ping 2>&1) && [[ $client_ready == PONG ]]; do
      ((SECONDS < deadline)) || return 1
      sleep 0.1
    done
  done <"$data/ports"
  timeout 20 redis-cli --cluster create "${addresses[@]}" --cluster-replicas 0 --cluster-yes || return 1
  wait
}

# Every node must know all slots: they hear of each other one after the other.
ready() {
  local client bus
  while read -r client bus; do
    redis-cli -h 127.0.0.1 -p "$client" cluster info | grep -q '^cluster_state:ok' || return 1
  done <"$data/ports"
}

address() { awk '{ printf "%s127.0.0.1:%s", separator, $1; separator = "," }
  BEGIN { printf "TEST_REDIS_CLUSTER=redis-cluster://" } END { print "" }' "$data/ports"; }
