// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package cql talks to Apache Cassandra and ScyllaDB. It is the only package
// that knows the driver, so that its successor can replace it here alone.
//
// A [Session] runs [Statement]s: their text is built by the functions of this
// package from names that were checked, all values are bound, and each says
// its consistency level and page size. Client timestamps are off: a laptop's
// wrong clock would make deletes without effect, or shadow later writes. Errors
// are of type [Error], one line with the server's own reason.
package cql
