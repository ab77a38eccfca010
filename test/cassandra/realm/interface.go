// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"strings"

	"github.com/gocql/gocql"
)

// ValueType is the type of a mapping's values, by Astarte's number.
type ValueType int

// The types of values.
const (
	Double ValueType = iota + 1
	DoubleArray
	Integer
	IntegerArray
	LongInteger
	LongIntegerArray
	String
	StringArray
	Boolean
	BooleanArray
	BinaryBlob
	BinaryBlobArray
	DateTime
	DateTimeArray
)

var columnTypes = []string{
	"", "double", "list<double>", "int", "list<int>", "bigint", "list<bigint>", "varchar", "list<varchar>",
	"boolean", "list<boolean>", "blob", "list<blob>", "timestamp", "list<timestamp>",
}

var columnNames = []string{
	"", "double_value", "doublearray_value", "integer_value", "integerarray_value", "longinteger_value", "longintegerarray_value",
	"string_value", "stringarray_value", "boolean_value", "booleanarray_value", "binaryblob_value", "binaryblobarray_value",
	"datetime_value", "datetimearray_value",
}

func (t ValueType) column() string { return columnTypes[t] }

// valueColumn is where the shared tables keep values of the type.
func (t ValueType) valueColumn() string { return columnNames[t] }

// Kind is what an interface holds, which decides where its data is stored.
type Kind int

// The kinds, by the storage type that Astarte gives them.
const (
	Properties Kind = 1
	Datastream Kind = 2
	Object     Kind = 5
)

// Mapping is one endpoint of an interface.
type Mapping struct {
	Endpoint string
	Type     ValueType
}

// Interface is an Astarte interface.
type Interface struct {
	Name         string
	Major, Minor int
	Kind         Kind
	ServerOwned  bool
	// ExplicitTimestamp puts the value's own time into the key of an object.
	ExplicitTimestamp bool
	Mappings          []Mapping
}

// ID is the interface's id.
func (i Interface) ID() gocql.UUID { return InterfaceID(i.Name, i.Major) }

// Storage is what the interface's row names as its table.
func (i Interface) Storage() string {
	switch i.Kind {
	case Properties:
		return "individual_properties"
	case Datastream:
		return "individual_datastreams"
	default:
		return ObjectTable(i.Name, i.Major)
	}
}

// Table is the table that holds the values.
func (i Interface) Table() string { return strings.ToLower(i.Storage()) }

// path is one path below the endpoint, with its parameters filled in.
func (m Mapping) path(number string) string {
	return parameter.ReplaceAllString(underscored.ReplaceAllString(m.Endpoint, "%{}"), number)
}
