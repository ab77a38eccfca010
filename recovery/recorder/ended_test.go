// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func TestTriedAt(t *testing.T) {
	t.Parallel()
	seen, asked := time.Unix(100, 0), time.Unix(200, 0)
	attempt := func(operation string) *snapshot.Attempt { return &snapshot.Attempt{Operation: operation, At: asked} }
	tests := map[string]struct {
		record snapshot.Record
		want   time.Time
		tried  bool
	}{
		"only seen":                        {record: snapshot.Record{Operation: "record"}},
		"saved before its deletion":        {record: snapshot.Record{Operation: "delete"}, want: seen, tried: true},
		"seen, and asked about later":      {record: snapshot.Record{Operation: "record", LastAttempt: attempt("delete")}, want: asked, tried: true},
		"asked, and seen again later":      {record: snapshot.Record{Operation: "delete", LastAttempt: attempt("record")}, want: seen, tried: true},
		"an undo":                          {record: snapshot.Record{Operation: "record", LastAttempt: attempt("undo")}, want: asked, tried: true},
		"finalizers taken off, last of it": {record: snapshot.Record{Operation: "record", LastAttempt: attempt("strip-finalizers")}, want: asked, tried: true},
		"a restore that is under way":      {record: snapshot.Record{Operation: "record", Journal: &snapshot.Journal{Phase: snapshot.PhaseStarted, At: asked}}, want: asked, tried: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.record.SavedAt = seen
			at, tried := triedAt(&tc.record)
			if tried != tc.tried || tried && !at.Equal(tc.want) {
				t.Errorf("tried %v at %v, want %v at %v", tried, at, tc.tried, tc.want)
			}
		})
	}
}
