# shellcheck shell=bash
# The subcommands `record` and `check`: owner records as the releases' own lock code writes them.

releases=(2026.4.24 2026.4.25 2026.4.26 2026.4.27 2026.4.29 2026.4.30-beta.1)
records=$tree/fixtures/records

# record_release RELEASE OUT: fills OUT/RELEASE.
record_release() {
    local release=$1 out=$2/$1 modules family lock line install_root copy pid7 holder
    modules=$(fetch "openclaw@$release")/node_modules
    rm -rf "$out"
    mkdir -p "$out"
    local rows=()
    for family in runtime-deps runtime-mirror; do
        lock=.openclaw-$family.lock
        grep -q "\"$lock\"" "$modules"/openclaw/dist/*.js || continue

        # In a container. The copy is made while the lock is held: release deletes it.
        start_container "$release-$family" "$release" "$work/$release-$family.volume" \
            node /opt/real/hold-lock.mjs /app auto "$lock" 60000
        line=$(wait_for "$release-$family" acquiring 60) || die "$release: $family is not being taken"
        read -r _ pid7 install_root <<<"$line"
        [ "$pid7" = 7 ] || die "$release: wanted pid 7, got $pid7"
        wait_for "$release-$family" held 10 >/dev/null || die "$release: $family is not held"
        copy=$work/$release-$family.volume/${install_root#"$stage_dir/"}/$lock
        keep "$copy" "$out/$family"
        rows+=("$family" 7 "$copy")
        kill -9 "$(main_process "$container")"
        ended "$container"

        # On the host, with whatever pid comes. A subshell keeps the umask from the rest.
        copy=$work/$release-$family.plain/${install_root##*/}/$lock
        (
            umask 022
            mkdir -p "$work/home"
            exec env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" \
                "$node" "$here/hold-lock.mjs" "$modules/openclaw" "${copy%/*}" "$lock" 60000
        ) >"$work/$release-$family-plain.log" 2>&1 &
        holder=$!
        running[$holder]=$release-$family-plain
        wait_for "$release-$family-plain" held 60 >/dev/null || die "$release: $family is not held on the host"
        keep "$copy" "$out/$family/ordinary-pid"
        rows+=("$family/ordinary-pid" "$holder" "$copy")
        kill -9 "$holder"
        ended "$holder"
    done
    "$node" "$here/note.mjs" "$modules" "$release" "$install_root" "${rows[@]}" >"$out/note.json"
    say "recorded $release: $(find "$out" -name owner.json | wc -l) records"
}

# keep LOCK-DIR COPY: the lock directory as it stands, which must be one file and nothing else.
keep() {
    [ "$(ls -A "$1")" = owner.json ] || die "$1 holds more than owner.json"
    mkdir -p "$2"
    cp "$1/owner.json" "$2/owner.json"
}

record() {
    [ $# -gt 0 ] || set -- "${releases[@]}"
    fetch_node
    local release
    for release in "$@"; do record_release "$release" "$records"; done
}

check() {
    [ $# -gt 0 ] || set -- "${releases[@]}"
    fetch_node
    local release
    for release in "$@"; do record_release "$release" "$work/records"; done
    "$node" "$here/shape.mjs" "$records" "$work/records" "$@" || fail "the fixtures are not what the releases write"
    say "the fixtures have the shape that $# releases write"
}
