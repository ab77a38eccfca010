#!/usr/bin/env bash
# SPDX-FileCopyrightText: The Holdfast Authors
# SPDX-License-Identifier: Apache-2.0

# Astarte's manual procedure for an individual datastream, scripted as a careful
# person would: the id is kept before the row goes, the keys are read in one
# query, every DELETE is a line of one file, and the query is asked again at the
# end. It leaves what the manual leaves: endpoints, path rows, triggers.
#
# manual.sh CQLSH HOST PORT KEYSPACE INTERFACE MAJOR FOLDER
# Prints the seconds of each step, and the number of partitions deleted.
set -euo pipefail
cqlsh=$1 host=$2 port=$3 keyspace=$4 interface=$5 major=$6 folder=$7

query() { "$cqlsh" --request-timeout=3600 --connect-timeout=30 --no-color -k "$keyspace" "$@" "$host" "$port"; }
now() { date +%s.%N; }
lap() { # NAME: seconds since the last lap
  local at; at=$(now)
  awk -v name="$1" -v from="$last" -v to="$at" 'BEGIN {printf "%s %.3f\n", name, to - from}'
  last=$at
}

last=$(now)
id=$(query -e "SELECT interface_id FROM interfaces WHERE name='$interface' AND major_version = $major" |
  grep -Eo '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')
[ -n "$id" ] || { echo "there is no $interface v$major in $keyspace" >&2; exit 1; }
echo "$id" >"$folder/interface_id"
query -e "DELETE FROM interfaces WHERE name='$interface' AND major_version = $major"
lap row

keys="SELECT DISTINCT device_id, interface_id, endpoint_id, path FROM individual_datastreams WHERE interface_id=$id ALLOW FILTERING"
query -e "PAGING OFF; $keys" >"$folder/keys.txt"
lap keys

# A line is " device | interface | endpoint | path"; a quote in a path is doubled.
awk -F ' *[|] *' '/^ *[0-9a-f-]+ *[|]/ {
  gsub(/^ +/, "", $1); path = $4; sub(/ +$/, "", path); gsub(/\047/, "\047\047", path)
  printf "DELETE FROM individual_datastreams WHERE device_id=%s AND interface_id=%s AND endpoint_id=%s AND path=\047%s\047;\n", $1, $2, $3, path
}' "$folder/keys.txt" >"$folder/deletes.cql"
count=$(wc -l <"$folder/deletes.cql")
lap prepare

query -f "$folder/deletes.cql"
lap deletes

if [ "$major" = 0 ]; then
  query -e "DELETE FROM kv_store WHERE group='devices-by-interface-$interface-v0'"
fi
query -e "PAGING OFF; $keys" >"$folder/left.txt"
grep -q '^(0 rows)' "$folder/left.txt" || { echo "some partitions are still there; see $folder" >&2; exit 1; }
lap check
echo "partitions $count"
