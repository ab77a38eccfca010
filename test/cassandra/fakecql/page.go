// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

// page is one page of an answer; more is where the next one goes on, or nil.
type page struct {
	columns []columnDef
	rows    [][][]byte
	more    *position
}

// position is a place between two rows of a scan.
type position struct {
	token   int64
	raw     string
	order   string
	inside  bool  // rows of that partition, after order, are still to come
	given   int64 // rows so far, and those of the partition
	ofThere int64
}

func (p *position) encode() []byte {
	var w writer
	w.b = append(w.b, long(p.token)...)
	w.bytes([]byte(p.raw))
	w.bytes([]byte(p.order))
	w.b = append(w.b, long(p.given)...)
	w.b = append(w.b, long(p.ofThere)...)
	inside := byte(0)
	if p.inside {
		inside = 1
	}
	w.byte(inside)
	return w.b
}

func decodePosition(b []byte) *position {
	if len(b) == 0 {
		return nil
	}
	r := reader{b: b}
	p := &position{token: r.long(), raw: string(r.value()), order: string(r.value()), given: r.long(), ofThere: r.long()}
	p.inside = r.byte() == 1
	return p
}
