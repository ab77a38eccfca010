// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// RestorePlan is what a restore would bring back.
type RestorePlan struct {
	Title    string        `json:"title"`
	Keyspace string        `json:"keyspace"`
	Backup   string        `json:"backup"`
	Purge    string        `json:"purge"` // id of the purge that made the backup
	Cluster  string        `json:"cluster"`
	Tables   []RestorePart `json:"tables"`
	Creates  string        `json:"creates,omitempty"` // the table that is made again
	Done     bool          `json:"done"`              // it was restored before
	Whole    bool          `json:"whole"`             // the purge that made the backup was complete
	Notes    []string      `json:"notes,omitempty"`
	meta     *Metadata
	files    []restoreFile
	create   string
	verify   bool // all is written; only the verification is missing
	rowStamp int64
	saved    int64 // when the row that was saved was written
}

// RestorePart is what one table gets back.
type RestorePart struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// restoreFile is one file of rows. Later ones of a table hold newer rows.
type restoreFile struct {
	path  string
	table string
	rows  int64
	first int64 // the first timestamp of its rows, counted from the restore's
	most  int64 // the highest generation in it
	last  bool  // no later file has rows of its table
}

// PlanRestore looks at a backup and at the database, and says what a restore
// would do. Nothing is changed.
func PlanRestore(ctx context.Context, db Database, dir string) (*RestorePlan, error) {
	meta, err := readMetadata(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, inputf("folder %s holds no backup of a purge: it has no %s", dir, metadataName)
	}
	if err != nil {
		return nil, err
	}
	t := meta.Header.Target
	p := &RestorePlan{Title: t.Title(), Keyspace: t.Keyspace, Backup: dir, Purge: meta.Header.ID, Cluster: t.Cluster, meta: meta}
	if err := p.readFiles(); err != nil {
		return nil, err
	}
	cluster, err := db.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	if cluster.Name != t.Cluster {
		p.Notes = append(p.Notes, fmt.Sprintf("the backup is of cluster %q, and this is cluster %q", t.Cluster, cluster.Name))
	}
	if down := cluster.Down(); len(down) > 0 {
		return nil, fmt.Errorf("restore: node %s does not answer; the interface's row is written to all nodes, so bring it up first", down[0].Address)
	}
	if err := p.compareRow(ctx, db); err != nil {
		return nil, err
	}
	return p, p.compareTables(ctx, db)
}

// readFiles checks the sums of all files, and counts their rows.
func (p *RestorePlan) readFiles() error {
	dirs := []string{p.Backup}
	entries, err := os.ReadDir(p.Backup)
	if err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), shardPrefix) {
			dirs = append(dirs, filepath.Join(p.Backup, e.Name()))
		}
	}
	if shards := p.meta.Header.Shards; shards > 0 && len(dirs) != shards+1 {
		return fmt.Errorf("read backup: it was made by %d shards, and %d of their folders are here; copy all of them into %s", shards, len(dirs)-1, p.Backup)
	}
	p.Whole = true
	for _, dir := range dirs {
		if err := p.readFolder(dir); err != nil {
			return err
		}
	}
	if !p.Whole {
		p.Notes = append(p.Notes, "the purge that made this backup did not end: rows that it did not delete are written again as they were, and it must not be resumed after the restore")
	}
	for i, f := range p.files {
		p.files[i].last = !slices.ContainsFunc(p.files[i+1:], func(o restoreFile) bool { return o.table == f.table })
		at := slices.IndexFunc(p.Tables, func(r RestorePart) bool { return r.Table == f.table })
		if at < 0 {
			at = len(p.Tables)
			p.Tables = append(p.Tables, RestorePart{Table: f.table})
		}
		p.Tables[at].Rows += f.rows
	}
	for _, column := range p.meta.Unknown {
		p.Notes = append(p.Notes, fmt.Sprintf("the server could not tell when values of %s expire; they are restored without end unless another value of their row tells", column))
	}
	return nil
}

func (p *RestorePlan) readFolder(dir string) error {
	meta, err := readMetadata(dir)
	if err != nil {
		return err
	}
	if meta.Header.ID != p.Purge {
		return fmt.Errorf("read backup: folder %s is of another purge", dir)
	}
	for name, schema := range meta.Tables {
		p.meta.Tables[name] = schema
	}
	sums, err := checkSums(dir)
	if err != nil {
		return err
	}
	p.Whole = p.Whole && sums
	names, err := backupFiles(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		f := restoreFile{path: filepath.Join(dir, name)}
		torn, err := readBackupFile(f.path, func(h backupHeading, row backupRow) error {
			f.table = h.Table
			f.rows++
			f.most = max(f.most, row.Generation)
			if h.Table == tableInterfaces {
				p.saved = row.latest()
			}
			return nil
		})
		if err != nil {
			return err
		}
		if torn && sums {
			return fmt.Errorf("read backup: %s is damaged", f.path)
		}
		if f.rows > 0 {
			f.first = p.rowStamp
			p.files = append(p.files, f)
			p.rowStamp = f.first + (f.most+1)*stampsPerRow
		}
	}
	return nil
}

// stampsPerRow is how far apart the timestamps of rows that can be the same are:
// one for each try. A list that is written twice with one timestamp would have
// its elements twice.
const stampsPerRow = 16

// checkSums compares all files of a complete backup with their sums; whole is
// false when there are none.
func checkSums(dir string) (whole bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, sumsName)) //nolint:gosec // G304: the path is the user's
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read backup: %w", err)
	}
	sums := map[string]string{}
	if err := json.Unmarshal(data, &sums); err != nil {
		return false, fmt.Errorf("read backup: %s: %w", filepath.Join(dir, sumsName), err)
	}
	for name, want := range sums {
		got, err := fileSum(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			return false, err
		}
		if got != want {
			return false, fmt.Errorf("read backup: %s was changed since the purge: its checksum does not match", filepath.Join(dir, name))
		}
	}
	return true, nil
}

// compareRow refuses to mix what was saved with an interface that is there.
func (p *RestorePlan) compareRow(ctx context.Context, db Database) error {
	t := &p.meta.Header.Target
	keyspaces, err := cql.Keyspaces(ctx, db)
	if err != nil {
		return err
	}
	if !slices.Contains(keyspaces, t.Keyspace) {
		return inputf("keyspace %q is not in this database; the backup is of that one", t.Keyspace)
	}
	row, err := readRow(ctx, db, t, cql.Quorum)
	if err != nil {
		return err
	}
	past, err := p.state()
	if err != nil {
		return err
	}
	switch {
	case !row.found && t.Orphan && past.Complete:
		p.Done = true
	case !row.found:
	case past.RowStamp != 0 && row.written >= past.RowStamp && row.written < past.RowStamp+stampsPerRow:
		p.Done, p.verify = past.Complete, !past.Complete
	case row.written == p.saved:
		return fmt.Errorf("restore %s: it was never deleted: its row is still there; run the purge to its end, or leave it", p.Title)
	default:
		return fmt.Errorf("restore %s: the interface is there, its row was written at %s; it was installed again after the purge, and old data would be mixed with new; purge it first, or keep the new one", p.Title, formatMicros(row.written))
	}
	return nil
}

// latest is the latest time at which a row says it was written.
func (b backupRow) latest() int64 {
	var most int64
	for _, w := range b.Written {
		if w != nil {
			most = max(most, *w)
		}
	}
	return most
}

// compareTables checks that every table can take its rows back, and finds the
// one to make again.
func (p *RestorePlan) compareTables(ctx context.Context, db Database) error {
	t := &p.meta.Header.Target
	for name, saved := range p.meta.Tables {
		table, err := cql.NewTable(t.Keyspace, name)
		if err != nil {
			return err
		}
		now, found, err := cql.ReadTable(ctx, db, table)
		if err != nil {
			return err
		}
		if !found {
			if t.Object == nil || name != t.Object.Name {
				return fmt.Errorf("restore %s: table %s does not exist any more", p.Title, table)
			}
			p.Creates, p.create = name, saved.Create()
			continue
		}
		for _, c := range saved.Columns {
			if !slices.ContainsFunc(now.Columns, func(o cql.ColumnSchema) bool { return o.Name == c.Name && o.Type == c.Type }) {
				return fmt.Errorf("restore %s: table %s has no column %q of type %s any more", p.Title, table, c.Name, c.Type)
			}
		}
	}
	return nil
}
