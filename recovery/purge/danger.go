// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Danger is a reason not to purge. Allow is the flag by which the user accepts
// it; without one it cannot be accepted.
type Danger struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
	Allow  string `json:"allow"`
}

// The kinds of dangers that a flag allows, and their flags.
const (
	DangerDeclared   = "declared"
	DangerTriggers   = "triggers"
	DangerNodesDown  = "nodes-down"
	DangerIDMismatch = "id-mismatch"
)

// AllowFlag is the flag that accepts a danger.
func AllowFlag(kind string) string { return "--allow-" + kind }

func (p *Plan) danger(kind, format string, args ...any) {
	p.Dangers = append(p.Dangers, Danger{Kind: kind, Detail: fmt.Sprintf(format, args...), Allow: AllowFlag(kind)})
}

// RefusedError says that dangers were not accepted; nothing was changed.
type RefusedError struct {
	Dangers []Danger // the ones in the way
	Final   bool     // at least one that no flag allows
}

func (e *RefusedError) Error() string {
	var parts []string
	for _, d := range e.Dangers {
		if d.Allow == "" {
			parts = append(parts, d.Detail+" (nothing overrides this)")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s (%s accepts this)", d.Detail, d.Allow))
	}
	return "refused, nothing was changed: " + strings.Join(parts, "; ")
}

// CheckAllowed refuses the plan unless each of its dangers is among the kinds
// that were allowed.
//
// A purge that goes on is held to the same, with what was allowed when it was
// begun; once the row is gone there is no way back, and dangers are no reason
// to leave the data lying.
func (p *Plan) CheckAllowed(allowed []string) error {
	if p.detached {
		return nil
	}
	allowed = slices.Concat(allowed, p.allowed)
	var refused RefusedError
	for _, d := range p.Dangers {
		if d.Allow == "" || !slices.Contains(allowed, d.Kind) {
			refused.Dangers = append(refused.Dangers, d)
			refused.Final = refused.Final || d.Allow == ""
		}
	}
	if len(refused.Dangers) == 0 {
		return nil
	}
	return &refused
}

// digest identifies what would be purged and the dangers of it. Counts, samples
// and how the database is reached are not part of it, so that it is the same in
// a dry-run and in the run.
func (p *Plan) digest() string {
	t := p.Target
	var dangers []string
	for _, d := range p.Dangers {
		dangers = append(dangers, d.Kind)
	}
	for _, trigger := range p.Triggers {
		dangers = append(dangers, "trigger "+trigger.ID)
	}
	slices.Sort(dangers)
	table, tableID := "", ""
	if t.Object != nil {
		table, tableID = t.Object.Name, t.Object.ID.String()
	}
	// Quoted, so that no two plans run together into one text.
	identity := fmt.Sprintf("%q %q %q %d %q %t %d %q %q %q %q", t.Cluster, t.Keyspace, t.Name, t.Major, t.ID, t.Orphan,
		t.StorageType, t.Storage, table, tableID, slices.Compact(dangers))
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:8])
}
