// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// backupFile is a file of rows, one JSON object a line, in gzip members that
// are each complete: a crash tears the last one at most.
type backupFile struct {
	mu   sync.Mutex
	file *os.File
}

// backupHeading is the first line of a file.
type backupHeading struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	Stamped []string `json:"stamped"` // the columns whose TTL and write time follow
}

// backupRow is one row. Values are the bytes of the server; null is null.
type backupRow struct {
	Values  []*[]byte `json:"v"`
	TTLs    []*int64  `json:"t,omitempty"` // seconds that each stamped column had left
	Written []*int64  `json:"w,omitempty"` // microseconds
	At      int64     `json:"s,omitempty"` // when TTLs were read, in seconds
	// Generation is higher in rows that were read again after an error than in
	// those of the same key that were read before.
	Generation int64 `json:"g,omitempty"`
}

func (f *backupFile) begin(format rowFormat) error {
	var p frame
	if err := p.add(backupHeading{format.schema.Table.Name, format.columns, format.stamped}); err != nil {
		return err
	}
	return f.commit(&p)
}

// frame collects rows that are written together.
type frame struct {
	buffer bytes.Buffer
	gz     *gzip.Writer
	rows   int64
}

// frameBytes is the size of compressed rows from which a frame is written out.
const frameBytes = 1 << 20

func (p *frame) add(line any) error {
	if p.gz == nil {
		var err error
		if p.gz, err = gzip.NewWriterLevel(&p.buffer, gzip.BestSpeed); err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
	}
	data, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if _, err := p.gz.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	p.rows++
	return nil
}

// spill writes the frame when it has grown large; it is not on disk yet.
func (f *backupFile) spill(p *frame) error {
	if p.buffer.Len() < frameBytes {
		return nil
	}
	return f.write(p)
}

func (f *backupFile) write(p *frame) error {
	if p.gz == nil {
		return nil
	}
	if err := p.gz.Close(); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.file.Write(p.buffer.Bytes()); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	p.buffer.Reset()
	p.gz = nil
	return nil
}

// commit writes the frame, and waits until all rows written so far are on disk:
// from now on they may be deleted.
func (f *backupFile) commit(p *frame) error {
	if err := f.write(p); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

// countingReader knows how many bytes were read of the file.
type countingReader struct {
	*bufio.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte lets the decompressor read no further than the member it is in.
func (c *countingReader) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// eachMember calls do with the content of every complete gzip member, and
// returns the length of the good part. What follows it is what a crash left.
func eachMember(path string, do func(io.Reader) error) (good int64, whole bool, err error) {
	file, err := os.Open(path) //nolint:gosec // G304: the path is the user's
	if err != nil {
		return 0, false, fmt.Errorf("read backup: %w", err)
	}
	defer func() { _ = file.Close() }()
	in := &countingReader{Reader: bufio.NewReaderSize(file, 1<<16)}
	var gz gzip.Reader
	for {
		if _, err := in.Peek(1); errors.Is(err, io.EOF) {
			return good, true, nil
		}
		if err := gz.Reset(in); err != nil {
			return good, false, nil
		}
		gz.Multistream(false)
		content := &tornReader{Reader: &gz}
		if err := do(content); err != nil {
			return good, false, err
		}
		if _, err := io.Copy(io.Discard, content); err != nil || content.torn {
			return good, false, nil
		}
		good = in.n
	}
}

// tornReader makes a torn end look like an end, and remembers that it was torn.
type tornReader struct {
	io.Reader
	torn bool
}

func (t *tornReader) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		t.torn = true
		return n, io.EOF
	}
	return n, err
}

func goodLength(path string) (int64, error) {
	good, _, err := eachMember(path, func(io.Reader) error { return nil })
	return good, err
}

func fileSum(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // G304: the path is the user's
	if err != nil {
		return "", fmt.Errorf("read backup: %w", err)
	}
	defer func() { _ = file.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("read backup: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readBackupFile calls do for every row of a file, in the order of writing.
// torn tells that its end was lost in a crash, before any row in it was deleted.
func readBackupFile(path string, do func(backupHeading, backupRow) error) (torn bool, err error) {
	var heading *backupHeading
	_, whole, err := eachMember(path, func(r io.Reader) error {
		lines := json.NewDecoder(r)
		for {
			if heading == nil {
				if err := lines.Decode(&heading); err != nil {
					return endOf(err)
				}
				continue
			}
			var row backupRow
			if err := lines.Decode(&row); err != nil {
				return endOf(err)
			}
			if len(row.Values) != len(heading.Columns) {
				return fmt.Errorf("read backup %s: a row has %d values for %d columns", path, len(row.Values), len(heading.Columns))
			}
			if err := do(*heading, row); err != nil {
				return err
			}
		}
	})
	return !whole, err
}

// endOf is nil at the end of a member, torn or not: a member that was torn is
// told by its length.
func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("read backup: %w", err)
}
