#!/usr/bin/env bash
# Serves Tollgate. On the first start with its own database it also prepares a demo through the
# command line: an administrator, a price, a user with points, and a webhook key.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

tollgate=target/release/tollgate
[ -x "$tollgate" ] || { echo "there is no $tollgate yet: run make build" >&2; exit 1; }
# Settings of this folder; see .env.example.
if [ -f .env ]; then
    set -a
    . ./.env
    set +a
fi
export TOLLGATE_ADDR=${TOLLGATE_ADDR:-127.0.0.1:3000}
export TOLLGATE_DATA_DIR=${TOLLGATE_DATA_DIR:-$root/data}
demo=$TOLLGATE_DATA_DIR/demo.env

# The demo file has one line for each thing done, so that an interrupted start goes on where it was.
remember() { printf '%s=%s\n' "$1" "$2" >>"$demo"; }
recall() { sed -n "s/^$1=//p" "$demo" | tail -n 1; }
done_once() {
    local name=$1 what=$2
    shift 2
    if [ -z "$(recall "$name")" ]; then
        printf '  … %s\n' "$what"
        "$@" >/dev/null
        remember "$name" done
    fi
}

create_administrator() {
    # Remembered first: if this stops in between, the name is taken, with this password.
    [ -n "$(recall ADMIN_PASSWORD)" ] ||
        remember ADMIN_PASSWORD "$(LC_ALL=C tr -dc 'a-zA-Z2-9' </dev/urandom | head -c 20 || true)"
    recall ADMIN_PASSWORD | "$tollgate" admin create --name admin --password-stdin
}
create_key() {
    local key
    key=$("$tollgate" key create --name demo --scope webhook --json |
        sed -n 's/.*"key" *: *"\([^"]*\)".*/\1/p')
    [ -n "$key" ] || { echo "no key was created" >&2; return 1; }
    remember WEBHOOK_KEY "$key"
}

prepare_demo() {
    mkdir -p "$TOLLGATE_DATA_DIR"
    (umask 077 && touch "$demo")
    "$tollgate" migrate >/dev/null
    done_once ADMIN "an administrator" create_administrator
    done_once PRICE "a price for GPT-4" "$tollgate" price set --model GPT-4 --input 30 --output 60
    done_once POINTS "a user with 1000 points" \
        "$tollgate" points add --user user_789 --points 1000 --reason "Demo"
    done_once KEY "a webhook key" create_key
}

show_welcome() {
    # What a command has to be told to find this server's data and address, where it must be told.
    local options=
    [ "$TOLLGATE_DATA_DIR" = "$root/data" ] || options+=" --data-dir $TOLLGATE_DATA_DIR"
    [ "$address" = http://127.0.0.1:3000 ] || options+=" --addr ${address#http://}"
    cat <<EOF

  Sign in as administrator   $address/admin
                             name admin, password $(recall ADMIN_PASSWORD)
                             (both are for this demo; they are kept in $demo)
  Look from the user's side  $tollgate user link --user user_789$options

  This charges the demo user 93 points, and the administrator sees it happen:

curl -s $address/api/dify/webhook -H 'Authorization: Bearer $(recall WEBHOOK_KEY)' -H 'Content-Type: application/json' -d '{"event":"message_end","data":{"conversation_id":"conv_123","message_id":"msg_'\$(date +%s%N)'","user_id":"user_789","model_name":"gpt-4","input_tokens":1500,"output_tokens":800,"total_tokens":2300,"timestamp":"'\$(date -u +%FT%TZ)'"},"request_id":"req_abc123"}'

EOF
}

show_welcome_of_own_database() {
    cat <<EOF

It works on the database of DATABASE_URL. Create an administrator with: $tollgate admin create --name NAME

EOF
}

# Passes on what the server prints; once it is ready, says how to use it.
pass_on() {
    local line
    # Ctrl-C is for the server, which has something to say while it stops.
    trap '' INT
    while IFS= read -r line; do
        printf '%s\n' "$line"
        case $line in
        "Tollgate is ready on "*)
            address=${line#Tollgate is ready on }
            if [ -n "${DATABASE_URL:-}" ]; then show_welcome_of_own_database; else show_welcome; fi
            ;;
        esac
    done
}

if [ -z "${DATABASE_URL:-}" ] && { [ ! -e "$demo" ] || [ -z "$(recall KEY)" ]; }; then
    echo "Preparing a demo in $TOLLGATE_DATA_DIR"
    prepare_demo
fi
exec "$tollgate" serve > >(pass_on)
