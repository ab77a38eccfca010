// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/gocql/gocql"
)

// Kind says what a caller can do about an error.
type Kind int

// The kinds of errors.
const (
	KindOther        Kind = iota // nothing but to report it
	KindTimeout                  // too slow, or failed on a replica: ask for less, and again
	KindOverloaded               // ask later
	KindUnavailable              // replicas are down
	KindConnection               // no connection, or it broke
	KindTombstones               // more deleted rows than the server reads over
	KindUnauthorized             // no right, or no log-in
	KindGuardrail                // forbidden by the server's settings
	KindInvalid                  // the server does not know such a request or table
	KindCanceled                 // the caller gave up
)

// Retriable says whether the same request can succeed later.
func (k Kind) Retriable() bool {
	switch k {
	case KindTimeout, KindOverloaded, KindUnavailable, KindConnection:
		return true
	default:
		return false
	}
}

// Error is an error of the server or of the way to it, as one line that says
// what is wrong and what to do. The driver's error is inside.
type Error struct {
	Kind    Kind
	message string
	err     error
}

func (e *Error) Error() string { return e.message }
func (e *Error) Unwrap() error { return e.err }

// KindOf is the kind of an error that a session returned, wrapped or not.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return KindCanceled
	default:
		return KindOther
	}
}

// NewError is an error of a kind, for tests and for conditions that a session
// finds by itself.
func NewError(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, message: fmt.Sprintf(format, args...)}
}

// explain turns an error of the driver into one of ours; ctx is the request's.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		if ctx.Err() == nil {
			// The driver ends what is under way on a connection that breaks so.
			return &Error{KindConnection, "the connection to the database broke", gocql.ErrConnectionClosed}
		}
		return &Error{KindCanceled, "stopped before the server answered", err}
	}
	kind, hint := classify(err)
	message := reason(err)
	if hint != "" {
		message += ": " + hint
	}
	return &Error{kind, message, err}
}

// reason is the server's own text, without what the driver puts before it.
func reason(err error) string {
	var server gocql.RequestError
	if errors.As(err, &server) {
		return fmt.Sprintf("the database answered 0x%04x: %s", server.Code(), strings.TrimSuffix(oneLine(server.Message()), "."))
	}
	text := oneLine(err.Error())
	for _, prefix := range []string{"gocql: unable to create session: ", "unable to connect to initial hosts: ", "unable to discover protocol version: ", "gocql: ", "control: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return strings.TrimSuffix(text, ".")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func classify(err error) (Kind, string) {
	var server gocql.RequestError
	if errors.As(err, &server) {
		return classifyServer(server.Code(), server.Message())
	}
	var network net.Error
	switch {
	case errors.Is(err, gocql.ErrTimeoutNoResponse):
		return KindTimeout, "no answer in time; a longer --request-timeout may help"
	case errors.Is(err, gocql.ErrNoConnections), errors.Is(err, gocql.ErrUnavailable):
		return KindConnection, "no node of the database can be reached from here"
	case errors.Is(err, gocql.ErrConnectionClosed), errors.Is(err, gocql.ErrNoStreams), errors.Is(err, gocql.ErrTooManyTimeouts),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network):
		return KindConnection, "the connection to the database broke"
	}
	return classifyText(err.Error())
}

// classifyServer goes by the code of the answer, and by its text where the code
// does not tell: guardrails are Invalid, and too many tombstones is one of the
// reasons of a ReadFailure that protocol 4 tells in the text alone.
func classifyServer(code int, message string) (Kind, string) {
	switch code {
	case gocql.ErrCodeUnavailable:
		return KindUnavailable, "some nodes that hold the data are down; bring them up, then run the same command again"
	case gocql.ErrCodeOverloaded, gocql.ErrCodeBootstrapping, gocql.ErrCodeTruncate:
		return KindOverloaded, ""
	case gocql.ErrCodeWriteTimeout, gocql.ErrCodeReadTimeout, gocql.ErrCodeWriteFailure, gocql.ErrCodeServer:
		return KindTimeout, ""
	case gocql.ErrCodeReadFailure:
		if strings.Contains(message, "TOO_MANY_TOMBSTONES") || strings.Contains(message, "tombstone") {
			return KindTombstones, "rows deleted or expired long ago stand in the way; they go with compaction after gc_grace_seconds"
		}
		return KindTimeout, ""
	case gocql.ErrCodeUnauthorized:
		return KindUnauthorized, "grant the right to this user, or use another --username, then run the same command again"
	case gocql.ErrCodeCredentials:
		return KindUnauthorized, "check --username and --password-file"
	case gocql.ErrCodeInvalid, gocql.ErrCodeConfig:
		if strings.Contains(message, "Guardrail") || strings.Contains(message, "is not allowed") {
			return KindGuardrail, guardrailHint(message)
		}
		return KindInvalid, ""
	case gocql.ErrCodeSyntax, gocql.ErrCodeAlreadyExists, gocql.ErrCodeProtocol:
		return KindInvalid, ""
	default:
		return KindOther, ""
	}
}

func guardrailHint(message string) string {
	switch {
	case strings.Contains(message, "drop_truncate_table"):
		return "the server's settings forbid DROP TABLE; set drop_truncate_table_enabled or use a superuser, then run the same command again"
	case strings.Contains(message, "consistency"):
		return "the server's settings forbid this consistency level; allow it or use a superuser, then run the same command again"
	default:
		return "the server's settings forbid this; change the guardrail or use a superuser, then run the same command again"
	}
}

// classifyText is for errors that the driver gives as text alone, mostly while
// it connects.
func classifyText(text string) (Kind, string) {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("authentication required"):
		return KindUnauthorized, "give --username, and --password-file or HOLDFAST_CQL_PASSWORD"
	case has("and/or password are incorrect", "Bad credentials"):
		return KindUnauthorized, "check --username and --password-file"
	case has("unexpected authenticator"):
		return KindUnauthorized, "the server wants a way to log in that is not a user name with a password"
	case has("doesn't contain any IP SANs", "certificate is valid for", "certificate is not valid for any names"):
		return KindConnection, "the certificate is for another name; give that name as --tls-server-name"
	case has("certificate signed by unknown authority", "certificate has expired", "failed to verify certificate"):
		return KindConnection, "the server's certificate is not trusted; give its CA as --tls-ca"
	case has("certificate required", "bad certificate"):
		return KindConnection, "the server wants a client certificate; give --tls-cert and --tls-key"
	case has("first record does not look like a TLS handshake"):
		return KindConnection, "the server does not speak TLS on this port; leave out the --tls flags or give another port"
	case has("connection reset by peer", "EOF"):
		return KindConnection, "the server hung up; if it wants TLS, give --tls-ca"
	case has("connection refused", "no such host", "i/o timeout", "no route to host", "failed to resolve", "no connections were made", "no response to connection startup"):
		return KindConnection, "check --hosts, and that the database can be reached from here"
	case has("protocol"):
		return KindInvalid, "Cassandra 3.11 or newer, or ScyllaDB, is needed (CQL protocol 4)"
	default:
		return KindOther, ""
	}
}
