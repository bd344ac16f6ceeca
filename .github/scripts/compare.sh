#!/usr/bin/env bash
# Build two environments, compare them, leave compare.md and the other results in the folder $OUT (comparison):
#
#     BASE='torch==2.12.*' CANDIDATE='torch==2.13.*' .github/scripts/compare.sh
#
# $BASE and $CANDIDATE are requirements or folders of checkouts; $PATTERNS, $REPEATS, $SEEDS and $OPTIONS go to `bench ab`.
# Ends as `bench ab` does, with 124 after $BUDGET minutes. action.yml runs this.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=$(realpath --canonicalize-missing "${OUT:-comparison}")
mkdir -p "$out"
rm -f "$out/compare.json" "$out/comment.md" # of an earlier comparison

# nox runs in the folder of its noxfile, so folders are named from the root.
side() {
    if [[ -d "$1" ]]; then realpath "$1"; else printf '%s\n' "$1"; fi
}

# Words are split at white space, and never expanded as names of files.
read -r -d '' -a patterns <<<"${PATTERNS:-}" || true
read -r -d '' -a options <<<"${OPTIONS:-}" || true
read -ra nox <<<"${NOX:-pipx run nox}"
arguments=("${patterns[@]}" "${options[@]}" --out "$out" --store "$out/results.sqlite")
[[ -z "${REPEATS:-}" ]] || arguments+=(--repeats "$REPEATS")
[[ -z "${SEEDS:-}" ]] || arguments+=(--seeds "$SEEDS")
[[ -z "${PULL_REQUEST:-}" ]] || printf '%s\n' "$PULL_REQUEST" >"$out/pull-request"

code=0
timeout --signal=INT --kill-after=60 "${BUDGET:-60}m" \
    "${nox[@]}" -f "$root/noxfile.py" -s ab -- "$(side "$BASE")" "$(side "$CANDIDATE")" "${arguments[@]}" 2>&1 |
    tee "$out/log.txt" || code=$?

# `bench ab` writes the summary of a comparison; where there is none, the job says why.
if [[ ! -f "$out/compare.json" && -n "${GITHUB_STEP_SUMMARY:-}" ]]; then
    {
        printf '# No comparison\n\nIt ended with exit code %s' "$code"
        [[ "$code" != 124 ]] || printf ', after its budget of %s minutes' "${BUDGET:-60}"
        # shellcheck disable=SC2016 # a fence of Markdown, no command
        printf ':\n\n```text\n%s\n```\n' "$(tail -n 10 "$out/log.txt")"
    } >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
