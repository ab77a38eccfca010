// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

func planOf(t *testing.T, db *answeringOnce) *Plan {
	t.Helper()
	p, err := Prepare(t.Context(), db, Request{Realm: "test", Interface: "com.test.Values", Major: 1}, quick(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func realmOfDatastream() *answeringOnce {
	return &answeringOnce{recording: realmWith(valuesRow(2, "individual_datastreams", 1), tableProperties, tableDatastreams)}
}

func TestPlanDangers(t *testing.T) {
	t.Parallel()
	device := func(introspection map[string]int, connected bool) canned {
		return canned{text: `FROM "test"."devices"`, rows: [][]any{{deviceA, introspection, map[oldKey]int{}, connected}}}
	}
	down := func(d *answeringOnce) {
		d.cluster.Nodes = append(d.cluster.Nodes, cql.Node{HostID: "b", Address: "10.0.0.2"})
	}
	cases := map[string]struct {
		object bool
		spoil  func(*answeringOnce)
		want   []string // kind and flag
	}{
		"none":                            {spoil: func(*answeringOnce) {}, want: nil},
		"a device declares it":            {spoil: func(d *answeringOnce) { d.once = append(d.once, device(map[string]int{"com.test.Values": 1}, true)) }, want: []string{"declared --allow-declared"}},
		"a device declares another major": {spoil: func(d *answeringOnce) { d.once = append(d.once, device(map[string]int{"com.test.Values": 2}, true)) }, want: nil},
		"a trigger on its id": {spoil: func(d *answeringOnce) {
			d.answers = append(d.answers, canned{text: `FROM "test"."simple_triggers"`, rows: [][]any{{InterfaceID("com.test.Values", 1), 2, deviceB, []byte{}}}})
		}, want: []string{"triggers --allow-triggers"}},
		"a node is down":                    {spoil: down, want: []string{"nodes-down --allow-nodes-down"}},
		"a node is down, and a DROP is due": {object: true, spoil: down, want: []string{"drop-with-node-down ", "nodes-down --allow-nodes-down"}},
		"the nodes disagree": {spoil: func(d *answeringOnce) {
			other := upNode("10.0.0.2")
			other.SchemaVersion = "t"
			d.cluster.Nodes = append(d.cluster.Nodes, other)
		}, want: []string{"schema "}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := realmOfDatastream()
			if tc.object {
				db = &answeringOnce{recording: realmWith(valuesRow(5, "com_test_values_v1", 2), tableProperties, "com_test_values_v1")}
				db.describeObject()
			}
			tc.spoil(db)
			p := planOf(t, db)
			var got []string
			for _, d := range p.Dangers {
				got = append(got, d.Kind+" "+d.Allow)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			var refused *RefusedError
			if err := p.CheckAllowed(nil); (len(tc.want) > 0) != errors.As(err, &refused) {
				t.Errorf("CheckAllowed = %v", err)
			}
		})
	}
}

func TestCheckAllowed(t *testing.T) {
	t.Parallel()
	p := &Plan{Dangers: []Danger{{Kind: "declared", Allow: "--allow-declared", Detail: "d"}, {Kind: "triggers", Allow: "--allow-triggers", Detail: "t"}}}
	var refused *RefusedError
	if err := p.CheckAllowed([]string{"declared"}); !errors.As(err, &refused) || len(refused.Dangers) != 1 || refused.Final {
		t.Errorf("err = %v: each danger needs its own flag", err)
	}
	if err := p.CheckAllowed([]string{"triggers", "declared"}); err != nil {
		t.Errorf("err = %v, all are allowed", err)
	}
	begun := &Plan{Dangers: p.Dangers, allowed: []string{"declared"}}
	if err := begun.CheckAllowed(nil); !errors.As(err, &refused) || len(refused.Dangers) != 1 || refused.Dangers[0].Kind != "triggers" {
		t.Errorf("err = %v: of a purge that goes on, the new danger alone must be accepted", err)
	}
	begun.detached = true
	if err := begun.CheckAllowed(nil); err != nil {
		t.Errorf("err = %v: once the row is gone, the purge must be able to end", err)
	}
	p.Dangers = append(p.Dangers, Danger{Kind: "storage", Detail: "s"})
	if err := p.CheckAllowed([]string{"triggers", "declared", "storage"}); !errors.As(err, &refused) || !refused.Final || !strings.Contains(err.Error(), "nothing overrides this") {
		t.Errorf("err = %v: no flag allows that", err)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	base := planOf(t, realmOfDatastream()).Digest
	same := map[string]func(*answeringOnce){
		"another number of devices": func(d *answeringOnce) {
			d.answers = append(d.answers, canned{text: `FROM "test"."devices"`, rows: [][]any{{deviceA, map[string]int{}, map[oldKey]int{}, true}}})
		},
		"another clock":         func(d *answeringOnce) { d.cluster.Nodes[0].Clock = d.cluster.Nodes[0].Clock.Add(1e9) },
		"another minor version": func(d *answeringOnce) { d.answers[3].rows[0][2] = 7 },
		"more data in its table": func(d *answeringOnce) {
			d.answers = append(d.answers, canned{text: "PER PARTITION LIMIT 1 LIMIT", rows: [][]any{{int64(5), InterfaceID("com.test.Values", 1)}}})
		},
	}
	for name, change := range same {
		db := realmOfDatastream()
		change(db)
		if got := planOf(t, db).Digest; got != base {
			t.Errorf("%s: the digest is %s, want the same %s", name, got, base)
		}
	}
	other := map[string]func(*answeringOnce){
		"another cluster": func(d *answeringOnce) { d.cluster.Name = "other" },
		"another id":      func(d *answeringOnce) { d.answers[3].rows[0][3] = cql.UUID{5} },
		"a new danger":    func(d *answeringOnce) { d.cluster.Nodes = append(d.cluster.Nodes, cql.Node{HostID: "b"}) },
	}
	for name, change := range other {
		db := realmOfDatastream()
		change(db)
		if got := planOf(t, db).Digest; got == base {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}

func TestSampleEstimates(t *testing.T) {
	t.Parallel()
	id := cql.UUID{1}
	// A tenth of the ring was read in 10 windows of 100 keys, a fifth of them ours.
	var s Sample
	for range 10 {
		s.windows = append(s.windows, window{span: ringTokens / 100, keys: 100, full: true, counts: map[cql.UUID]int{id: 20}})
	}
	if got := s.Total(); got.Count != 10000 || got.Exact || got.Low != 10000 || got.High != 10000 {
		t.Errorf("Total = %+v, want 10000 without spread", got)
	}
	if got := s.Of(id); got.Count != 2000 {
		t.Errorf("Of = %+v, want 2000", got)
	}
	s.windows[0].counts = map[cql.UUID]int{id: 80}
	if got := s.Of(id); got.Low >= got.Count || got.High <= got.Count || got.Low < 0 {
		t.Errorf("Of = %+v, want an interval around it", got)
	}
	exact := Sample{exact: true, windows: []window{{keys: 7, counts: map[cql.UUID]int{id: 3}}}}
	if got := exact.Of(id); got != exactly(3) {
		t.Errorf("Of = %+v, want exactly 3", got)
	}
	if got := (Sample{failed: errors.New("no right")}).Total(); !strings.Contains(got.Failed, "no right") || got.Exact {
		t.Errorf("Total = %+v, want why it is unknown", got)
	}
}

func TestParseShard(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		want   Shard
		wantOK bool
	}{
		"":          {Shard{}, true},
		"prepare/4": {Shard{RolePrepare, 0, 4}, true},
		"0/4":       {Shard{RoleSweep, 0, 4}, true},
		"3/4":       {Shard{RoleSweep, 3, 4}, true},
		"finish/1":  {Shard{RoleFinish, 0, 1}, true},
		"4/4":       {},
		"-1/4":      {},
		"0/0":       {},
		"0/5000":    {},
		"prepare":   {},
		"0/4\n":     {},
		"verify/4":  {},
	}
	for text, tc := range cases {
		got, err := ParseShard(text)
		if got != tc.want || (err == nil) != tc.wantOK {
			t.Errorf("ParseShard(%q) = %+v, %v; want %+v, ok %v", text, got, err, tc.want, tc.wantOK)
		}
	}
}

func TestNothingIsEmpty(t *testing.T) {
	t.Parallel()
	none := &Plan{Traces: []Trace{{Kind: kindDefinition, Exact: true}, {Kind: kindTriggers, Estimate: 3, Exact: true}}}
	if !none.Empty() {
		t.Error("triggers alone are no trace to purge")
	}
	for name, tr := range map[string]Trace{
		"data": {Kind: kindValues, Estimate: 1, Exact: true}, "a table": {Kind: kindValues, Action: "drop", Exact: true},
		"what cannot be counted": {Kind: kindValues, Unknown: "no right"}, "a sample that found none": {Kind: kindValues},
	} {
		if (&Plan{Traces: []Trace{tr}}).Empty() {
			t.Errorf("%s counts as nothing", name)
		}
	}
}
