// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// runsDir is the folder of the journals of all purges of an interface.
func runsDir(base, keyspace, name string, major int) string {
	return filepath.Join(base, keyspace, fmt.Sprintf("%s-v%d", name, major))
}

// pastRun is a purge of the same interface that has a journal.
type pastRun struct {
	dir   string
	state *state
}

// lastRun is the latest purge of the interface that has a header; nil when
// there is none. A folder without one was left by a crash before anything else
// was done.
func lastRun(base, keyspace, name string, major int) (*pastRun, error) {
	dir := runsDir(base, keyspace, name, major)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for journals: %w", err)
	}
	// ULIDs sort by time.
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(b.Name(), a.Name()) })
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		records, _, err := ReadJournal(path)
		if err != nil {
			return nil, err
		}
		st, err := replay(records)
		if err != nil {
			return nil, err
		}
		if st.header != nil {
			return &pastRun{path, st}, nil
		}
	}
	return nil, nil
}

// DoneError means that the purge was completed before, and that there is
// nothing to do now.
type DoneError struct {
	Title   string
	Journal string
	When    time.Time
}

func (e *DoneError) Error() string {
	return fmt.Sprintf("%s was purged on %s; nothing to do (the report is in %s)", e.Title, e.When.Format(time.RFC3339), e.Journal)
}
