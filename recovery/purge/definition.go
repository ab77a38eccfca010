// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// definitionDir is where the definition of the interface is kept beside the
// journal, whether or not its data is backed up.
const definitionDir = "definition"

// saveDefinition keeps the rows that define the interface, raw, before the
// first of them is deleted: always in the journal's folder, and in the backup
// when there is one.
func (r *run) saveDefinition(ctx context.Context) error {
	if r.state.metadata {
		return nil
	}
	r.say(phaseJournal, "saving the definition of %s", Title(r.target.Name, r.target.Major))
	dir := filepath.Join(r.journal.Dir, definitionDir)
	// What a crash left of it is begun anew: nothing was deleted yet.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("save definition: %w", err)
	}
	own, err := openBackup(dir, r.state.header, r.o.Now)
	if err != nil {
		return err
	}
	err = r.saveDefinitionTo(ctx, own)
	if err == nil {
		err = own.Finish()
	}
	if err := errors.Join(err, own.Close()); err != nil {
		return err
	}
	if r.backup != nil {
		if err := r.saveDefinitionTo(ctx, r.backup); err != nil {
			return err
		}
	}
	if err := r.checkDefinition(dir); err != nil {
		return err
	}
	return r.append(recordMetadata, empty{})
}

func (r *run) saveDefinitionTo(ctx context.Context, b *backup) error {
	t := &r.target
	parts := []struct {
		table string
		where []string
		is    []any
	}{
		{tableInterfaces, []string{columnName, columnMajor}, []any{t.Name, t.Major}},
		{tableEndpoints, []string{columnInterface}, []any{t.ID}},
		{tableKV, []string{columnGroup}, []any{DevicesGroup(t.Name, t.Major)}},
		{tableKV, []string{columnGroup}, []any{DataGroup(t.Name, t.Major)}},
	}
	for _, part := range parts {
		f, found, err := newRowFormat(ctx, r.db, t.table(part.table))
		if err != nil {
			return fmt.Errorf("save definition: %w", err)
		}
		if !found {
			continue
		}
		text := cql.SelectExpressions(t.table(part.table), f.expressions(), part.where)
		st := cql.Statement{Text: text, Values: part.is, Consistency: cql.Quorum, PageSize: pageRows}
		if _, err := b.save(ctx, r.db, f, st); err != nil {
			return fmt.Errorf("save definition: %w", err)
		}
	}
	if t.Object != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.meta.Tables[t.Object.Name] = t.Object.Schema
		return b.writeMetadata()
	}
	return nil
}

// save writes all rows of a statement, and waits until they are on disk.
func (b *backup) save(ctx context.Context, db Reader, f rowFormat, st cql.Statement) (int64, error) {
	return b.saveAt(ctx, db, f, savedRead{st, 0})
}

// savedRead is a statement whose rows are saved, and their generation.
type savedRead struct {
	cql.Statement
	generation int64
}

func (b *backup) saveAt(ctx context.Context, db Reader, f rowFormat, st savedRead) (int64, error) {
	file, err := b.file(f)
	if err != nil {
		return 0, err
	}
	var p frame
	err = f.read(ctx, db, st.Statement, func(row backupRow) error {
		row.stampNow(b.now)
		row.Generation = st.generation
		if err := p.add(row); err != nil {
			return err
		}
		return file.spill(&p)
	})
	if err != nil {
		return p.rows, err
	}
	return p.rows, file.commit(&p)
}

// checkDefinition reads back what was saved: a disk that lies must be found out
// before the first delete.
func (r *run) checkDefinition(dir string) error {
	want := int64(1)
	if r.target.Orphan {
		want = 0
	}
	var got int64
	names, err := backupFiles(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		torn, err := readBackupFile(filepath.Join(dir, name), func(h backupHeading, row backupRow) error {
			if h.Table == tableInterfaces {
				got++
				if id := row.column(h, columnInterface); id == nil || string(*id) != string(r.target.ID[:]) {
					return fmt.Errorf("save definition: the id read back is not the one written")
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if torn {
			return fmt.Errorf("save definition: %s cannot be read back whole", filepath.Join(dir, name))
		}
	}
	if got != want {
		return fmt.Errorf("save definition: %d rows of the interface were read back, not %d; it changed meanwhile, run the command again", got, want)
	}
	return nil
}

func (b backupRow) column(h backupHeading, name string) *[]byte {
	for i, c := range h.Columns {
		if c == name {
			return b.Values[i]
		}
	}
	return nil
}
