# Sourced by scripts that need a cluster of their own: `start WARREN` runs three
# nodes on free ports in a folder that is gone, with them, when the script ends.

start() {
    warren=$1
    data=$(mktemp -d "${TMPDIR:-/tmp}/warren.XXXXXX")
    trap 'stop' EXIT
    trap 'exit 130' INT TERM
    "$warren" cluster up --data "$data" --amqp-port 0 --http-port 0 --detach >/dev/null
}

stop() {
    local status=$?
    if ((status)); then
        tail -n 40 "$data"/node-*/log
    fi
    "$warren" cluster down --data "$data" >/dev/null || true
    rm -rf "$data"
    exit "$status"
}

# uri NUMBER: where clients connect to a node.
uri() {
    local address
    address=$(sed -n '/^\[amqp\]/,/^\[/s/^listen = "\(.*\)"/\1/p' "$data/node-$1/config.toml")
    echo "amqp://guest:guest@$address"
}

# http_uri NUMBER: where its operators ask.
http_uri() {
    local address
    address=$(sed -n '/^\[http\]/,/^\[/s/^listen = "\(.*\)"/\1/p' "$data/node-$1/config.toml")
    echo "http://$address"
}
