#!/usr/bin/env bash
# SPDX-FileCopyrightText: The Holdfast Authors
# SPDX-License-Identifier: Apache-2.0

# Builds kube-apiserver, kube-controller-manager, etcd, kubectl, helm3 and helm4
# from the Go modules pinned below binaries/, once, into a cache folder, and
# prints that folder. KUBEBUILDER_ASSETS names a folder of ready binaries instead.
set -euo pipefail
cd "$(dirname "$0")/binaries"

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  for b in kube-apiserver kube-controller-manager etcd kubectl; do
    [ -x "$KUBEBUILDER_ASSETS/$b" ] || {
      echo "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no $b; unset it to build everything from source" >&2
      exit 2
    }
  done
  echo "$KUBEBUILDER_ASSETS"
  exit 0
fi

version() { awk -v m="$2" '$1 == m {print $2; exit} $2 == m {print $3; exit}' "$1/go.mod"; }
kube=$(version kubernetes k8s.io/kubernetes)
helm3=$(version helm/v3 helm.sh/helm/v3)
helm4=$(version helm/v4 helm.sh/helm/v4)
# The folder's name holds everything that decides what is in it.
key=$(cat ../build.sh kubernetes/go.* helm/v3/go.* helm/v4/go.* <(go env GOVERSION GOOS GOARCH) | sha256sum | cut -c1-12)
cache=${HOLDFAST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holdfast}/controlplane
out=$cache/$kube-$key
if [ -e "$out/complete" ]; then
  echo "$out"
  exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two builds at once would only make each other slow
if [ ! -e "$out/complete" ]; then
  mkdir -p "$out"
  echo "building the control plane $kube, helm $helm3 and helm $helm4 into $out (once, about 5 minutes)" >&2
  build() { # FOLDER BINARY PACKAGE LDFLAGS
    echo "  $2" >&2
    (cd "$1" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $4" -o "$out/$2" "$3" >&2)
  }
  # Helm refuses a server that does not tell its version.
  v=k8s.io/component-base/version
  major=${kube#v}; minor=${major#*.}
  stamp="-X $v.gitVersion=$kube -X $v.gitMajor=${major%%.*} -X $v.gitMinor=${minor%%.*} -X $v.gitTreeState=clean"
  build kubernetes etcd go.etcd.io/etcd/server/v3 ""
  for b in kube-apiserver kube-controller-manager kubectl; do
    build kubernetes $b k8s.io/kubernetes/cmd/$b "$stamp"
  done
  build helm/v3 helm3 helm.sh/helm/v3/cmd/helm "-X helm.sh/helm/v3/internal/version.version=$helm3"
  build helm/v4 helm4 helm.sh/helm/v4/cmd/helm "-X helm.sh/helm/v4/internal/version.version=$helm4"
  touch "$out/complete"
fi
echo "$out"
