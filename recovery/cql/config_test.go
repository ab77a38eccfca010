// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"testing"
	"time"
)

func TestClusterConfig(t *testing.T) {
	t.Parallel()
	c, err := Config{Hosts: []string{"db1"}, Username: "app", Password: "secret", RequestTimeout: 3 * time.Second, TLS: &TLS{ServerName: "db"}}.cluster()
	if err != nil {
		t.Fatal(err)
	}
	if c.DefaultTimestamp {
		t.Error("this machine's clock would stamp writes")
	}
	if c.WriteCoalesceWaitTime != 0 {
		t.Error("lone requests would wait")
	}
	if c.RetryPolicy != nil {
		t.Error("the driver would repeat writes by itself")
	}
	if c.SslOpts == nil || !c.SslOpts.EnableHostVerification || c.SslOpts.InsecureSkipVerify || c.SslOpts.ServerName != "db" {
		t.Error("the server's name would not be verified")
	}
	if c.Timeout != 3*time.Second || c.ProtoVersion != 4 || c.PageSize > 1000 {
		t.Errorf("timeout %s, protocol %d, page %d", c.Timeout, c.ProtoVersion, c.PageSize)
	}
	plain, err := Config{Hosts: []string{"db1"}}.cluster()
	if err != nil || plain.SslOpts != nil || plain.Authenticator != nil {
		t.Errorf("a plain connection has TLS %v, log-in %v, err %v", plain.SslOpts, plain.Authenticator, err)
	}
}

func TestClusterConfigRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"no hosts":              {},
		"a CA that is none":     {Hosts: []string{"db"}, TLS: &TLS{CA: []byte("no PEM")}},
		"a certificate no pair": {Hosts: []string{"db"}, TLS: &TLS{Cert: []byte("x"), Key: []byte("y")}},
	} {
		if _, err := c.cluster(); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_123)
	c := Cluster{Nodes: []Node{
		{Up: true, Clock: at, Asked: at.Add(-3 * time.Second), SchemaVersion: "a"},
		{Up: true, Clock: at.Add(-time.Minute), Asked: at, SchemaVersion: "b"},
		{Clock: at.Add(time.Hour), SchemaVersion: "c", Address: "10.0.0.3"},
	}}
	cut, err := c.Cut()
	if err != nil || cut != 1_700_000_000_123_999 {
		t.Errorf("Cut = %d, %v: want the last microsecond of the latest clock that answered", cut, err)
	}
	if c.Skew() != time.Minute {
		t.Errorf("Skew = %s", c.Skew())
	}
	if got := c.SchemaVersions(); len(got) != 2 {
		t.Errorf("SchemaVersions = %v", got)
	}
	if down := c.Down(); len(down) != 1 || down[0].Address != "10.0.0.3" {
		t.Errorf("Down = %v", down)
	}
	if _, err := (Cluster{}).Cut(); err == nil {
		t.Error("a cut without a clock")
	}
}

func TestCell(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   []byte
		null bool
	}{"null": {nil, true}, "empty": {[]byte{}, false}, "bytes": {[]byte{0, 255}, false}} {
		var c Cell
		if err := c.UnmarshalCQL(nil, tc.in); err != nil || c.Null != tc.null {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		out, err := c.MarshalCQL(nil)
		if err != nil || (out == nil) != tc.null || string(out) != string(tc.in) {
			t.Errorf("%s came back as %v, %v", name, out, err)
		}
	}
}
