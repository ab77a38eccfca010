// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// backup is a folder that keeps every deleted row: metadata.json says of what,
// one compressed file of rows a table and process, and sums.json once the purge
// is complete. A row is on disk before it is deleted.
type backup struct {
	dir string
	now func() time.Time

	mu    sync.Mutex
	files map[string]*backupFile
	meta  Metadata
}

// Metadata says what a backup is of.
type Metadata struct {
	Format  int                        `json:"format"`
	Header  *Header                    `json:"header"`
	Tables  map[string]cql.TableSchema `json:"tables"`
	Unknown []string                   `json:"unknown,omitempty"` // columns whose times the server could not tell
}

const (
	metadataName = "metadata.json"
	sumsName     = "sums.json"
	backupSuffix = ".jsonl.gz"
	shardPrefix  = "shard-"
)

func backupDir(dir string, s Shard) string {
	if s.Role == RoleSweep {
		return filepath.Join(dir, shardDir(s.Index, s.Count))
	}
	return dir
}

// openBackup opens the backup of a purge in dir, or begins it. A folder that
// holds anything else is refused.
func openBackup(dir string, h *Header, now func() time.Time) (*backup, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make backup folder: %w", err)
	}
	b := &backup{dir: dir, now: now, files: map[string]*backupFile{}, meta: Metadata{Format: 1, Header: h, Tables: map[string]cql.TableSchema{}}}
	meta, err := readMetadata(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("read backup folder: %w", err)
		}
		entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
			// What is named like the metadata is the rest of a beginning that was cut off.
			return strings.HasPrefix(e.Name(), shardPrefix) || strings.HasPrefix(e.Name(), metadataName+".") || e.Name() == "lost+found"
		})
		if len(entries) > 0 {
			return nil, fmt.Errorf("begin backup: the folder %s is not empty, and holds no backup of this purge; name an empty one with --backup", dir)
		}
		return b, b.writeMetadata()
	case err != nil:
		return nil, err
	case meta.Header.ID != h.ID:
		return nil, fmt.Errorf("go on with backup: the folder %s holds the backup of another purge, of %s on %s; name another one with --backup", dir, meta.Header.Target.Title(), meta.Header.Created.Format(time.RFC3339))
	}
	b.meta = *meta
	return b, b.mend()
}

func readMetadata(dir string) (*Metadata, error) {
	data, err := os.ReadFile(filepath.Join(dir, metadataName)) //nolint:gosec // G304: the path is the user's
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read backup: %s: %w", filepath.Join(dir, metadataName), err)
	}
	if m.Format != 1 || m.Header == nil {
		return nil, fmt.Errorf("read backup: %s has format %d, which this version of Holdfast does not know", filepath.Join(dir, metadataName), m.Format)
	}
	return &m, nil
}

func (b *backup) writeMetadata() error {
	data, err := json.MarshalIndent(b.meta, "", "  ")
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return writeFile(filepath.Join(b.dir, metadataName), append(data, '\n'))
}

// mend cuts off what a crash left of the last frame of each file: none of its
// rows had been deleted.
func (b *backup) mend() error {
	names, err := backupFiles(b.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		good, err := goodLength(filepath.Join(b.dir, name))
		if err != nil {
			return err
		}
		if err := os.Truncate(filepath.Join(b.dir, name), good); err != nil {
			return fmt.Errorf("mend backup: %w", err)
		}
	}
	return nil
}

// backupFiles are the files of rows in a backup, in the order of writing.
func backupFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), backupSuffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// nextFile is the name of the next file of a table: they are numbered in the
// order in which processes wrote them.
func nextFile(dir, table string) (string, error) {
	names, err := backupFiles(dir)
	if err != nil {
		return "", err
	}
	n := 1
	for _, name := range names {
		if strings.HasPrefix(name, table+"-") {
			n++
		}
	}
	return fmt.Sprintf("%s-%04d%s", table, n, backupSuffix), nil
}

// file is the file that this process writes the rows of a table to.
func (b *backup) file(f rowFormat) (*backupFile, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if open, ok := b.files[f.schema.Table.Name]; ok {
		return open, nil
	}
	table := f.schema.Table.Name
	if _, ok := b.meta.Tables[table]; !ok {
		b.meta.Tables[table] = f.schema
		b.meta.Unknown = append(b.meta.Unknown, f.unknown()...)
		if err := b.writeMetadata(); err != nil {
			return nil, err
		}
	}
	name, err := nextFile(b.dir, table)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(b.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // G304: the path is the user's
	if err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	open := &backupFile{file: file}
	if err := open.begin(f); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	b.files[table] = open
	return open, syncDir(b.dir)
}

// Close closes the files.
func (b *backup) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, f := range b.files {
		errs = append(errs, f.file.Close())
	}
	b.files = map[string]*backupFile{}
	return errors.Join(errs...)
}

// Finish writes the sums of all files: the backup is complete.
func (b *backup) Finish() error {
	if err := b.Close(); err != nil {
		return err
	}
	names, err := backupFiles(b.dir)
	if err != nil {
		return err
	}
	sums := map[string]string{}
	for _, name := range append(names, metadataName) {
		if sums[name], err = fileSum(filepath.Join(b.dir, name)); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(sums, "", "  ")
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return writeFile(filepath.Join(b.dir, sumsName), append(data, '\n'))
}
