// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"
	"golang.org/x/sync/errgroup"
)

// Load says what data to write on an interface. The same load writes the same
// values each time.
type Load struct {
	Interface Interface
	Devices   []gocql.UUID
	// Paths is the number of paths per device and endpoint, Rows that of values
	// per path; both 1 by default. A property has one value.
	Paths, Rows int
	// WithoutPathRows leaves out what Astarte notes in individual_properties
	// about the paths of datastreams.
	WithoutPathRows bool
	// TTL is in seconds; Timestamp is the write time in microseconds, the
	// server's if it is 0.
	TTL       int
	Timestamp int64
}

// Loaded counts what a Load has written.
type Loaded struct {
	// Partitions holds values; PathPartitions those of individual_properties
	// that hold the paths of a datastream.
	Partitions, PathPartitions, Rows int
}

// write is one statement of a load.
type write struct {
	statement string
	values    []any
}

// inFlight is enough to keep a node busy.
const inFlight = 96

// Load writes data as Astarte does.
func (r *Realm) Load(ctx context.Context, l Load) (Loaded, error) {
	l.Paths, l.Rows = max(l.Paths, 1), max(l.Rows, 1)
	suffix := l.using()
	group, ctx := errgroup.WithContext(ctx)
	writes := make(chan write, inFlight)
	var done Loaded
	group.Go(func() error {
		defer close(writes)
		for n, device := range l.Devices {
			for _, w := range l.device(r.Keyspace, n, device, &done) {
				select {
				case writes <- w:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for range inFlight {
		group.Go(func() error {
			for w := range writes {
				if err := r.insist(ctx, w.statement+suffix, w.values); err != nil {
					return fmt.Errorf("write %s: %w", l.Interface.Name, err)
				}
			}
			return nil
		})
	}
	return done, group.Wait()
}

// attempts is how often a write is tried: on a machine that is busy with other
// things a server gives up after two seconds.
const attempts = 5

func (r *Realm) insist(ctx context.Context, statement string, values []any) error {
	var err error
	for range attempts {
		if err = r.Session.Query(statement, values...).WithContext(ctx).Exec(); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

func (l Load) using() string {
	var options []string
	if l.TTL > 0 {
		options = append(options, "TTL "+strconv.Itoa(l.TTL))
	}
	if l.Timestamp != 0 {
		options = append(options, "TIMESTAMP "+strconv.FormatInt(l.Timestamp, 10))
	}
	if options == nil {
		return ""
	}
	return " USING " + strings.Join(options, " AND ")
}

// device is everything to write for one device.
func (l Load) device(keyspace string, number int, device gocql.UUID, done *Loaded) []write {
	var writes []write
	switch l.Interface.Kind {
	case Object:
		writes = l.object(keyspace, number, device)
		done.Partitions += l.Paths
	case Properties:
		writes = l.properties(keyspace, number, device)
		done.Partitions++
	default:
		writes = l.datastream(keyspace, number, device)
		done.Partitions += l.Paths * len(l.Interface.Mappings)
	}
	if l.Interface.Kind != Properties && !l.WithoutPathRows {
		writes = append(writes, l.pathRows(keyspace, device)...)
		done.PathPartitions++
	}
	done.Rows += len(writes)
	return writes
}

func (l Load) properties(keyspace string, number int, device gocql.UUID) []write {
	var writes []write
	for _, m := range l.Interface.Mappings {
		for p := range l.Paths {
			writes = append(writes, write{
				"INSERT INTO " + keyspace + ".individual_properties (device_id, interface_id, endpoint_id, path, reception_timestamp, reception_timestamp_submillis, " + m.Type.valueColumn() + ") VALUES (?, ?, ?, ?, ?, ?, ?)",
				[]any{device, l.Interface.ID(), l.endpoint(m), m.path(strconv.Itoa(p)), received(number, 0), int16(3), m.Type.value(number, p)},
			})
		}
	}
	return writes
}

func (l Load) datastream(keyspace string, number int, device gocql.UUID) []write {
	var writes []write
	for _, m := range l.Interface.Mappings {
		for p := range l.Paths {
			for row := range l.Rows {
				writes = append(writes, write{
					"INSERT INTO " + keyspace + ".individual_datastreams (device_id, interface_id, endpoint_id, path, value_timestamp, reception_timestamp, reception_timestamp_submillis, " + m.Type.valueColumn() + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
					[]any{device, l.Interface.ID(), l.endpoint(m), m.path(strconv.Itoa(p)), received(number, row), received(number, row), int16(row), m.Type.value(number, row)},
				})
			}
		}
	}
	return writes
}

func (l Load) object(keyspace string, number int, device gocql.UUID) []write {
	columns, marks := "device_id, path, reception_timestamp, reception_timestamp_submillis", "?, ?, ?, ?"
	if l.Interface.ExplicitTimestamp {
		columns, marks = columns+", value_timestamp", marks+", ?"
	}
	for _, m := range l.Interface.Mappings {
		columns, marks = columns+", "+ObjectColumn(m.Endpoint), marks+", ?"
	}
	statement := "INSERT INTO " + keyspace + "." + l.Interface.Storage() + " (" + columns + ") VALUES (" + marks + ")"
	var writes []write
	for p := range l.Paths {
		for row := range l.Rows {
			values := []any{device, l.Interface.objectPath(p), received(number, row), int16(row)}
			if l.Interface.ExplicitTimestamp {
				values = append(values, received(number, row))
			}
			for _, m := range l.Interface.Mappings {
				values = append(values, m.Type.value(number, row))
			}
			writes = append(writes, write{statement, values})
		}
	}
	return writes
}

// pathRows are what Astarte notes about the paths of a datastream.
func (l Load) pathRows(keyspace string, device gocql.UUID) []write {
	statement := "INSERT INTO " + keyspace + ".individual_properties (device_id, interface_id, endpoint_id, path, reception_timestamp, reception_timestamp_submillis, datetime_value) VALUES (?, ?, ?, ?, ?, ?, ?)"
	row := func(endpoint gocql.UUID, path string) write {
		return write{statement, []any{device, l.Interface.ID(), endpoint, path, received(0, 0), int16(0), received(0, 0)}}
	}
	var writes []write
	for p := range l.Paths {
		if l.Interface.Kind == Object {
			writes = append(writes, row(EndpointID(l.Interface.Name, l.Interface.Major, ""), l.Interface.objectPath(p)))
			continue
		}
		for _, m := range l.Interface.Mappings {
			writes = append(writes, row(l.endpoint(m), m.path(strconv.Itoa(p))))
		}
	}
	return writes
}

func (l Load) endpoint(m Mapping) gocql.UUID {
	return EndpointID(l.Interface.Name, l.Interface.Major, m.Endpoint)
}

// objectPath is the path of an object: its mappings' without the last token.
func (i Interface) objectPath(number int) string {
	path := i.Mappings[0].path(strconv.Itoa(number))
	path = path[:strings.LastIndexByte(path, '/')]
	if !strings.Contains(i.Mappings[0].Endpoint, "%{") {
		path += "/" + strconv.Itoa(number)
	}
	return path
}

func received(device, row int) time.Time {
	return time.UnixMilli(1_700_000_000_000 + int64(device)*1000 + int64(row)).UTC()
}

// value is some value of the type; some are null and some empty, which are
// different things to a backup.
func (t ValueType) value(device, row int) any {
	n := device*31 + row
	if n%11 == 10 {
		return nil
	}
	many := n % 4
	switch t {
	case Double:
		return float64(n) / 7
	case DoubleArray:
		return list(many, func(i int) float64 { return float64(n+i) / 3 })
	case Integer:
		return n
	case IntegerArray:
		return list(many, func(i int) int { return n + i })
	case LongInteger:
		return int64(n) << 33
	case LongIntegerArray:
		return list(many, func(i int) int64 { return int64(n+i) << 33 })
	case String:
		return strings.Repeat("é'\"\n", n%3) + strconv.Itoa(n)
	case StringArray:
		return list(many, func(i int) string { return strings.Repeat("x", i) })
	case Boolean:
		return n%2 == 0
	case BooleanArray:
		return list(many, func(i int) bool { return i%2 == 0 })
	case BinaryBlob:
		return []byte(strings.Repeat("\x00\xff", n%3))
	case BinaryBlobArray:
		return list(many, func(i int) []byte { return []byte{byte(i), 0} }) //nolint:gosec // few of them
	case DateTime:
		return received(n, 0)
	default:
		return list(many, func(i int) time.Time { return received(n, i) })
	}
}

func list[T any](length int, item func(int) T) []T {
	items := make([]T, length)
	for i := range items {
		items[i] = item(i)
	}
	return items
}
