// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 129)
	cases := map[string]struct {
		check  func() error
		wantOK bool
	}{
		"a realm":                               {func() error { return CheckRealm("test1") }, true},
		"the longest realm":                     {func() error { return CheckRealm(strings.Repeat("r", 48)) }, true},
		"a realm that is too long":              {func() error { return CheckRealm(strings.Repeat("r", 49)) }, false},
		"an empty realm":                        {func() error { return CheckRealm("") }, false},
		"a realm with upper case":               {func() error { return CheckRealm("Test") }, false},
		"a realm with a quote":                  {func() error { return CheckRealm(`x"; DROP KEYSPACE y--`) }, false},
		"a realm with a newline":                {func() error { return CheckRealm("test\n") }, false},
		"a realm with a look-alike letter":      {func() error { return CheckRealm("tеst") }, false},
		"the realm astarte":                     {func() error { return CheckRealm("astarte") }, false},
		"a system keyspace":                     {func() error { return CheckRealm("system_schema") }, false},
		"an interface":                          {func() error { return CheckInterface("org.astarte-platform.genericsensors.Values") }, true},
		"an interface without a dot":            {func() error { return CheckInterface("test") }, true},
		"an interface of 128 characters":        {func() error { return CheckInterface(long[:128]) }, true},
		"an interface of 129 characters":        {func() error { return CheckInterface(long) }, false},
		"an interface with a newline":           {func() error { return CheckInterface("com.test.Sensors\n") }, false},
		"an interface with a look-alike letter": {func() error { return CheckInterface("com.tеst.Sensors") }, false},
		"an interface with a quote":             {func() error { return CheckInterface(`com.test.Sensors'--`) }, false},
		"an interface with a hyphen at its end": {func() error { return CheckInterface("com.test.Sen-sors") }, false},
		"an interface with an empty part":       {func() error { return CheckInterface("com..Sensors") }, false},
		"a reserved interface":                  {func() error { return CheckInterface("control") }, false},
		"no instance id":                        {func() error { return CheckInstanceID("") }, true},
		"an instance id":                        {func() error { return CheckInstanceID("My_Inst-1") }, true},
		"an instance id with a quote":           {func() error { return CheckInstanceID(`a"b`) }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tc.check(); (err == nil) != tc.wantOK {
				t.Errorf("err = %v, want ok %v", err, tc.wantOK)
			}
		})
	}
}

func TestParseMajor(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text    string
		want    int
		wantErr bool
	}{
		"zero":               {"0", 0, false},
		"the largest":        {"2147483647", 2147483647, false},
		"one too large":      {"2147483648", 0, true},
		"negative":           {"-1", 0, true},
		"with a sign":        {"+1", 0, true},
		"not a number":       {"01x", 0, true},
		"other digits":       {"١", 0, true},
		"missing":            {"", 0, true},
		"with a newline":     {"1\n", 0, true},
		"a very long number": {"99999999999999999999", 0, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseMajor(tc.text)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("ParseMajor(%q) = %d, %v; want %d, error %v", tc.text, got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	candidates := []string{"com.test.Sensors", "com.test.Sensor", "org.other.Thing", "com.test.SensorsLong"}
	got := nearest("com.test.sensor", candidates, 3)
	want := []string{"com.test.Sensor", "com.test.Sensors", "com.test.SensorsLong"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := nearest("zzz", candidates, 3); got != nil {
		t.Errorf("nearest of nothing alike = %v, want none", got)
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"test", "com.test.Sensors", `x"; DROP KEYSPACE y--`, "a\n", "tеst", "org.astarte-platform.genericsensors.Values"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		harmless := func(s string) bool {
			return strings.IndexFunc(s, func(r rune) bool {
				return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", r)
			}) < 0
		}
		if CheckRealm(name) == nil && (!harmless(name) || len(name) > 48) {
			t.Errorf("realm %q passed", name)
		}
		if CheckInterface(name) == nil && (!harmless(name) || len(name) > 128) {
			t.Errorf("interface %q passed", name)
		}
		if major, err := ParseMajor(name); err == nil && (major < 0 || major > maxMajor || strings.Trim(name, "0123456789") != "") {
			t.Errorf("major version %q passed as %d", name, major)
		}
	})
}
