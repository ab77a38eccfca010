// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
)

// Session runs statements. It is safe for concurrent use.
type Session struct {
	session *gocql.Session
	hosts   *hostPolicy
	scylla  bool
	// frameTimestamps is set once the server has refused USING TIMESTAMP: from
	// then on timestamps travel in the protocol's frame.
	frameTimestamps atomic.Bool
	// mostRows is the largest page that a guardrail of the server lets pass; 0
	// until it has refused one.
	mostRows atomic.Int64
}

// Rows are the rows of an answer, page by page. After Scan was false, Close
// tells why.
type Rows interface {
	Scan(dest ...any) bool
	Close() error
}

// Open connects to the database.
func Open(ctx context.Context, c Config) (*Session, error) {
	cluster, err := c.cluster()
	if err != nil {
		return nil, err
	}
	policy := newHostPolicy(c.Datacenter)
	cluster.PoolConfig.HostSelectionPolicy = policy
	type result struct {
		session *gocql.Session
		err     error
	}
	// The driver takes no context here.
	done := make(chan result, 1)
	go func() {
		s, err := cluster.CreateSession()
		done <- result{s, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		go func() {
			if late := <-done; late.session != nil {
				late.session.Close()
			}
		}()
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(c.Hosts, ", "), ctx.Err())
	}
	if r.err != nil {
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(c.Hosts, ", "), explain(ctx, r.err))
	}
	s := &Session{session: r.session, hosts: policy}
	if s.scylla, err = isScylla(ctx, s); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the session.
func (s *Session) Close() { s.session.Close() }

// Scylla says whether the server is ScyllaDB.
func (s *Session) Scylla() bool { return s.scylla }

func (s *Session) query(ctx context.Context, st Statement) *gocql.Query {
	q := s.session.Query(st.Text, st.Values...).Consistency(st.Consistency)
	return q.PageSize(s.pageSize(st)).WithContext(ctx)
}

// defaultPage is the rows a page of a statement that says nothing else.
const defaultPage = 500

func (s *Session) pageSize(st Statement) int {
	page := st.PageSize
	if page == 0 {
		page = defaultPage
	}
	if most := int(s.mostRows.Load()); most > 0 {
		page = min(page, most)
	}
	return page
}

// Rows runs a SELECT.
func (s *Session) Rows(ctx context.Context, st Statement) Rows {
	cancel := func() {}
	if st.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, st.Timeout)
	}
	for attempt := 1; ; {
		page := s.pageSize(st)
		iter := s.query(ctx, st).RetryPolicy(otherNode{}).Iter()
		if iter.NumRows() > 0 || iter.WillSwitchPage() {
			return &rows{ctx: ctx, iter: iter, cancel: cancel}
		}
		// No rows: either there are none, or the pages are too large for the server,
		// or the connection broke meanwhile, which the driver does not always take
		// for a reason to ask another node.
		err := explain(ctx, iter.Close())
		switch {
		case s.refusesPage(err, page):
		case KindOf(err) == KindConnection && attempt < mostNodesAsked:
			attempt++
		default:
			return &rows{ctx: ctx, err: err, cancel: cancel}
		}
	}
}

// pageThreshold is in the message of the guardrail page_size.
var pageThreshold = regexp.MustCompile(`fail threshold of (\d+)`)

// refusesPage says whether err is the guardrail that bounds pages and a smaller
// one than what was asked for can pass it, and remembers how large that is.
func (s *Session) refusesPage(err error, asked int) bool {
	if KindOf(err) != KindGuardrail || !strings.Contains(err.Error(), "page_size") || asked <= 1 {
		return false
	}
	most := asked / 4
	if m := pageThreshold.FindStringSubmatch(err.Error()); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n < asked {
			most = n
		}
	}
	most = max(most, 1)
	if known := s.mostRows.Load(); known == 0 || int64(most) < known {
		s.mostRows.Store(int64(most))
	}
	return true
}

// Exec runs a statement that answers no rows.
func (s *Session) Exec(ctx context.Context, st Statement) error {
	if s.frameTimestamps.Load() {
		return explain(ctx, s.execInFrame(ctx, st))
	}
	err := explain(ctx, s.query(ctx, st).Exec())
	if s.refusesTimestamps(err) {
		return explain(ctx, s.execInFrame(ctx, st))
	}
	return err
}

func (s *Session) execInFrame(ctx context.Context, st Statement) error {
	st, timestamp := st.unstamped()
	q := s.query(ctx, st)
	if timestamp != 0 {
		q = q.WithTimestamp(timestamp)
	}
	return q.Exec()
}

// refusesTimestamps says whether err is the guardrail that forbids USING
// TIMESTAMP, and remembers it. A timestamp in the frame passes that guardrail.
func (s *Session) refusesTimestamps(err error) bool {
	if KindOf(err) != KindGuardrail || !strings.Contains(err.Error(), "user_timestamps") {
		return false
	}
	s.frameTimestamps.Store(true)
	return true
}

// Batch runs statements as one logged batch, all with the same timestamp: all
// of them take effect, or none.
func (s *Session) Batch(ctx context.Context, statements []Statement) error {
	if s.frameTimestamps.Load() {
		return explain(ctx, s.batchInFrame(ctx, statements))
	}
	b := s.session.NewBatch(gocql.LoggedBatch).WithContext(ctx)
	for _, st := range statements {
		b.SetConsistency(st.Consistency)
		b.Query(st.Text, st.Values...)
	}
	err := explain(ctx, s.session.ExecuteBatch(b))
	if s.refusesTimestamps(err) {
		return explain(ctx, s.batchInFrame(ctx, statements))
	}
	return err
}

func (s *Session) batchInFrame(ctx context.Context, statements []Statement) error {
	b := s.session.NewBatch(gocql.LoggedBatch).WithContext(ctx)
	for _, st := range statements {
		st, timestamp := st.unstamped()
		if timestamp != 0 {
			b = b.WithTimestamp(timestamp)
		}
		b.SetConsistency(st.Consistency)
		b.Query(st.Text, st.Values...)
	}
	return s.session.ExecuteBatch(b)
}

type rows struct {
	ctx    context.Context // of the request
	iter   *gocql.Iter     // nil: there are no rows
	err    error
	cancel context.CancelFunc
}

// Scan reads the next row.
func (r *rows) Scan(dest ...any) bool { return r.iter != nil && r.iter.Scan(dest...) }

// Close ends the reading, and tells what went wrong.
func (r *rows) Close() error {
	defer r.cancel()
	if r.iter == nil {
		return r.err
	}
	return explain(r.ctx, r.iter.Close())
}

// Querier reads rows.
type Querier interface {
	Rows(ctx context.Context, s Statement) Rows
}

// One reads one row into dest; found says whether there was one.
func one(ctx context.Context, q Querier, s Statement, dest ...any) (found bool, err error) {
	rows := q.Rows(ctx, s)
	found = rows.Scan(dest...)
	return found, rows.Close()
}

// systemTimeout bounds the questions about the nodes themselves, which answer
// from memory when they answer at all.
const systemTimeout = 5 * time.Second
