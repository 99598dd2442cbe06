#!/bin/sh
# Starts the server that the environment asks for, set up as the image of that server does it; else the command.
set -eu

become() {
    user=$1
    shift
    exec setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"
}

if [ -n "${POSTGRES_USER:-}" ]; then
    data=/var/lib/postgresql/data
    install -d -o postgres -g postgres -m 700 "$data" /var/run/postgresql
    if [ ! -s "$data/PG_VERSION" ]; then
        printf %s "$POSTGRES_PASSWORD" > /run/password
        chown postgres /run/password
        (become postgres initdb -D "$data" -U "$POSTGRES_USER" --pwfile /run/password -A scram-sha-256 -E UTF8 \
            --locale C.UTF-8 --no-sync)
        rm /run/password
        echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
        echo "CREATE DATABASE $POSTGRES_DB" | (become postgres postgres --single -D "$data" postgres)
    fi
    become postgres postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
fi

if [ -n "${RABBITMQ_DEFAULT_USER:-}" ]; then
    printf 'default_user = %s\ndefault_pass = %s\nlog.console = true\nloopback_users = none\n' \
        "$RABBITMQ_DEFAULT_USER" "$RABBITMQ_DEFAULT_PASS" > /etc/rabbitmq/rabbitmq.conf
    chown -R rabbitmq:rabbitmq /var/lib/rabbitmq /var/log/rabbitmq /etc/rabbitmq
    export RUNNING_UNDER_SYSTEMD=true
    become rabbitmq rabbitmq-server
fi

if [ -n "${MONGO_INITDB_ROOT_USERNAME:-}" ]; then
    touch /etc/secantusd.toml
    serve="/mongodb/bin/secantusd-py --config /etc/secantusd.toml --port 27017 --standalone --storage-path /data/db/store"
    if [ ! -e /data/db/made ]; then
        $serve --host 127.0.0.1 &
        until mongosh; do sleep 0.2; done
        /mongodb/bin/python - <<'PYTHON'
import os

import pymongo

environment = os.environ
admin = pymongo.MongoClient("mongodb://127.0.0.1:27017").admin
admin.command(
    "createUser",
    environment["MONGO_INITDB_ROOT_USERNAME"],
    pwd=environment["MONGO_INITDB_ROOT_PASSWORD"],
    roles=["root"],
)
PYTHON
        kill $!
        wait $! || true
        touch /data/db/made
    fi
    exec $serve --host 0.0.0.0 --auth
fi

exec "$@"
