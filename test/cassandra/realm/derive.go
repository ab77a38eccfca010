// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"crypto/sha1" //nolint:gosec // a version 5 UUID is made with it
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"

	"github.com/gocql/gocql"
)

// What follows is derived as Astarte derives it, and on purpose not with the
// product's code: a mistake there must not be repeated by what tests it.

// InterfaceID is the id that Astarte gives an interface.
func InterfaceID(name string, major int) gocql.UUID {
	return digest("iid:" + name + ":" + strconv.Itoa(major))
}

var parameter = regexp.MustCompile(`%\{[a-zA-Z0-9]*\}`)

// underscored are the parameters that Astarte allows and its endpoint id keeps.
var underscored = regexp.MustCompile(`%\{[a-zA-Z0-9_]*\}`)

// EndpointID is the id of one mapping of an interface.
func EndpointID(name string, major int, endpoint string) gocql.UUID {
	return digest("eid:" + name + ":" + strconv.Itoa(major) + ":" + parameter.ReplaceAllString(endpoint, "") + ":")
}

func digest(text string) gocql.UUID {
	sum := sha256.Sum256([]byte(text))
	return gocql.UUID(sum[:16])
}

// ObjectTable is the storage of an object interface as its row names it: it may
// hold capitals, and the table is the same in lower case.
func ObjectTable(name string, major int) string {
	table := strings.NewReplacer(".", "_", "-", "").Replace(strings.ToLower(name)) + "_v" + strconv.Itoa(major)
	if len(table) < 45 {
		return table
	}
	return "a" + hashed(table) + "_" + table[len(table)-39:]
}

// ObjectColumn is the column of an object interface's mapping.
func ObjectColumn(endpoint string) string {
	token := strings.ToLower(endpoint[strings.LastIndexByte(endpoint, '/')+1:])
	if len(token) < 44 {
		return "v_" + token
	}
	return "v_" + hashed(token) + "_" + token[len(token)-38:]
}

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.NewReplacer("+", "_", "/", "_").Replace(base64.StdEncoding.EncodeToString(sum[:]))[:6]
}

// Keyspace is where Astarte 1.2 and newer keep a realm. Older versions use the
// realm's name as it is.
func Keyspace(realm, instance string) string {
	name := instance + realm
	if len(name) >= 48 {
		name = base64.RawURLEncoding.EncodeToString([]byte(name))
	}
	name = strings.NewReplacer("-", "", "_", "").Replace(name)
	return strings.ToLower(name[:min(len(name), 48)])
}

// DeviceText is a device's id as Astarte shows it and kv_store holds it.
func DeviceText(id gocql.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// DeviceObject and GroupObject are the object ids of triggers on one device, or
// one group, and one interface.
func DeviceObject(device, interfaceID gocql.UUID) gocql.UUID { return uuid5(interfaceID, device[:]) }

// GroupObject is described at DeviceObject.
func GroupObject(group string, interfaceID gocql.UUID) gocql.UUID {
	return uuid5(interfaceID, []byte(group))
}

func uuid5(space gocql.UUID, name []byte) gocql.UUID {
	sum := sha1.Sum(append(space.Bytes(), name...)) //nolint:gosec // see the import
	id := gocql.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return id
}
