#!/usr/bin/env bash
# SPDX-FileCopyrightText: The Holdfast Authors
# SPDX-License-Identifier: Apache-2.0

# Copies the jars that pom.xml names, with what they depend on, once, into a
# cache folder, and prints that folder. Needs JDK 17 and Maven.
set -euo pipefail
cd "$(dirname "$0")"

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
major=$("$java" -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p' || true)
case $major in
  11 | 17) ;;
  "") echo "$java does not run; install JDK 17 or set JAVA_HOME to one" >&2; exit 2 ;;
  *) echo "$java is version $major, and Cassandra 5.0 runs on 11 and 17; set JAVA_HOME to a JDK 17" >&2; exit 2 ;;
esac

version=$(sed -n '/<artifactId>cassandra-all</,/<version>/s/.*<version>\(.*\)<.*/\1/p' pom.xml)
# The folder's name holds everything that decides what is in it.
key=$(cat build.sh pom.xml | sha256sum | cut -c1-12)
cache=${HOLDFAST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holdfast}/cassandra
out=$cache/$version-$key
if [ -e "$out/complete" ]; then
  echo "$out"
  exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # a second build waits for the first and then finds its work done
if [ ! -e "$out/complete" ]; then
  command -v mvn >/dev/null || { echo "mvn is not on the PATH; install Maven, or set HOLDFAST_TEST_CASSANDRA=host:port to use a running server" >&2; exit 2; }
  echo "copying Cassandra $version and its dependencies into $out (once, 66 MB)" >&2
  rm -rf "$out"
  mkdir -p "$out"
  # Maven must not inherit the lock: a daemon of its own would keep it.
  mvn -B -q -f pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$out/lib" >&2 9>&-
  agents=("$out"/lib/jamm-*.jar)
  [ -e "${agents[0]}" ] || { echo "copy $version: there is no jamm jar among its dependencies" >&2; exit 1; }
  touch "$out/complete"
fi
echo "$out"
