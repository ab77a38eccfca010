// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import "testing"

func TestPagesShrinkUnderAGuardrail(t *testing.T) {
	t.Parallel()
	const known = "the database answered 0x2200: Guardrail page_size violated: Aborting query for table values, page size 5000 exceeds fail threshold of 1000: a hint"
	cases := map[string]struct {
		err    error
		asked  int
		want   bool
		pageOf map[int]int // by what a statement asks for
	}{
		"the threshold is told":              {NewError(KindGuardrail, known), 5000, true, map[int]int{5000: 1000, 0: 500, 78: 78}},
		"no threshold is told":               {NewError(KindGuardrail, "Guardrail page_size violated"), 400, true, map[int]int{5000: 100, 0: 100}},
		"a threshold that does not explain":  {NewError(KindGuardrail, known), 8, true, map[int]int{5000: 2}},
		"one row is refused":                 {NewError(KindGuardrail, known), 1, false, map[int]int{5000: 5000}},
		"another guardrail":                  {NewError(KindGuardrail, "Guardrail allow_filtering violated"), 5000, false, map[int]int{5000: 5000}},
		"no guardrail, though it says words": {NewError(KindInvalid, known), 5000, false, map[int]int{5000: 5000}},
		"no error":                           {nil, 5000, false, map[int]int{5000: 5000, 0: 500}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Session{}
			if got := s.refusesPage(tc.err, tc.asked); got != tc.want {
				t.Errorf("refusesPage = %t, want %t", got, tc.want)
			}
			for asked, want := range tc.pageOf {
				if got := s.pageSize(Statement{PageSize: asked}); got != want {
					t.Errorf("a statement that asks for %d gets pages of %d, want %d", asked, got, want)
				}
			}
		})
	}
}
