#!/bin/bash
# Runs the Python tests against clusters of the given program. The virtual
# environment with pika is made once, in the user's cache folder.
# Usage: run.sh WARREN MESSAGES
set -euo pipefail
cd "$(dirname "$0")"

warren=$(realpath "$1")
messages=$2
venv=${XDG_CACHE_HOME:-$HOME/.cache}/warren/pika

# Made under another name first: an interrupted one is not taken for whole.
wanted=$(sha256sum requirements.txt | cut -c1-12)
if [[ ! -x $venv-$wanted/bin/python3 ]]; then
    echo "making a Python environment with pika in $venv-$wanted"
    rm -rf "$venv-$wanted" "$venv-$wanted.new"
    python3 -m venv "$venv-$wanted.new"
    "$venv-$wanted.new/bin/python3" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    mv "$venv-$wanted.new" "$venv-$wanted"
fi
python=$venv-$wanted/bin/python3

export WARREN=$warren
"$python" -m unittest conformance
"$python" -m unittest guards hostile secured
"$python" failover.py --messages "$messages" --gap 5
"$python" failover.py --messages "$messages" --kill-all
"$python" moving.py --messages 2000
"$python" streams.py --messages "$messages"
"$python" shovel.py --messages 2000
"$python" federation.py
"$python" sites.py
"$python" lagging.py
"$python" reshape.py
"$python" haproxy.py
# Beside a RabbitMQ, where there is one.
if [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]; then
    ./rabbitmq.sh "$python" --queues 20 --messages 2000 --kills 1 --after 1.5
fi
