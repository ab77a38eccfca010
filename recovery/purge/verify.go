// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"sync"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Leftover is something of the interface that is still there.
type Leftover struct {
	Table   string `json:"table"`
	Key     string `json:"key"`
	Written string `json:"written,omitempty"` // when it was last written, if the server tells
	Reason  string `json:"reason,omitempty"`
}

// Verification is what reading everything once more has found.
type Verification struct {
	Clean      bool       `json:"clean"`
	Level      string     `json:"consistency"`
	Leftovers  []Leftover `json:"leftovers,omitempty"` // the first of them
	Found      int64      `json:"found"`               // how many there are
	Unreadable int        `json:"unreadable"`          // ranges of tokens that could not be read
	Triggers   []string   `json:"triggers,omitempty"`
}

// verify reads everything once more, with another kind of query than the sweeps
// used: a mistake of the first cannot hide in the second.
func (r *run) verify(ctx context.Context) error {
	level, err := r.verifyLevel(ctx)
	if err != nil {
		return err
	}
	r.say(phaseVerify, "verifying with another kind of query, at consistency %s", level)
	v := &verifier{run: r, level: level, result: Verification{Level: level.String()}}
	if err := v.rows(ctx); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if r.o.Shard.Role != RoleFinish {
		if err := v.data(ctx, cql.FullRing()); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	return r.judgeVerification(&v.result)
}

// judgeVerification records a verification, and says what it means.
func (r *run) judgeVerification(v *Verification) error {
	v.Clean = v.Found == 0 && v.Unreadable == 0
	r.future.mu.Lock()
	for i, l := range v.Leftovers {
		for _, f := range r.future.some {
			if f.Table == l.Table && f.Key == l.Key {
				v.Leftovers[i] = f
			}
		}
	}
	r.future.mu.Unlock()
	if err := r.append(recordVerify, v); err != nil {
		return err
	}
	if v.Clean {
		return nil
	}
	if v.Found == 0 {
		return fmt.Errorf("%w: verification could not read %d ranges of tokens; run the same command again when the database is well", ErrIncomplete, v.Unreadable)
	}
	first := v.Leftovers[0]
	detail := first.Key
	if first.Written != "" {
		detail += ", written at " + first.Written
	}
	if first.Reason != "" {
		detail += ", " + first.Reason
	}
	return fmt.Errorf("%w: verification found %d leftovers, the first in table %s: %s; run the same command again to sweep once more", ErrIncomplete, v.Found, first.Table, detail)
}

// verifyLevel is ALL when every node answers.
func (r *run) verifyLevel(ctx context.Context) (cql.Consistency, error) {
	cluster, err := r.db.Cluster(ctx)
	if err != nil {
		return 0, err
	}
	if len(cluster.Down()) > 0 {
		r.warn(phaseVerify, "node %s does not answer: verifying at QUORUM, so what that node alone holds is not seen", cluster.Down()[0].Address)
		return cql.Quorum, nil
	}
	return cql.All, nil
}

type verifier struct {
	*run
	level  cql.Consistency
	mu     sync.Mutex
	result Verification
}

func (v *verifier) found(l Leftover) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.result.Found++
	if len(v.result.Leftovers) < mostLeftovers {
		v.result.Leftovers = append(v.result.Leftovers, l)
	}
}

// rows looks at everything that is read by its key.
func (v *verifier) rows(ctx context.Context) error {
	t := &v.target
	row, err := readRow(ctx, v.db, t, v.level)
	if err != nil {
		return err
	}
	if row.found {
		v.found(Leftover{Table: tableInterfaces, Key: Title(t.Name, t.Major), Written: formatMicros(row.written)})
	}
	left, err := readEndpoints(ctx, v.db, t, v.level)
	if err != nil {
		return err
	}
	if left.count > 0 {
		v.found(Leftover{Table: tableEndpoints, Key: count(left.count, "endpoint", "endpoints")})
	}
	for _, group := range []string{DevicesGroup(t.Name, t.Major), DataGroup(t.Name, t.Major)} {
		n, err := countGroup(ctx, v.db, groupOf{t, group, v.level})
		if err != nil {
			return err
		}
		if n > 0 {
			v.found(Leftover{Table: tableKV, Key: fmt.Sprintf("group %s with %d entries", group, n), Reason: "written again after it was deleted"})
		}
	}
	if t.Object != nil {
		gone, err := v.tableGone(ctx)
		if err != nil {
			return err
		}
		if !gone {
			v.found(Leftover{Table: t.Object.Name, Key: "the table itself"})
		}
	}
	triggers, err := findTriggers(ctx, v.db, t)
	for _, trigger := range triggers {
		v.result.Triggers = append(v.result.Triggers, trigger.String())
	}
	return err
}

// data scans the shared tables in a part of the ring.
func (v *verifier) data(ctx context.Context, share cql.Range) error {
	for _, t := range v.target.sweeps() {
		if err := v.table(ctx, t, share); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

func (v *verifier) table(ctx context.Context, t shared, share cql.Range) error {
	text := cql.SelectFirstRows(v.target.table(t.name), t.key)
	if v.db.Scylla() {
		text = cql.BypassCache(text)
	}
	splits := v.state.header.Splits
	var ranges int64
	failures, err := v.scan.run(ctx, rangeJob{
		share: share, splits: splits, page: pageKeys,
		work: func(ctx context.Context, r cql.Range, page int) (rangeCounts, finishRange, error) {
			var hits []partition
			rows := v.db.Rows(ctx, cql.Statement{Text: text, Values: []any{r.Start, r.End}, Consistency: v.level, PageSize: page})
			var p partition
			dest := p.dest(t)
			for rows.Scan(dest...) {
				if p.iface == v.target.ID && len(hits) < mostLeftoversInRange {
					hits = append(hits, p)
				}
			}
			if err := rows.Close(); err != nil {
				return rangeCounts{}, nil, err
			}
			return rangeCounts{}, nil, v.note(ctx, t, hits)
		},
		after: func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			ranges++
			v.o.Observe(Event{Phase: phaseVerify, Table: t.name, Done: ranges, Total: int64(splits), Found: v.result.Found})
		},
	})
	for _, f := range failures {
		v.warn(phaseVerify, "table %s: %s", t.name, f)
	}
	v.result.Unreadable += len(failures)
	return err
}

// mostLeftoversInRange bounds what is held of one range: that there are any is
// what counts.
const mostLeftoversInRange = 1000

func (v *verifier) note(ctx context.Context, t shared, hits []partition) error {
	for _, p := range hits {
		l := Leftover{Table: t.name, Key: p.String()}
		v.mu.Lock()
		listed := len(v.result.Leftovers) < mostLeftovers
		v.mu.Unlock()
		if listed {
			written, err := v.latestWrite(ctx, t, p)
			if err != nil {
				return err
			}
			if written > 0 {
				l.Written = formatMicros(written)
			}
		}
		v.found(l)
	}
	return nil
}
