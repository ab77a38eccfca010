// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"crypto/sha1" //nolint:gosec // G505: uuid version 5 is defined over SHA-1
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// The functions of this file repeat what Astarte computes from names; nothing
// is read. They are checked against Astarte's own test vectors.

// InterfaceID is the id of an interface: a hash of its name and major version,
// so the same name installed again has the same id. Its bytes are no valid
// version of RFC 9562 and must be kept as they are.
func InterfaceID(name string, major int) cql.UUID {
	return hashID(fmt.Sprintf("iid:%s:%d", name, major))
}

var parameter = regexp.MustCompile(`%\{[a-zA-Z0-9]*\}`)

// EndpointID is the id of an endpoint of an interface. A parameter with an
// underscore in its name is not seen as one, as in Astarte.
func EndpointID(name string, major int, endpoint string) cql.UUID {
	return hashID(fmt.Sprintf("eid:%s:%d:%s:", name, major, parameter.ReplaceAllString(endpoint, "")))
}

func hashID(text string) cql.UUID {
	sum := sha256.Sum256([]byte(text))
	return cql.UUID(sum[:16])
}

// maxTableName is the length from which Astarte shortens the name of a table.
const maxTableName = 45

// StorageName is the name that Astarte stores for the table of an object
// interface. It can hold upper case letters, while the table itself, created
// without quotes, is lower case.
func StorageName(name string, major int) string {
	t := strings.NewReplacer(".", "_", "-", "").Replace(strings.ToLower(name))
	t = fmt.Sprintf("%s_v%d", t, major)
	if len(t) < maxTableName {
		return t
	}
	return "a" + hashPrefix(t) + "_" + t[len(t)-39:]
}

// TableName is the table of an object interface as it is in the schema.
func TableName(name string, major int) string {
	return strings.ToLower(StorageName(name, major))
}

// ColumnName is the column of an object's endpoint.
func ColumnName(endpoint string) string {
	token := endpoint[strings.LastIndexByte(endpoint, '/')+1:]
	lower := strings.ToLower(token)
	if len(token) < maxTableName-1 {
		return "v_" + lower
	}
	return "v_" + hashPrefix(lower) + "_" + lower[len(lower)-38:]
}

// hashPrefix is six characters of the hash of a text that is too long.
func hashPrefix(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.NewReplacer("+", "_", "/", "_").Replace(base64.StdEncoding.EncodeToString(sum[:]))[:6]
}

// maxKeyspace is the longest name of a keyspace.
const maxKeyspace = 48

// Keyspace is the keyspace of a realm: its name, and from Astarte 1.2 on also
// the id of the instance.
func Keyspace(realm, instance string) string {
	x := instance + realm
	if len(x) >= maxKeyspace {
		x = base64.RawURLEncoding.EncodeToString([]byte(x))
	}
	x = strings.NewReplacer("-", "", "_", "").Replace(x)
	return strings.ToLower(x[:min(len(x), maxKeyspace)])
}

// Keyspaces are the keyspaces that the realm can have, likeliest first: before
// Astarte 1.2 a long name was not hashed.
func Keyspaces(realm, instance string) []string {
	candidates := []string{Keyspace(realm, instance)}
	if instance == "" {
		candidates = append(candidates, realm)
	}
	return slices.Compact(candidates)
}

// DeviceID is the text form of a device's id.
func DeviceID(id cql.UUID) string {
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// DeviceInterfaceID is the object id of the triggers of one device's interface.
func DeviceInterfaceID(iface, device cql.UUID) cql.UUID {
	return uuid5(iface, device[:])
}

// GroupInterfaceID is the object id of the triggers of a group's interface.
func GroupInterfaceID(iface cql.UUID, group string) cql.UUID {
	return uuid5(iface, []byte(group))
}

func uuid5(namespace cql.UUID, name []byte) cql.UUID {
	h := sha1.New() //nolint:gosec // G401: uuid version 5 is defined over SHA-1
	h.Write(namespace[:])
	h.Write(name)
	id := cql.UUID(h.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return id
}

// DevicesGroup is the group of kv_store that lists the devices of a draft.
func DevicesGroup(name string, major int) string {
	return fmt.Sprintf("devices-by-interface-%s-v%d", name, major)
}

// DataGroup is the group of kv_store that lists the devices with data on a draft.
func DataGroup(name string, major int) string {
	return fmt.Sprintf("devices-with-data-on-interface-%s-v%d", name, major)
}
