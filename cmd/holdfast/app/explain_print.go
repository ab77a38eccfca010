// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// write tells the explanation to a person.
func (e *explanation) write(out io.Writer) error {
	var b strings.Builder
	gr := schema.ParseGroupResource(e.Resource)
	fmt.Fprintln(&b, guard.Target{Resource: gr, Kind: e.Kind, Namespace: e.Namespace, Name: e.Name})
	switch {
	case !e.Guarded:
		fmt.Fprintln(&b, "  Not guarded: no profile that is switched on names "+e.Resource+".")
	case e.Profile == "":
		fmt.Fprintln(&b, "  Guarded for what it may hold.")
	default:
		fmt.Fprintf(&b, "  Guarded by profile %s: mode %s, snapshot %s.\n", e.Profile, e.Mode, e.Snapshot)
	}
	if e.PausedUntil != "" {
		fmt.Fprintf(&b, "  Holdfast is PAUSED until %s and refuses nothing. To end that: holdfast resume\n", e.PausedUntil)
	}
	if e.Terminating {
		fmt.Fprintf(&b, "  Deleted already, and held back by its finalizers. To bring it back: holdfast recovery undo %s %s%s\n", e.Resource, e.Name, e.inNamespace())
	}
	fmt.Fprintln(&b)
	e.writeVerdict(&b)
	if err := e.writeReferrers(&b); err != nil {
		return err
	}
	e.writeComparison(&b)
	if e.Finalizers != nil {
		e.Finalizers.write(&b)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (e *explanation) writeVerdict(b *strings.Builder) {
	switch e.Rules.Verdict {
	case verdictDenied:
		fmt.Fprintln(b, "A delete would be REFUSED.")
	case verdictUndecided:
		fmt.Fprintln(b, "A delete would be REFUSED, because Holdfast could not decide.")
	default:
		fmt.Fprintln(b, "A delete would be ALLOWED.")
		if e.Guarded && e.Snapshot != "none" {
			fmt.Fprintln(b, "  It would be saved first; 'holdfast recovery restore' brings it back.")
		}
	}
	if e.Recoverable != "" && e.Snapshot != "none" {
		fmt.Fprintln(b, "  Recoverable: "+e.Recoverable+".")
	}
	if e.Rules.Message != "" {
		fmt.Fprintln(b, "  "+e.Rules.Message)
	}
}

func (e *explanation) writeReferrers(b *strings.Builder) error {
	if len(e.Referrers) == 0 {
		return nil
	}
	fmt.Fprintf(b, "\nIn use by:\n")
	var rows [][]string
	for _, r := range e.Referrers {
		state := "-"
		if r.Terminating {
			state = "being deleted"
		}
		if r.Stored != "" {
			held := "its revision " + r.Stored + ", pinned by " + r.PinnedBy
			if r.Terminating {
				held += "; " + state
			}
			state = held
		}
		rows = append(rows, []string{"  " + strings.ToLower(r.Kind), cmp.Or(r.Namespace, "-"), r.Name, r.Path, cmp.Or(r.Revision, "-"), state})
	}
	return printTable(b, []string{"  KIND", "NAMESPACE", "NAME", "REFERENCE", "REVISION", "STATE"}, rows)
}

func (e *explanation) writeComparison(b *strings.Builder) {
	fmt.Fprintln(b)
	switch {
	case e.Agree:
		fmt.Fprintln(b, "The API server gives a dry-run delete the same answer.")
	case !e.Guarded:
		fmt.Fprintln(b, "The API server would refuse it, though not because of Holdfast. It says:")
		fmt.Fprintln(b, "  "+e.DryRun.Message)
	default:
		writeDifference(b, e.Rules, e.DryRun)
	}
}

// writeDifference says that the API server answers otherwise than the rules.
func writeDifference(b *strings.Builder, rules, dryRun answer) {
	switch {
	case dryRun.Verdict == verdictAllowed:
		fmt.Fprintln(b, "WARNING: the API server would ALLOW it all the same: Holdfast's webhook is not asked. Is 'holdfast serve'")
		fmt.Fprintln(b, "  running with this profile, and is ValidatingWebhookConfiguration holdfast there?")
	case rules.Verdict == verdictAllowed:
		fmt.Fprintln(b, "WARNING: the API server would refuse it all the same, and says:")
		fmt.Fprintln(b, "  "+dryRun.Message)
	default:
		fmt.Fprintln(b, "The API server would refuse it too, with another reason:")
		fmt.Fprintln(b, "  "+dryRun.Message)
	}
}

func (e *explanation) inNamespace() string {
	if e.Namespace == "" {
		return ""
	}
	return " -n " + e.Namespace
}
