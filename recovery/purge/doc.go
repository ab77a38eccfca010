// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package purge removes an Astarte interface, its data and all its traces from
// Cassandra or ScyllaDB, and can bring all of it back from a backup.
//
// An interface leaves traces in these tables of the realm's keyspace:
//
//	interfaces              its row, by name and major version
//	endpoints               its mappings, one partition
//	individual_datastreams  the values of an individual datastream
//	individual_properties   the values of properties; and for datastreams, also
//	                        those of objects, the paths that ever had a value
//	its own table           the values of an object datastream
//	kv_store                two groups that list the devices of a draft
//	simple_triggers         triggers on it; reported, never touched
//	devices                 devices that declare it; reported, never touched
//
// The order is fixed. Everything that is needed to go on after a crash is in
// the [Journal] before the first delete. The row goes first, because services
// that still know the interface would go on writing its data; then writers are
// waited for; then sweeps delete all data that is not newer than a time cut
// taken from the servers, until a sweep finds nothing; then the table of an
// object interface is dropped, the groups go, and another kind of query
// verifies that nothing is left.
//
// What was dropped or deleted cannot be undone, but from a backup made by the
// same run ([Options].Backup). Deletes reach nodes that were down by repair
// only, which must run within gc_grace_seconds, or the data may come back.
package purge
