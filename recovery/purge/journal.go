// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Journal is what a purge has to remember: one record a line, each on disk
// before the action that it announces. Its last line may be torn by a crash and
// is then ignored; any other damage is an error.
type Journal struct {
	Dir  string
	file *os.File
	lock *flock.Flock
	seq  int
	now  func() time.Time
}

// Record is one line of a journal.
type Record struct {
	Seq  int             `json:"seq"`
	Time time.Time       `json:"time"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
	CRC  string          `json:"crc32c"`
}

const (
	journalName = "journal.jsonl"
	lockName    = "LOCK"
)

// ErrLocked means that another process works on the same purge.
var ErrLocked = errors.New("another process works on this purge")

func (r Record) sum() string {
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, _ = fmt.Fprintf(h, "%d %s %s ", r.Seq, r.Time.UTC().Format(time.RFC3339Nano), r.Type)
	_, _ = h.Write(r.Data)
	return fmt.Sprintf("%08x", h.Sum32())
}

// OpenJournal opens the journal in dir for writing, and makes it when there is
// none. The records that it has are returned. One process at a time has it.
func OpenJournal(dir string, now func() time.Time) (*Journal, []Record, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make journal: %w", err)
	}
	lock := flock.New(filepath.Join(dir, lockName))
	got, err := lock.TryLock()
	if err != nil {
		return nil, nil, fmt.Errorf("lock journal %s: %w", dir, err)
	}
	if !got {
		holder, _ := os.ReadFile(filepath.Join(dir, lockName+".holder")) //nolint:gosec // G304: the path is the user's; the name of the holder is a courtesy
		return nil, nil, fmt.Errorf("%w: %s is locked%s; wait for it or stop it", ErrLocked, dir, heldBy(holder))
	}
	j := &Journal{Dir: dir, lock: lock, now: now}
	records, err := j.open()
	if err != nil {
		return nil, nil, errors.Join(err, lock.Unlock())
	}
	return j, records, nil
}

func heldBy(holder []byte) string {
	if len(holder) == 0 {
		return ""
	}
	return " by " + string(bytes.TrimSpace(holder))
}

func (j *Journal) open() ([]Record, error) {
	host, _ := os.Hostname()
	if err := os.WriteFile(filepath.Join(j.Dir, lockName+".holder"), fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0o600); err != nil {
		return nil, fmt.Errorf("lock journal: %w", err)
	}
	path := filepath.Join(j.Dir, journalName)
	records, good, err := ReadJournal(j.Dir)
	if err != nil {
		return nil, err
	}
	j.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // G304: the path is the user's
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	// What a crash left of a record must not run into the next one.
	if err := j.file.Truncate(good); err != nil {
		return nil, fmt.Errorf("mend journal %s: %w", path, err)
	}
	if _, err := j.file.Seek(good, io.SeekStart); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := syncDir(j.Dir); err != nil {
		return nil, err
	}
	j.seq = len(records)
	return records, nil
}

// ReadJournal reads the records of the journal in dir without locking it, and
// the length of its good part. No journal is no records.
func ReadJournal(dir string) (records []Record, good int64, err error) {
	path := filepath.Join(dir, journalName)
	data, err := os.ReadFile(path) //nolint:gosec // G304: the path is the user's
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read journal: %w", err)
	}
	reader := bufio.NewReader(bytes.NewReader(data))
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// Without its end, a line was never finished: nothing was done for it.
			return records, good, nil
		}
		var r Record
		if json.Unmarshal(line, &r) != nil || r.CRC != r.sum() || r.Seq != len(records) {
			if good+int64(len(line)) == int64(len(data)) {
				return records, good, nil
			}
			return nil, 0, fmt.Errorf("read journal %s: line %d is damaged; do not go on with it: restore the file, or move the folder away and purge again with --orphan", path, len(records)+1)
		}
		records = append(records, r)
		good += int64(len(line))
	}
}

// Append writes a record and waits until it is on disk.
func (j *Journal) Append(kind string, data any) (Record, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return Record{}, fmt.Errorf("write journal: %w", err)
	}
	r := Record{Seq: j.seq, Time: j.now().UTC(), Type: kind, Data: raw}
	r.CRC = r.sum()
	line, err := json.Marshal(r)
	if err != nil {
		return Record{}, fmt.Errorf("write journal: %w", err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return Record{}, fmt.Errorf("write journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return Record{}, fmt.Errorf("write journal: %w", err)
	}
	j.seq++
	return r, nil
}

// Close lets others have the journal.
func (j *Journal) Close() error {
	return errors.Join(j.file.Close(), j.lock.Unlock())
}

// writeFile replaces a file in one step, on disk before it returns.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

// syncDir puts the names in a folder on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // G304: the path is the user's
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
