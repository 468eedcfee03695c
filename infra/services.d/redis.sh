# shellcheck shell=bash disable=SC2034,SC2154 # infra/services reads and sets these names
# Redis from Debian, in memory only: tests that need a Redis with an older state make it themselves.

port_from=16379
ready_seconds_max=10
stop_signal=TERM
stop_seconds_max=10

fetch() { program redis-server redis-server && program redis-cli redis-tools; }

prepare() { :; }

serve() {
  exec redis-server --bind 127.0.0.1 --port "$port" --dir "$data" --save '' --appendonly no --daemonize no
}

ready() { [[ $(redis-cli -h 127.0.0.1 -p "$port" ping) == PONG ]]; }

address() { echo "TEST_REDIS_URL=redis://127.0.0.1:$port"; }
