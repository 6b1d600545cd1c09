# RabbitMQ nodes in a folder of their own, with an epmd of their own: nothing
# of the system's service is used or touched. To be sourced.
#   rabbitmq_install            installs it where it is missing
#   rabbitmq_start DIR [NODES]  starts three nodes, with a policy that mirrors classic queues
#   rabbitmq_uri N              where node N is
#   rabbitmq_command FILE       makes FILE a rabbitmqctl for node 1
#   rabbitmq_stop               stops what was started
# rabbitmq_plugins (names with commas) and rabbitmq_config (lines) are taken if they are set.

rabbitmq_bin=/usr/lib/rabbitmq/bin
rabbitmq_dir=
rabbitmq_epmd_pid=
rabbitmq_ports=()

rabbitmq_install() {
    if [[ ! -x $rabbitmq_bin/rabbitmq-server ]]; then
        "$(dirname "${BASH_SOURCE[0]}")/../../deploy/prerequisites.sh" rabbitmq
        # Debian starts a service at once; it is not what is tested, nor wanted.
        if [[ -d /run/systemd/system ]]; then
            echo "stopping and disabling the rabbitmq-server service that came with the package"
            systemctl disable --now rabbitmq-server
        fi
    fi
}

# A port of 127.0.0.1 that nobody listens on, below the range of outgoing ones.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)) && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# The environment of node N, for the server and for rabbitmqctl.
rabbitmq_node() {
    local n=$1
    shift
    env -i PATH="$PATH" LANG=C.UTF-8 HOME="$rabbitmq_dir" \
        ERL_EPMD_PORT="$rabbitmq_epmd" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_NODENAME="versus$n@localhost" \
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="${rabbitmq_ports[n]}" \
        RABBITMQ_DIST_PORT="${rabbitmq_dist[n]}" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
        RABBITMQ_BASE="$rabbitmq_dir" RABBITMQ_MNESIA_BASE="$rabbitmq_dir/data" RABBITMQ_LOG_BASE="$rabbitmq_dir/log" \
        RABBITMQ_PID_FILE="$rabbitmq_dir/pid$n" RABBITMQ_CONFIG_FILE="$rabbitmq_dir/rabbitmq.conf" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$rabbitmq_dir/plugins" RABBITMQ_CONF_ENV_FILE=/dev/null \
        "$@"
}

rabbitmq_start() {
    rabbitmq_dir=$1
    local nodes=${2:-3}
    mkdir -p "$rabbitmq_dir/data" "$rabbitmq_dir/log"
    echo "[${rabbitmq_plugins:-}]." >"$rabbitmq_dir/plugins"
    {
        echo 'cluster_formation.peer_discovery_backend = classic_config'
        for ((n = 1; n <= nodes; n++)); do
            echo "cluster_formation.classic_config.nodes.$n = versus$n@localhost"
        done
        echo 'log.file.level = warning'
        echo 'log.console = false'
        echo "${rabbitmq_config:-}"
    } >"$rabbitmq_dir/rabbitmq.conf"
    (umask 077 && head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$rabbitmq_dir/.erlang.cookie")
    chmod 400 "$rabbitmq_dir/.erlang.cookie"
    rabbitmq_epmd=$(free_port)
    rabbitmq_dist=()
    for ((n = 1; n <= nodes; n++)); do
        rabbitmq_ports[n]=$(free_port)
        rabbitmq_dist[n]=$(free_port)
    done
    epmd -port "$rabbitmq_epmd" -address 127.0.0.1 &
    rabbitmq_epmd_pid=$!
    for ((n = 1; n <= nodes; n++)); do
        rabbitmq_node "$n" "$rabbitmq_bin/rabbitmq-server" >"$rabbitmq_dir/log/out$n" 2>&1 &
        # One after the other: each joins those before it.
        rabbitmq_node "$n" "$rabbitmq_bin/rabbitmqctl" --quiet --timeout 180 wait --timeout 180 "$rabbitmq_dir/pid$n" || {
            echo "RabbitMQ node $n did not start:" >&2
            tail -n 20 "$rabbitmq_dir/log/out$n" >&2
            return 1
        }
    done
    rabbitmq_node 1 "$rabbitmq_bin/rabbitmqctl" --quiet await_online_nodes "$nodes"
    rabbitmq_node 1 "$rabbitmq_bin/rabbitmqctl" --quiet set_policy --apply-to queues \
        mirrored '^mirrored' '{"ha-mode":"all","ha-sync-mode":"automatic"}'
}

rabbitmq_uri() {
    echo "amqp://guest:guest@127.0.0.1:${rabbitmq_ports[$1]}"
}

rabbitmq_command() {
    {
        echo '#!/bin/bash'
        declare -p rabbitmq_bin rabbitmq_dir rabbitmq_epmd rabbitmq_ports rabbitmq_dist
        declare -f rabbitmq_node
        echo 'rabbitmq_node 1 "$rabbitmq_bin/rabbitmqctl" --quiet "$@"'
    } >"$1"
    chmod +x "$1"
}

rabbitmq_stop() {
    # The nodes in the reverse order of their start, epmd last.
    local n
    for n in 3 2 1; do
        if [[ -s $rabbitmq_dir/pid$n ]]; then
            end_process "$(cat "$rabbitmq_dir/pid$n")"
            rm -f "$rabbitmq_dir/pid$n"
        fi
    done
    if [[ -n $rabbitmq_epmd_pid ]]; then
        end_process "$rabbitmq_epmd_pid"
        rabbitmq_epmd_pid=
    fi
}

# Asks a process to end, waits for 30 s, insists.
end_process() {
    local pid=$1
    kill -TERM "$pid" 2>/dev/null || return 0
    for _ in {1..300}; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}
