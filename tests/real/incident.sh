# shellcheck shell=bash
# The subcommand `incident`: the failure this tool exists for, with the release's own lock code.
#
# A gateway of 2026.4.24 to 2026.4.27 is killed while it holds its lock. Its successor, in a new container
# on the same volume, gets the same pid 7, finds the recorded pid alive (itself), and waits for 300 s.
# The record has no start ticks, so nothing proves the lock stale: the doctor must lean on the times.

incident() {
    local release=${1:-2026.4.26} lock=.openclaw-runtime-deps.lock volume=$work/volume
    local doctor=${OPENCLAW_DOCTOR:-$tree/target/release/openclaw-doctor}
    [ -x "$doctor" ] || die "no binary at $doctor: build it, or set OPENCLAW_DOCTOR"
    fetch_node

    say "1. $release takes the lock as pid 7 of a container and is killed -9"
    start_container first "$release" "$volume" node /opt/real/hold-lock.mjs /app auto "$lock" 60000
    wait_for first held 60 >/dev/null || die "the first container did not get the lock"
    kill -9 "$(main_process "$container")"
    ended "$container"
    local owner left
    owner=$(echo "$volume"/openclaw-*/"$lock"/owner.json)
    left=$(cat "$owner") || die "the killed holder left no record"
    say "   left behind: $(tr -d '\n' <<<"$left")"
    [ "$(field "$left" pid)" = 7 ] || die "the record does not name pid 7"

    # The doctor calls it likely stale only if the waiter started more than 30 s after the record was
    # written (plus any step of the clock): a smaller gap could be a coarse clock, and the waiter the owner.
    local gap
    gap=$((32 - ($(now_ms) - $(field "$left" createdAtMs)) / 1000))
    say "2. waiting ${gap} s: a successor that starts within 30 s of the record could be its writer"
    # In the background, so that a signal is answered at once.
    sleep "$gap" &
    wait $!

    say "3. its successor starts as pid 7 of a new container on the same volume"
    start_container second "$release" "$volume" node /opt/real/hold-lock.mjs /app auto "$lock" 60000
    wait_for second acquiring 60 >/dev/null || die "the second container did not start"
    # It looks every 100 ms, and a lock that it thinks stale is gone at the first look.
    if wait_for second held 4 >/dev/null 2>&1; then fail "the successor did not wait"; fi
    local waiter
    waiter=$(main_process "$container")
    [ "$(cat "$owner")" = "$left" ] || fail "the lock changed while the successor waited"
    say "   host pid $waiter, comm '$(cat "/proc/$waiter/comm")', has waited for over 3 s; the lock is as it was"

    say "4. openclaw-doctor scan"
    expect 1 "$doctor" scan "$volume"
    local class
    class=$("$doctor" scan --json "$volume" | "$node" -e '
        const { locks } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
        console.log(locks.map((lock) => `${lock.classification} ${lock.proof} ${lock.leaning}`).join("; "));
    ') || true
    [ "$class" = "legacy-unverifiable false likely-stale" ] || fail "the scan says: $class"

    say "5. openclaw-doctor repair --yes"
    local begun line waited held
    begun=$(now_ms)
    expect 0 "$doctor" repair --yes "$volume"
    line=$(wait_for second held 10) || fail "the successor still waits"
    read -r _ waited held <<<"$line"
    [ "$(cat "$owner")" != "$left" ] || fail "the successor holds the old record"

    say "6. once more: the lock is the living successor's now, and stays"
    left=$(cat "$owner")
    expect 1 "$doctor" repair --yes "$volume"
    [ "$(cat "$owner")" = "$left" ] || fail "the living successor's lock was touched"

    say "the successor waited $waited ms; from the start of repair to its lock: $((held - begun)) ms"
    printf '%s\n' "$((held - begun))"
}

field() { "$node" -p 'JSON.parse(process.argv[1])[process.argv[2]]' "$1" "$2"; }
