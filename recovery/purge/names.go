// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Astarte's own rules, anchored at both ends of the text: its own patterns let
// a trailing newline through.
var (
	realmName     = regexp.MustCompile(`\A[a-z][a-z0-9]{0,47}\z`)
	interfaceName = regexp.MustCompile(`\A([a-zA-Z][a-zA-Z0-9]*\.([a-zA-Z0-9][a-zA-Z0-9-]*\.)*)?[a-zA-Z][a-zA-Z0-9]*\z`)
	instanceID    = regexp.MustCompile(`\A[A-Za-z][A-Za-z0-9_-]{0,254}\z`)
	majorDigits   = regexp.MustCompile(`\A[0-9]{1,10}\z`)
)

const (
	maxInterfaceName = 128
	maxMajor         = 1<<31 - 1
)

// CheckRealm says whether name can be a realm of Astarte.
func CheckRealm(name string) error {
	if !realmName.MatchString(name) {
		return fmt.Errorf("realm %q is not a realm name: a lower case letter, then lower case letters and digits, at most 48 in all", name)
	}
	if name == "astarte" || name == "system" {
		return fmt.Errorf("realm %q is not a realm: the name is reserved", name)
	}
	return nil
}

// CheckInstanceID says whether id can be an Astarte instance id; "" is none.
func CheckInstanceID(id string) error {
	if id != "" && !instanceID.MatchString(id) {
		return fmt.Errorf("instance id %q is not one: a letter, then letters, digits, hyphens and underscores", id)
	}
	return nil
}

// CheckInterface says whether name can be the name of an Astarte interface.
func CheckInterface(name string) error {
	if len(name) > maxInterfaceName {
		return fmt.Errorf("interface name of %d characters is too long: Astarte allows %d", len(name), maxInterfaceName)
	}
	if !interfaceName.MatchString(name) {
		return fmt.Errorf("interface %q is not an interface name: letters and digits in parts with dots between, such as com.example.Sensors", name)
	}
	switch name {
	case "astarte", "control", "device":
		return fmt.Errorf("interface %q is not an interface: the name is reserved", name)
	}
	return nil
}

// ParseMajor reads a major version. There is no default: leaving the major out
// must never mean all of them.
func ParseMajor(text string) (int, error) {
	if text == "" {
		return 0, fmt.Errorf("--major is missing: each major version is an interface of its own")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !majorDigits.MatchString(text) || n > maxMajor {
		return 0, fmt.Errorf("major version %q is not a number from 0 to %d", text, maxMajor)
	}
	return int(n), nil
}

// Title names an interface as people do, name and vMAJOR.
func Title(name string, major int) string {
	return fmt.Sprintf("%s v%d", name, major)
}

// nearest are the candidates that look most like name, best first, at most n.
func nearest(name string, candidates []string, n int) []string {
	type scored struct {
		name     string
		distance int
	}
	var near []scored
	for _, c := range candidates {
		d := distance(strings.ToLower(name), strings.ToLower(c))
		// More than half of it differs: that is another name, not a slip.
		if d <= max(2, len(name)/2) || strings.Contains(strings.ToLower(c), strings.ToLower(name)) {
			near = append(near, scored{c, d})
		}
	}
	slices.SortFunc(near, func(a, b scored) int {
		if a.distance != b.distance {
			return a.distance - b.distance
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, s := range near[:min(n, len(near))] {
		names = append(names, s.name)
	}
	return names
}

// distance is the number of characters to change, add or drop.
func distance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(current[j]+1, previous[j+1]+1, previous[j]+cost)
		}
		previous = current
	}
	return previous[len(b)]
}
