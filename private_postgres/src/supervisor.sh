# Keeps one Postgres running for as long as any process uses it, then stops it.
#
#   sh -c <this text> tollgate-postgres <bin folder> <data folder> [postgres arguments]
#
# It runs in the cluster's folder. Every process that uses the cluster holds a shared lock on
# `cluster.lock`, which the kernel releases however that process ends. Once the exclusive lock is
# granted here, nobody is left. It is kept until Postgres is gone, so a newcomer, whose shared lock
# waits meanwhile, never meets a Postgres that is about to stop.
set -u
umask 077
# A stop of the whole process group or service reaches the users too, and they decide.
trap '' HUP INT TERM

bin=$1
data=$2
shift 2

exec 9>>supervisor.lock
# Waiting a little, because others look whether the lock is free by taking it for a moment.
flock -w 5 9 || exit 0
rm -f stopping

# Succeeds, with its id in $pid, when a postmaster serves the data folder. A process id alone
# proves nothing after a restart of the machine or container, so its folder is compared.
running() {
    { read -r pid <"$data/postmaster.pid"; } 2>/dev/null || return 1
    [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(cd -P "$data" && pwd)" ]
}

# Starts Postgres again whenever it ends before it should. If this script was killed, whoever
# comes next has a supervisor of their own, so its loop ends too.
keep() {
    failures=0
    while [ ! -e stopping ] && kill -0 "$$" 2>/dev/null; do
        if running; then
            # Left by a supervisor that was killed.
            sleep 0.5
            continue
        fi
        if [ -n "${pid:-}" ] && kill -0 "$pid" 2>/dev/null; then
            # The file is of an earlier life; its process id belongs to another program now,
            # and Postgres would refuse to start because of it.
            rm -f "$data/postmaster.pid"
        fi
        pid=
        "$bin/postgres" -D "$data" "$@" >>postgres.log 2>&1
        status=$?
        [ -e stopping ] && break
        # One that had been serving did not fail to start. Its file, left behind, says so.
        [ "$(sed -n 8p "$data/postmaster.pid" 2>/dev/null | tr -d ' ')" = ready ] && failures=0
        failures=$((failures + 1))
        echo "tollgate: postgres ended with status $status and is started again" >>postgres.log
        case $failures in
        1) sleep 0.1 ;;
        2) sleep 0.5 ;;
        *) sleep 2 ;;
        esac
    done
}

# Asks for a fast shutdown until Postgres is gone, and after a minute for an immediate one.
interrupt() {
    rounds=0
    while kill -0 "$keeper" 2>/dev/null || running; do
        signal=INT
        [ "$rounds" -gt 600 ] && signal=QUIT
        running && kill -s "$signal" "$pid" 2>/dev/null
        rounds=$((rounds + 1))
        sleep 0.1
    done
}

# Neither the lock that says "a supervisor lives" nor the exclusive one may leak into Postgres.
# They are closed inside a subshell, because a redirection of a function keeps a copy open.
(
    exec 9>&-
    keep "$@"
) &
keeper=$!

exec 8>>cluster.lock
flock -x 8 9>&-
: >stopping
(
    exec 8>&- 9>&-
    interrupt
) &
interrupter=$!
wait "$keeper"
wait "$interrupter"

# In this order: a newcomer that gets its shared lock must not see this supervisor as alive.
exec 9>&-
exec 8>&-
