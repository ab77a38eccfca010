// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Literal is the statement with its values in place of the marks, to be shown
// to people; it is never sent. Values that are not known yet are given as a
// [Later].
func (s Statement) Literal() string {
	var b strings.Builder
	rest, quoted := s.Text, false
	next := 0
	for _, r := range rest {
		if r == '"' {
			quoted = !quoted
		}
		if r == '?' && !quoted && next < len(s.Values) {
			b.WriteString(literal(s.Values[next]))
			next++
			continue
		}
		b.WriteRune(r)
	}
	b.WriteByte(';')
	return b.String()
}

// Later names a value that a printed statement will get when it is sent.
type Later string

func literal(v any) string {
	switch v := v.(type) {
	case Later:
		return ":" + string(v)
	case UUID:
		return v.String()
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case []byte:
		return "0x" + hex.EncodeToString(v)
	case Cell:
		if v.Null {
			return "null"
		}
		return "0x" + hex.EncodeToString(v.Bytes)
	default:
		return fmt.Sprint(v)
	}
}
