// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// folder holds a cluster's files. Its owner keeps a lock on it while it lives,
// so that a later start can tell what a killed test left behind.
type folder struct {
	path string
	lock *os.File
	// authority issues the certificates, when the cluster uses any.
	authority *authority
}

const folderPrefix = "holdfast-cassandra-"

// newFolder makes a folder and removes those whose owners are gone.
func newFolder() (*folder, error) {
	sweepFolders(os.TempDir())
	path, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for Cassandra: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a folder for Cassandra: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return &folder{path: path, lock: lock}, nil
}

func (f *folder) remove() error {
	if err := errors.Join(os.RemoveAll(f.path), f.lock.Close()); err != nil {
		return fmt.Errorf("remove the files of Cassandra: %w", err)
	}
	return nil
}

// sweepFolders removes the folders that nobody holds. One without a lock file
// is left alone: its owner may be about to make it.
func sweepFolders(parent string) {
	// A pattern that does not match is the only error.
	found, _ := filepath.Glob(filepath.Join(parent, folderPrefix+"*"))
	for _, path := range found {
		lock, err := os.Open(filepath.Join(path, "lock"))
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			// Somebody else's leftovers: what cannot be removed is no fault of this start.
			_ = os.RemoveAll(path)
		}
		_ = lock.Close()
	}
}

// artifacts is the folder with the jars, filled by build.sh when it is empty.
func artifacts(ctx context.Context) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "test", "cassandra", "build.sh"))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetch Cassandra's jars: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// Root is the top folder of the repository, searched from the working folder
// upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "test", "cassandra", "build.sh")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no test/cassandra/build.sh here or in a folder above; run from inside the repository")
		}
		dir = parent
	}
}

func java() string {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return filepath.Join(home, "bin", "java")
	}
	return "java"
}
