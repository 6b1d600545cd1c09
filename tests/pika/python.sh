#!/bin/bash
# Says where a Python with pika is: a virtual environment in the user's cache
# folder, made once.
set -euo pipefail
cd "$(dirname "$0")"

venv=${XDG_CACHE_HOME:-$HOME/.cache}/warren/pika

# Made under another name first: an interrupted one is not taken for whole.
wanted=$(sha256sum requirements.txt | cut -c1-12)
if [[ ! -x $venv-$wanted/bin/python3 ]]; then
    echo "making a Python environment with pika in $venv-$wanted" >&2
    rm -rf "$venv-$wanted" "$venv-$wanted.new"
    python3 -m venv "$venv-$wanted.new"
    "$venv-$wanted.new/bin/python3" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    mv "$venv-$wanted.new" "$venv-$wanted"
fi
echo "$venv-$wanted/bin/python3"
