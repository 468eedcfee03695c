# shellcheck shell=bash disable=SC2034,SC2154 # infra/services reads and sets these names
# One Apache Cassandra node, a plain Java process from Maven artifacts. It stands in for ScyllaDB, which comes only
# as an image or from a repository of its own: both speak the same CQL. It says nothing about ScyllaDB's speed.

port_from=19042
storage_port_from=17000
ready_seconds_max=120
stop_signal=TERM
stop_seconds_max=30

jars=$state/jars

fetch() {
  program java openjdk-17-jre-headless
  [[ ! -f $jars/complete ]] || return 0
  program mvn maven
  echo 'fetching Cassandra with Maven' >&2
  rm -rf "$jars"
  mkdir -p "$jars"
  mvn --batch-mode --file "$here/services.d/cassandra.pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$jars" </dev/null >"$state/maven.log" 2>&1 || die "Maven failed: $(tail -n 20 "$state/maven.log")"
  touch "$jars/complete"
}

# Writes a node's configuration: FOLDER ADDRESS PORT STORAGE-PORT SYNC [TOKEN]
configure() {
  local folder=$1 sync=$'commitlog_sync: periodic\ncommitlog_sync_period: 10s'
  [[ $5 == periodic ]] || sync='commitlog_sync: batch'
  mkdir -p "$folder"
  cat >"$folder/cassandra.yaml" <<YAML
cluster_name: dapanda
num_tokens: 1
${6:+initial_token: "$6"}
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1"}]
listen_address: $2
rpc_address: $2
native_transport_port: $3
storage_port: $4
$sync
commitlog_directory: $folder/commitlog
data_file_directories: [$folder/data]
hints_directory: $folder/hints
saved_caches_directory: $folder/saved_caches
cdc_raw_directory: $folder/cdc_raw
YAML
  cat >"$folder/logback.xml" <<'XML'
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %d{HH:mm:ss,SSS} %logger{0} - %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
XML
}

prepare() {
  # `periodic` writes the log to disk every 10 s; runs that kill the server ask for `batch` by CASSANDRA_SYNC.
  configure "$data" 127.0.0.1 "$port" "$(free_port "$storage_port_from")" "${CASSANDRA_SYNC:-periodic}"
  # A busy machine must not fail tests: of one node nobody waits for another that is away.
  cat >>"$data/cassandra.yaml" <<'YAML'
read_request_timeout: 30s
range_request_timeout: 30s
write_request_timeout: 30s
cas_contention_timeout: 30s
request_timeout: 30s
YAML
}

# The module flags of Cassandra's own jvm17-server.options.
exports=(
  java.base/{jdk.internal.misc,java.lang.ref,jdk.internal.ref,jdk.internal.perf}
  java.management.rmi/com.sun.jmx.remote.internal.rmi
  java.rmi/{sun.rmi.registry,sun.rmi.server} java.sql/java.sql jdk.unsupported/sun.misc
)
opens=(
  java.base/{java.lang.module,jdk.internal.loader,jdk.internal.ref,jdk.internal.reflect,jdk.internal.math}
  java.base/{jdk.internal.module,jdk.internal.util.jar,sun.nio.ch,java.io,java.util,java.util.concurrent}
  java.base/{java.util.concurrent.atomic,java.nio,java.lang,java.math,java.lang.reflect,java.net}
  jdk.management/com.sun.management.internal
)

module_flags=("${exports[@]/#/--add-exports=}" "${opens[@]/#/--add-opens=}")
module_flags=("${module_flags[@]/%/=ALL-UNNAMED}")

# Becomes a node: FOLDER HEAP RING-DELAY-MS FLAG…
become_node() {
  local folder=$1 heap=$2 ring_delay_ms=$3
  shift 3
  cd "$folder" || return
  exec java -Xms256m -Xmx"$heap" -XX:+ExitOnOutOfMemoryError \
    "${module_flags[@]}" \
    -cp "$jars/*" \
    -Dcassandra.config="file://$folder/cassandra.yaml" \
    -Dcassandra.storagedir="$folder" \
    -Dcassandra-foreground=yes \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 \
    -Dcassandra.ring_delay_ms="$ring_delay_ms" \
    -Dlogback.configurationFile="$folder/logback.xml" \
    "$@" \
    org.apache.cassandra.service.CassandraDaemon
}

serve() { become_node "$data" 1g 1; }

# The native protocol's OPTIONS frame (version 4, stream 0, no body) is answered by SUPPORTED (opcode 6).
answers() {
  local answer
  exec 3<>"/dev/tcp/$1/$port" || return 1
  printf '\x04\x00\x00\x00\x05\x00\x00\x00\x00' >&3
  answer=$(timeout 2 head -c 5 <&3 | od -An -tx1)
  exec 3>&-
  [[ $answer == ' 84 00 00 00 06' ]]
}

ready() { answers 127.0.0.1; }

address() { echo "TEST_CQL=127.0.0.1:$port"; }
