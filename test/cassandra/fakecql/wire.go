// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// The opcodes and result kinds of the protocol, version 4.
const (
	opError     = 0x00
	opStartup   = 0x01
	opReady     = 0x02
	opOptions   = 0x05
	opSupported = 0x06
	opQuery     = 0x07
	opResult    = 0x08
	opPrepare   = 0x09
	opExecute   = 0x0a
	opRegister  = 0x0b
	opBatch     = 0x0d

	resultVoid         = 1
	resultRows         = 2
	resultKeyspace     = 3
	resultPrepared     = 4
	resultSchemaChange = 5

	rowsGlobalSpec = 0x01
	rowsHaveMore   = 0x02
	rowsNoMetadata = 0x04

	withValues    = 0x01
	skipMetadata  = 0x02
	withPageSize  = 0x04
	withPaging    = 0x08
	withSerial    = 0x10
	withTimestamp = 0x20
	withNames     = 0x40

	protocolVersion = 4
	maxFrame        = 64 << 20
)

// frame is one request or answer.
type frame struct {
	stream uint16
	opcode byte
	body   []byte
}

var errVersion = errors.New("the client does not speak protocol 4")

func readFrame(r io.Reader) (frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{stream: binary.BigEndian.Uint16(head[2:]), opcode: head[4]}
	if head[0] != protocolVersion {
		return f, errVersion
	}
	size := binary.BigEndian.Uint32(head[5:])
	if size > maxFrame {
		return f, errors.New("the frame is too large")
	}
	f.body = make([]byte, size)
	_, err := io.ReadFull(r, f.body)
	return f, err
}

func (f frame) bytes() []byte {
	out := make([]byte, 9, 9+len(f.body))
	out[0] = 0x80 | protocolVersion
	binary.BigEndian.PutUint16(out[2:], f.stream)
	out[4] = f.opcode
	binary.BigEndian.PutUint32(out[5:], uint32(len(f.body))) //nolint:gosec // answers are small
	return append(out, f.body...)
}

// writer builds a frame's body.
type writer struct{ b []byte }

func (w *writer) byte(v byte) { w.b = append(w.b, v) }
func (w *writer) short(v int) { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) } //nolint:gosec // lengths and codes
func (w *writer) int(v int)   { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) } //nolint:gosec // lengths and codes
func (w *writer) string(v string) {
	w.short(len(v))
	w.b = append(w.b, v...)
}

func (w *writer) shortBytes(v []byte) {
	w.short(len(v))
	w.b = append(w.b, v...)
}

// bytes writes a value; nil is null.
func (w *writer) bytes(v []byte) {
	if v == nil {
		w.int(-1)
		return
	}
	w.int(len(v))
	w.b = append(w.b, v...)
}

// reader takes a frame's body apart. After a read past the end it is bad, and
// all further reads give zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad = true
		return make([]byte, 8)[:min(max(n, 0), 8)]
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) short() int     { return int(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) int() int       { return int(int32(binary.BigEndian.Uint32(r.take(4)))) } //nolint:gosec // it is signed on the wire
func (r *reader) long() int64    { return int64(binary.BigEndian.Uint64(r.take(8))) }      //nolint:gosec // it is signed on the wire
func (r *reader) text() string   { return string(r.take(r.short())) }
func (r *reader) short8() []byte { return slices.Clone(r.take(r.short())) }

// value is a bound value: nil for null, and unset for none at all.
func (r *reader) value() []byte {
	n := r.int()
	switch {
	case n == -2:
		return unset
	case n < 0:
		return nil
	default:
		return append([]byte{}, r.take(n)...)
	}
}

// unset is told from other values by its address.
var unset = []byte("unset")

func isUnset(v []byte) bool { return len(v) == len(unset) && &v[0] == &unset[0] }

// parameters are what a QUERY or EXECUTE carries beside its statement.
type parameters struct {
	consistency  int
	values       [][]byte
	skipMetadata bool
	pageSize     int
	paging       []byte
	timestamp    *int64
}

func (r *reader) parameters() parameters {
	p := parameters{consistency: r.short()}
	flags := r.byte()
	if flags&withValues != 0 {
		for range r.short() {
			if flags&withNames != 0 {
				r.text()
			}
			p.values = append(p.values, r.value())
		}
	}
	p.skipMetadata = flags&skipMetadata != 0
	if flags&withPageSize != 0 {
		p.pageSize = r.int()
	}
	if flags&withPaging != 0 {
		p.paging = r.value()
	}
	if flags&withSerial != 0 {
		r.short()
	}
	if flags&withTimestamp != 0 {
		at := r.long()
		p.timestamp = &at
	}
	return p
}
