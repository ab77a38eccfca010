// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// The error codes that a fault may answer with.
const (
	CodeServerError  = 0x0000
	CodeUnavailable  = 0x1000
	CodeOverloaded   = 0x1001
	CodeBootstraping = 0x1002
	CodeWriteTimeout = 0x1100
	CodeReadTimeout  = 0x1200
	CodeReadFailure  = 0x1300
	CodeWriteFailure = 0x1500
	CodeSyntax       = 0x2000
	CodeUnauthorized = 0x2100
	CodeInvalid      = 0x2200
	CodeConfig       = 0x2300

	codeProtocol      = 0x000a
	codeAlreadyExists = 0x2400
	codeUnprepared    = 0x2500
)

// Error is what the server answers instead of a result.
type Error struct {
	Code    int
	Message string

	keyspace, table string
	id              []byte
}

func (e *Error) Error() string { return fmt.Sprintf("0x%04x %s", e.Code, e.Message) }

func (e *Error) body(consistency int) []byte {
	var w writer
	w.int(e.Code)
	w.string(e.Message)
	switch e.Code {
	case CodeUnavailable:
		w.short(consistency)
		w.int(2)
		w.int(1)
	case CodeReadTimeout, CodeWriteTimeout, CodeReadFailure, CodeWriteFailure:
		w.short(consistency)
		w.int(1)
		w.int(2)
		if e.Code == CodeReadFailure || e.Code == CodeWriteFailure {
			w.int(1)
		}
		if e.Code == CodeWriteTimeout || e.Code == CodeWriteFailure {
			w.string("SIMPLE")
		} else {
			w.byte(0)
		}
	case codeAlreadyExists:
		w.string(e.keyspace)
		w.string(e.table)
	case codeUnprepared:
		w.shortBytes(e.id)
	}
	return w.b
}

// Request is one statement that a client has sent, as the server saw it.
type Request struct {
	Node int
	// Text is the statement; Values are what was bound to it, as the protocol
	// carries it (nil is null), and Columns their names.
	Text    string
	Columns []string
	Values  [][]byte
	// Consistency is a name such as "QUORUM".
	Consistency string
	PageSize    int
	// Continued marks the second and further pages of an answer.
	Continued bool
	// ClientTimestamp is the write time in the protocol's frame, nil if the
	// client left it to the server.
	ClientTimestamp *int64
	// Batch numbers the batch that it was part of, from 1; 0 is none.
	Batch          int
	Started, Ended time.Time
}

// Bound is the value that was bound under a name, and whether one was.
func (r Request) Bound(name string) ([]byte, bool) {
	i := slices.Index(r.Columns, name)
	if i < 0 {
		return nil, false
	}
	return r.Values[i], true
}

// System tells if the statement reads the system's own tables: the driver does
// that unasked.
func (r Request) System() bool {
	return strings.Contains(r.Text, "FROM system.") || strings.Contains(r.Text, "FROM system_schema.")
}

// Containing matches the statements that contain a text.
func Containing(text string) func(Request) bool {
	return func(r Request) bool { return strings.Contains(r.Text, text) }
}

// Fault is a way in which the server misbehaves.
type Fault struct {
	// Match says which statements it befalls; nil is every one that is not System.
	Match func(Request) bool
	// Skip lets that many pass first; Times bounds how often it happens, 0 is always.
	Skip, Times int
	// Do runs first, before anything else happens to the statement.
	Do func(Request)
	// Delay holds the statement back.
	Delay time.Duration
	// Execute lets the statement take effect although Error or Drop follows.
	Execute bool
	// Error is the answer; Drop closes the connection without one.
	Error *Error
	Drop  bool
	// EmptyPages go before each page with rows; MaxRows is the most that a page holds.
	EmptyPages, MaxRows int
}

// Injection is a fault at work.
type Injection struct {
	Fault
	mu      sync.Mutex
	seen    int
	removed bool
}

// Count is how often the fault has happened.
func (i *Injection) Count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	count := max(i.seen-i.Skip, 0)
	if i.Times > 0 {
		count = min(count, i.Times)
	}
	return count
}

// Remove ends the fault.
func (i *Injection) Remove() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.removed = true
}

func (i *Injection) befalls(r Request) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.removed || (i.Match == nil && r.System()) || (i.Match != nil && !i.Match(r)) {
		return false
	}
	i.seen++
	return i.seen > i.Skip && (i.Times == 0 || i.seen <= i.Skip+i.Times)
}

// Inject adds a fault. Of several that befall a statement the one added first counts.
func (s *Server) Inject(f Fault) *Injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &Injection{Fault: f}
	s.faults = append(s.faults, i)
	return i
}

// fault is the one that befalls a request, or nil.
func (s *Server) fault(r Request) *Injection {
	s.mu.Lock()
	faults := slices.Clone(s.faults)
	s.mu.Unlock()
	for _, f := range faults {
		if f.befalls(r) {
			return f
		}
	}
	return nil
}

// Requests are the statements so far, without those that read the system's own
// tables, in the order in which they arrived.
func (s *Server) Requests() []Request {
	return slices.DeleteFunc(s.AllRequests(), Request.System)
}

// AllRequests are all statements so far.
func (s *Server) AllRequests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := make([]Request, len(s.requests))
	for i, r := range s.requests {
		requests[i] = *r
	}
	return requests
}

// Forget drops the requests recorded so far.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// Peak is the largest number of matching requests that were being answered at once.
func (s *Server) Peak(match func(Request) bool) int {
	type edge struct {
		at    time.Time
		delta int
	}
	var edges []edge
	for _, r := range s.AllRequests() {
		if match(r) && !r.Ended.IsZero() {
			edges = append(edges, edge{r.Started, 1}, edge{r.Ended, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.delta - b.delta
	})
	peak, running := 0, 0
	for _, e := range edges {
		running += e.delta
		peak = max(peak, running)
	}
	return peak
}
