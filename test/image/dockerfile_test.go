// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package image tests what can be told of the container image without a
// container engine.
package image

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/holdfast-dev/holdfast/"

// A folder that the Dockerfile does not copy is missed by the build, which
// nobody sees before the image is built.
func TestEverythingIsCopied(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"cmd/holdfast").Output()
	if err != nil {
		t.Fatalf("list what holdfast is made of: %v", err)
	}
	var needed []string
	for _, path := range strings.Fields(string(out)) {
		if inside, found := strings.CutPrefix(path, module); found {
			folder, _, _ := strings.Cut(inside, "/")
			needed = append(needed, folder)
		}
	}
	slices.Sort(needed)
	needed = slices.Compact(needed)

	var copied []string
	for _, line := range lines(t, "../../Dockerfile") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "COPY" && f[1] == f[2] {
			copied = append(copied, f[1])
		}
	}
	slices.Sort(copied)
	if diff := cmp.Diff(needed, copied); diff != "" {
		t.Errorf("folders that the Dockerfile copies (-needed +copied):\n%s", diff)
	}

	var sent []string
	for _, line := range lines(t, "../../.dockerignore") {
		if name, found := strings.CutPrefix(line, "!"); found && !strings.HasPrefix(name, "go.") {
			sent = append(sent, name)
		}
	}
	slices.Sort(sent)
	if diff := cmp.Diff(needed, sent); diff != "" {
		t.Errorf("folders that .dockerignore lets through (-needed +sent):\n%s", diff)
	}
}

// The chart demands a user that is not root, which a cluster can only tell from
// a number, and a root file system that is never written to.
func TestFinalStage(t *testing.T) {
	t.Parallel()
	all := lines(t, "../../Dockerfile")
	last := 0
	for i, line := range all {
		if strings.HasPrefix(line, "FROM ") {
			last = i
		}
	}
	var got []string
	for _, line := range all[last:] {
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "COPY ") {
			got = append(got, line)
		}
	}
	want := []string{"FROM scratch", "USER 65532:65532", `ENTRYPOINT ["/holdfast"]`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("final stage (-want +got):\n%s", diff)
	}
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}
