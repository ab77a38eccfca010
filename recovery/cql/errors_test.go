// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gocql/gocql"
)

// answer is an error as the driver gives it for an answer of the server.
type answer struct {
	code    int
	message string
}

func (a answer) Code() int       { return a.code }
func (a answer) Message() string { return a.message }
func (a answer) Error() string   { return a.message }

func TestExplain(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err      error
		wantKind Kind
		want     []string
	}{
		"replicas down":                      {answer{0x1000, "Cannot achieve consistency level ALL"}, KindUnavailable, []string{"0x1000", "Cannot achieve consistency level ALL", "bring them up"}},
		"overload":                           {answer{0x1001, "Server is overloaded"}, KindOverloaded, []string{"Server is overloaded"}},
		"read timeout":                       {answer{0x1200, "Operation timed out"}, KindTimeout, []string{"Operation timed out"}},
		"tombstones":                         {answer{0x1300, "Operation failed - received 0 responses and 1 failures: READ_TOO_MANY_TOMBSTONES from /127.0.0.1:7000"}, KindTombstones, []string{"READ_TOO_MANY_TOMBSTONES", "gc_grace_seconds"}},
		"another read failure":               {answer{0x1300, "Operation failed"}, KindTimeout, nil},
		"no right":                           {answer{0x2100, "User app has no DROP permission on <table ks.t> or any of its parents"}, KindUnauthorized, []string{"no DROP permission", "grant the right"}},
		"guardrail on DROP":                  {answer{0x2200, "Guardrail drop_truncate_table_enabled violated: DROP and TRUNCATE TABLE functionality is not allowed"}, KindGuardrail, []string{"drop_truncate_table_enabled"}},
		"guardrail on a level":               {answer{0x2200, "Guardrail write_consistency_levels violated: Value ALL is not allowed"}, KindGuardrail, []string{"consistency level"}},
		"not a statement":                    {answer{0x2200, "Undefined column name"}, KindInvalid, []string{"Undefined column name"}},
		"no answer":                          {gocql.ErrTimeoutNoResponse, KindTimeout, []string{"--request-timeout"}},
		"no node":                            {gocql.ErrNoConnections, KindConnection, []string{"no node of the database can be reached"}},
		"no log-in":                          {errors.New(`gocql: unable to create session: unable to connect to initial hosts: authentication required (using "org.apache.cassandra.auth.PasswordAuthenticator")`), KindUnauthorized, []string{"authentication required", "--username"}},
		"wrong password":                     {errors.New("gocql: unable to create session: Provided username app and/or password are incorrect"), KindUnauthorized, []string{"check --username"}},
		"a certificate without the address":  {errors.New("gocql: unable to create session: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"), KindConnection, []string{"--tls-server-name"}},
		"a certificate of another authority": {errors.New("x509: certificate signed by unknown authority"), KindConnection, []string{"--tls-ca"}},
		"a server with TLS":                  {errors.New("gocql: unable to create session: read tcp 1.2.3.4: connection reset by peer"), KindConnection, []string{"--tls-ca"}},
		"nobody there":                       {errors.New("dial tcp 127.0.0.1:1: connect: connection refused"), KindConnection, []string{"check --hosts"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := fmt.Errorf("read row: %w", explain(t.Context(), tc.err))
			if got := KindOf(err); got != tc.wantKind {
				t.Errorf("kind = %d, want %d (%v)", got, tc.wantKind, err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "gocql") {
				t.Errorf("%q is not one line in the user's words", err)
			}
		})
	}
}

func TestExplainCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	if got := KindOf(explain(ctx, context.Canceled)); got != KindConnection {
		t.Errorf("kind = %d: nobody canceled, so the connection broke", got)
	}
	cancel()
	if err := explain(ctx, context.Canceled); KindOf(err) != KindCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want canceled", err)
	}
	if explain(ctx, nil) != nil {
		t.Error("no error became one")
	}
}

func TestRetriable(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]bool{
		KindTimeout: true, KindOverloaded: true, KindUnavailable: true, KindConnection: true,
		KindTombstones: false, KindUnauthorized: false, KindGuardrail: false, KindInvalid: false, KindCanceled: false, KindOther: false,
	} {
		if kind.Retriable() != want {
			t.Errorf("Retriable of kind %d = %v", kind, !want)
		}
	}
}
