// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Runbook is the commands of the sh blocks of docs/runbooks/name, in order, each
// in words, as people would type them.
func Runbook(ctx context.Context, name string) ([][]string, error) {
	root, err := Root(ctx)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "runbooks", name))
	if err != nil {
		return nil, fmt.Errorf("read runbook: %w", err)
	}
	var lines [][]string
	for i, block := range strings.Split(string(text), "```") {
		commands, shell := strings.CutPrefix(block, "sh\n")
		if i%2 == 0 || !shell {
			continue
		}
		for line := range strings.Lines(commands) {
			if words := strings.Fields(line); len(words) > 0 {
				lines = append(lines, words)
			}
		}
	}
	return lines, nil
}
