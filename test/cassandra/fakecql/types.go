// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// cqlType is a column's type as text, such as "frozen<map<text, text>>".
type cqlType string

var typeCodes = map[string]int{
	"ascii": 0x01, "bigint": 0x02, "blob": 0x03, "boolean": 0x04, "counter": 0x05, "decimal": 0x06, "double": 0x07, "float": 0x08,
	"int": 0x09, "timestamp": 0x0b, "uuid": 0x0c, "varchar": 0x0d, "text": 0x0d, "varint": 0x0e, "timeuuid": 0x0f, "inet": 0x10,
	"date": 0x11, "time": 0x12, "smallint": 0x13, "tinyint": 0x14, "list": 0x20, "map": 0x21, "set": 0x22, "tuple": 0x31,
}

// split takes a type apart: its name without "frozen", and what is in its brackets.
func (t cqlType) split() (name string, inner []cqlType) {
	name, rest, found := strings.Cut(strings.ReplaceAll(string(t), " ", ""), "<")
	if !found {
		return name, nil
	}
	rest = strings.TrimSuffix(rest, ">")
	depth, from := 0, 0
	for i, c := range rest {
		switch c {
		case '<':
			depth++
		case '>':
			depth--
		case ',':
			if depth == 0 {
				inner = append(inner, cqlType(rest[from:i]))
				from = i + 1
			}
		}
	}
	inner = append(inner, cqlType(rest[from:]))
	if name == "frozen" {
		return inner[0].split()
	}
	return name, inner
}

// option writes the type as the protocol describes it. User types are looked up
// in the keyspace.
func (t cqlType) option(w *writer, k *keyspace) {
	name, inner := t.split()
	if code, known := typeCodes[name]; known {
		w.short(code)
		if name == "tuple" {
			w.short(len(inner))
		}
		for _, i := range inner {
			i.option(w, k)
		}
		return
	}
	fields := k.types[name]
	w.short(0x30)
	w.string(k.name)
	w.string(name)
	w.short(len(fields))
	for _, f := range fields {
		w.string(f.name)
		f.typ.option(w, k)
	}
}

// encode turns a literal of a statement into a value of the type.
func (t cqlType) encode(literal string) ([]byte, error) {
	name, _ := t.split()
	number, notNumber := strconv.ParseInt(literal, 10, 64)
	switch name {
	case "ascii", "text", "varchar":
		return []byte(literal), nil
	case "int":
		return binary.BigEndian.AppendUint32(nil, uint32(number)), notNumber //nolint:gosec // two's complement
	case "smallint":
		return binary.BigEndian.AppendUint16(nil, uint16(number)), notNumber //nolint:gosec // two's complement
	case "bigint":
		return long(number), notNumber
	case "double":
		value, err := strconv.ParseFloat(literal, 64)
		return binary.BigEndian.AppendUint64(nil, math.Float64bits(value)), err
	case "boolean":
		return map[string][]byte{"true": {1}, "false": {0}}[strings.ToLower(literal)], nil
	case "uuid", "timeuuid":
		id, err := gocql.ParseUUID(literal)
		return id.Bytes(), err
	case "blob":
		return hex.DecodeString(strings.TrimPrefix(literal, "0x"))
	case "timestamp":
		if notNumber == nil {
			return long(number), nil
		}
		at, err := time.Parse("2006-01-02 15:04:05Z07:00", literal)
		return long(at.UnixMilli()), err
	default:
		return nil, fmt.Errorf("a literal of type %s is more than this server knows", t)
	}
}

func long(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) } //nolint:gosec // two's complement

func toLong(v []byte) int64 {
	var n int64
	for i, b := range v {
		if i == 0 {
			n = int64(int8(b)) //nolint:gosec // two's complement
			continue
		}
		n = n<<8 | int64(b)
	}
	return n
}

// ordered turns a clustering value into bytes that sort as the type does.
func (t cqlType) ordered(value []byte) []byte {
	name, _ := t.split()
	switch name {
	case "int", "bigint", "smallint", "tinyint", "timestamp":
		out := append([]byte{}, value...)
		if len(out) > 0 {
			out[0] ^= 0x80
		}
		return out
	case "uuid":
		// By version first. Those of version 1 would go by time; there are none in a key.
		if len(value) == 16 {
			return append([]byte{value[6] & 0xf0}, value...)
		}
		return value
	default:
		// Ended by two zeros, so that a value sorts before those that go on after it.
		var out []byte
		for _, b := range value {
			if out = append(out, b); b == 0 {
				out = append(out, 0xff)
			}
		}
		return append(out, 0, 0)
	}
}

// kept is a value as the server keeps it: a collection that is not frozen is
// gone when it is empty, and a set or map is in order.
func (t cqlType) kept(value []byte) []byte {
	name, inner := t.split()
	if value == nil || len(inner) == 0 || strings.HasPrefix(string(t), "frozen") {
		return value
	}
	r := reader{b: value}
	count := r.int()
	if count == 0 {
		return nil
	}
	var entries [][]byte // a map's are key and value together
	for range count {
		var w writer
		w.bytes(r.value())
		if name == "map" {
			w.bytes(r.value())
		}
		entries = append(entries, w.b)
	}
	if name != "list" {
		slices.SortFunc(entries, func(a, b []byte) int {
			return bytes.Compare(inner[0].ordered((&reader{b: a}).value()), inner[0].ordered((&reader{b: b}).value()))
		})
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(count)), slices.Concat(entries...)...) //nolint:gosec // a length
}

// textMap is a map<text, text>.
func textMap(pairs ...string) []byte {
	var w writer
	w.int(len(pairs) / 2)
	for _, p := range pairs {
		w.bytes([]byte(p))
	}
	return w.b
}

// textSet is a set<text>, or a list.
func textSet(items ...string) []byte {
	var w writer
	w.int(len(items))
	for _, i := range items {
		w.bytes([]byte(i))
	}
	return w.b
}
