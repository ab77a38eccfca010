// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
)

// container encodes a SimpleTriggerContainer whose message in field holds a
// name and a major in the given fields.
func container(field, nameField protowire.Number, name string, majorField protowire.Number, major int) []byte {
	var inner []byte
	inner = protowire.AppendTag(inner, 1, protowire.VarintType) // version
	inner = protowire.AppendVarint(inner, 1)
	inner = protowire.AppendTag(inner, nameField, protowire.BytesType)
	inner = protowire.AppendString(inner, name)
	inner = protowire.AppendTag(inner, majorField, protowire.VarintType)
	inner = protowire.AppendVarint(inner, uint64(major)) //nolint:gosec // G115: never negative
	var outer []byte
	outer = protowire.AppendTag(outer, 1, protowire.VarintType)
	outer = protowire.AppendVarint(outer, 1)
	outer = protowire.AppendTag(outer, field, protowire.BytesType)
	return protowire.AppendBytes(outer, inner)
}

func TestDecodeTrigger(t *testing.T) {
	t.Parallel()
	dataTrigger := container(3, 3, "com.test.Sensors", 4, 1)
	cases := map[string]struct {
		data    []byte
		want    triggerScope
		wantErr bool
	}{
		"a data trigger":           {data: dataTrigger, want: triggerScope{Name: "com.test.Sensors", Major: 1, hasMajor: true}},
		"a device trigger":         {data: container(2, 5, "com.test.Sensors", 6, 0), want: triggerScope{Name: "com.test.Sensors", hasMajor: true}},
		"any interface":            {data: container(3, 3, "*", 4, 0), want: triggerScope{Name: "*", hasMajor: true}},
		"another kind":             {data: container(4, 3, "com.test.Sensors", 4, 1), want: triggerScope{}},
		"empty":                    {data: nil, want: triggerScope{}},
		"cut off":                  {data: dataTrigger[:len(dataTrigger)-3], wantErr: true},
		"not a message":            {data: []byte("no protobuf at all"), wantErr: true},
		"a number for the message": {data: []byte{3 << 3, 7}, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeTrigger(tc.data)
			if (err != nil) != tc.wantErr {
				t.Fatalf("err = %v, want error %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(triggerScope{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTriggerScopeMatches(t *testing.T) {
	t.Parallel()
	scope := triggerScope{Name: "com.test.Sensors", Major: 1, hasMajor: true}
	if !scope.matches("com.test.Sensors", 1) || scope.matches("com.test.Sensors", 2) || scope.matches("com.test.sensors", 1) {
		t.Error("a trigger of name and major matches that interface alone")
	}
	if !(triggerScope{Name: "com.test.Sensors"}).matches("com.test.Sensors", 7) {
		t.Error("a trigger without a major matches all majors")
	}
}

func FuzzDecodeTrigger(f *testing.F) {
	f.Add(container(3, 3, "com.test.Sensors", 4, 1))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := decodeTrigger(data)
		again, errAgain := decodeTrigger(data)
		if first != again || (err == nil) != (errAgain == nil) {
			t.Error("the same bytes decoded differently")
		}
	})
}
