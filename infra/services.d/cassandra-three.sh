# shellcheck shell=bash disable=SC2034,SC2154 # infra/services reads and sets these names
# Three Apache Cassandra nodes, for runs in which one of three copies is away: `infra/replica` kills, freezes and
# restarts them one by one. Their log is synced before a write is answered, so that a kill of all three loses nothing.

# shellcheck source=infra/services.d/cassandra.sh
source "$here/services.d/cassandra.sh"

# Three gigabytes: only for who asks for it.
only_by_name=1

port_from=19142
storage_port_from=17100
jmx_port_from=17300
ready_seconds_max=240
stop_signal=TERM
stop_seconds_max=60

# One copy of the jars serves both.
jars=$base/cassandra/jars

replicas=(1 2 3)
tokens=([1]=-9223372036854775808 [2]=-3074457345618258603 [3]=3074457345618258602)

prepare() {
  mkdir -p "$(dirname "$jars")"
  rm -f "$state"/replica-*
  local storage_port nth
  storage_port=$(free_port "$storage_port_from")
  for nth in "${replicas[@]}"; do
    configure "$data/$nth" "127.0.0.$nth" "$port" "$storage_port" batch "${tokens[nth]}"
    free_port "$((jmx_port_from + 50 * nth))" >"$state/replica-$nth.jmx"
  done
}

# Like `alive`, of one replica.
replica_alive() {
  local pid start
  [[ -f $state/replica-$1.pid ]] && read -r pid start <"$state/replica-$1.pid" && [[ $(began "$pid") == "$start" ]]
}

start_replica() {
  local jmx
  jmx=$(cat "$state/replica-$1.jmx")
  # 1 ms of ring delay as for a single node would fail: the seed is not known by then.
  (become_node "$data/$1" 768m 3000 -Dcassandra.jmx.local.port="$jmx") \
    </dev/null >>"$state/replica-$1.log" 2>&1 &
  echo "$! $(began "$!")" >"$state/replica-$1.pid"
}

await_replica() {
  local deadline=$((SECONDS + 120))
  until answers "127.0.0.$1" >/dev/null 2>&1; do
    replica_alive "$1" || die "replica $1 ended while starting: $(tail -n 20 "$state/replica-$1.log")"
    ((SECONDS < deadline)) || die "replica $1 is not ready: $(tail -n 20 "$state/replica-$1.log")"
    sleep 0.2
  done
}

signal_replica() {
  local pid
  replica_alive "$2" || die "replica $2 does not run"
  read -r pid _ <"$state/replica-$2.pid"
  kill -s "$1" "$pid"
}

# Nothing of theirs is kept, so they are not asked to stop; a frozen one would not.
end_replicas() {
  local nth
  for nth in "${replicas[@]}"; do
    if replica_alive "$nth"; then signal_replica KILL "$nth"; fi
  done
}

# Starts one after another, then stays until it is told to end: the replicas may be other processes by then.
serve() {
  local nth sleeper=
  trap 'end_replicas; [[ -z $sleeper ]] || kill "$sleeper"' EXIT
  trap 'exit 143' TERM INT HUP
  for nth in "${replicas[@]}"; do
    start_replica "$nth"
    await_replica "$nth"
  done
  touch "$state/replica-all"
  sleep infinity &
  sleeper=$!
  wait "$sleeper"
}

ready() {
  local nth
  [[ -f $state/replica-all ]] || return 1
  for nth in "${replicas[@]}"; do answers "127.0.0.$nth" || return 1; done
}

address() {
  echo "TEST_CQL_THREE=127.0.0.1:$port,127.0.0.2:$port,127.0.0.3:$port"
  echo "TEST_CQL_THREE_PID_FILES=$state/replica-1.pid,$state/replica-2.pid,$state/replica-3.pid"
}
