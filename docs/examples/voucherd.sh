#!/usr/bin/env bash
# A client of voucherd's HTTP API: bash, curl, jq, and openssl for webhooks. Copy it whole, or source it.
#
#   GATEWAY=https://voucherd.example TOKEN=voucherd_… ./voucherd.sh upload [--wait] FILE ORDER [REFERENCE]
#   … ./voucherd.sh wait ID
#   … ./voucherd.sh list [NAME=VALUE…]        as in list state=rejected since=24h
#   … ./voucherd.sh feed CURSORFILE           a page of what ended since the last time
#   WEBHOOK_SECRET=whsec_… ./voucherd.sh verify ID TIMESTAMP SIGNATURE <BODY
set -euo pipefail

tolerance=300 # seconds that a webhook's time may be off

die() {
  echo "$*" >&2
  exit 1
}

# call PATH [CURL OPTION…] prints the answer. It tries again what may pass by itself. That is safe for uploads too:
# the same voucher for the same order is the same upload. The token stays out of the process list.
call() {
  local pause answer status
  : "${GATEWAY:?is not set}" "${TOKEN:?is not set}"
  for pause in 0.5 1 2 4 8 ''; do
    status=000
    if answer=$(curl -sS --max-time 60 -w '\n%{http_code}' "${@:2}" \
      --config <(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN") -- "${GATEWAY%/}$1"); then
      status=${answer##*$'\n'}
    fi
    case $status in
      2??) printf '%s\n' "${answer%$'\n'*}"; return ;;
      000 | 503 | 507) [[ -z $pause ]] || sleep "$pause" ;;
      *) break ;;
    esac
  done
  [[ $status != 000 ]] || die 'no answer'
  die "refused with HTTP $status: $(jq -r .detail <<<"${answer%$'\n'*}" 2>/dev/null || true)"
}

# upload FILE ORDER [REFERENCE] enqueues a voucher and prints its upload.
upload() {
  [[ -r $1 ]] || die "$1 cannot be read"
  call /v1/uploads --form-string "orderId=$2" --form-string "reference=${3-}" -F "voucher=@\"$1\""
}

# wait_for ID prints the state once the upload has ended. While PandaPon's API is away, that can take days.
wait_for() {
  local upload state
  while :; do
    upload=$(call "/v1/uploads/$1")
    state=$(jq -r .state <<<"$upload")
    case $state in delivered | rejected | expired | discarded) break ;; esac
    sleep 2
  done
  printf '%s\n' "$state"
}

# list [NAME=VALUE…] prints uploads as JSON, one a line, newest first: by state, orderId, requestId, code, account,
# since.
list() {
  local cursor='' page filter filters=()
  for filter; do filters+=(--data-urlencode "$filter"); done
  while :; do
    page=$(call /v1/uploads --get ${filters[@]+"${filters[@]}"} --data-urlencode "cursor=$cursor")
    jq -c '.uploads[]' <<<"$page"
    cursor=$(jq -r '.cursor // ""' <<<"$page")
    [[ $cursor ]] || return 0
  done
}

# events [CURSOR] prints the events after a cursor, and the cursor to go on from. It waits for the first one. Deal with
# the events, then keep the cursor. An event may come again, with the same id.
events() { call /v1/events --get --data-urlencode "after=${1-}" -d wait=30s; }

# verify SECRET ID TIMESTAMP SIGNATURE <BODY prints the event of a webhook, and fails when it is not voucherd's. The
# last three are the headers webhook-id, webhook-timestamp and webhook-signature. Other users of this machine can see
# the key while openssl runs.
verify() {
  local body off key want given
  body=$(cat; printf .) # the dot keeps line ends
  body=${body%.}
  [[ $3 =~ ^[0-9]{1,12}$ ]] || die "the webhook's time is off"
  off=$(($(date +%s) - 10#$3))
  ((${off#-} <= tolerance)) || die "the webhook's time is off"
  key=$(base64 -d <<<"${1#whsec_}" | od -An -v -tx1 | tr -d ' \n')
  want=v1,$(printf '%s.%s.%s' "$2" "$3" "$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
  for given in $4; do
    if [[ $given == "$want" ]]; then
      printf '%s' "$body"
      return
    fi
  done
  die "the webhook's signature is wrong"
}

show() { jq -r '[.id, .type, .data.id // ""] | @tsv'; }

# follow FILE prints a page of events, and then keeps the cursor in the file.
follow() {
  local page after=
  [[ ! -e $1 ]] || after=$(<"$1")
  page=$(events "$after")
  jq -c '.events[]' <<<"$page" | show
  jq -r .cursor <<<"$page" >"$1.new"
  mv "$1.new" "$1"
}

main() {
  local wait= answer id state
  case ${1-}:$# in
    upload:3 | upload:4 | upload:5)
      [[ $2 != --wait ]] || { wait=yes; shift; }
      (($# == 3 || $# == 4)) || main
      answer=$(upload "${@:2}")
      id=$(jq -r .id <<<"$answer")
      echo "$id"
      [[ $wait ]] || return 0
      ;;
    wait:2) id=$2 ;;
    list:*) list "${@:2}" | jq -r '[.id, .state, .orderId] | @tsv'; return ;;
    feed:2) follow "$2"; return ;;
    verify:4)
      answer=$(verify "${WEBHOOK_SECRET:?is not set}" "${@:2}")
      show <<<"$answer"
      return
      ;;
    *)
      sed -n '4,8s/^# *//p' "$0" >&2
      exit 2
      ;;
  esac
  state=$(wait_for "$id")
  echo "$state"
  [[ $state == delivered ]] || exit 4
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
