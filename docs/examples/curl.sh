#!/usr/bin/env bash
# Enqueues a payment voucher with curl and prints the upload's id.
#
#   GATEWAY=https://voucherd.example TOKEN=voucherd_… ./curl.sh [--wait] FILE ORDER [REFERENCE]
set -euo pipefail

usage='usage: curl.sh [--wait] FILE ORDER [REFERENCE]'
: "${GATEWAY:?is not set}" "${TOKEN:?is not set}"
wait=
if [[ ${1-} == --wait ]]; then
  wait=yes
  shift
fi
file=${1:?$usage} order=${2:?$usage} reference=${3-}
[[ -r $file ]] || { echo "$file cannot be read" >&2; exit 1; }

# member NAME JSON prints a text member. With jq: jq -r ".$1".
member() {
  local text='":"(([^"\]|\\.)*)"'
  [[ $2 =~ \"$1$text ]] && printf '%b\n' "${BASH_REMATCH[1]}"
}

# call PATH [CURL OPTION…] prints the answer. It tries again what may pass by itself. That is safe for uploads too:
# the same voucher for the same order is the same upload. The token stays out of the process list.
call() {
  local pause answer status
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
  if [[ $status == 000 ]]; then
    echo 'no answer' >&2
  else
    echo "refused with HTTP $status: $(member detail "$answer" || true)" >&2
  fi
  exit 1
}

upload=$(call /v1/uploads \
  --form-string "orderId=$order" --form-string "reference=$reference" -F "voucher=@\"$file\"")
id=$(member id "$upload")
echo "$id"

[[ $wait ]] || exit 0
while :; do
  state=$(member state "$(call "/v1/uploads/$id")")
  case $state in delivered | rejected | expired | discarded) break ;; esac
  sleep 2
done
echo "$state"
[[ $state == delivered ]] || exit 4
