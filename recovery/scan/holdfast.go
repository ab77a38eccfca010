// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/journal"
)

const (
	// These are what 'holdfast pause' leaves on the configuration.
	pausedUntil, pausedBy, pausedReason = "holdfast.dev/paused-until", "holdfast.dev/paused-by", "holdfast.dev/paused-reason"

	managedBy, holdfastMark = "app.kubernetes.io/managed-by", "holdfast"
)

// journals gives the recoveries that have begun and not ended.
type journals interface {
	Unfinished(ctx context.Context) ([]*journal.State, error)
}

// registered finds out whether Holdfast itself stands guard.
func registered(w *world) []Finding {
	f := Finding{Severity: Critical, Kind: KindRegistration, Resource: validatingResource.GroupResource().String(), Name: holdfastName}
	var entries, guards int
	for _, h := range w.hooks {
		if h.configuration != holdfastName || h.resource != f.Resource {
			continue
		}
		entries++
		if h.blocks && len(h.guarded) > 0 {
			guards++
		}
	}
	until := w.own.annotations[pausedUntil]
	switch {
	case !w.own.there || entries == 0 && w.own.labels[managedBy] == holdfastMark:
		f.Detail = "Holdfast is not registered with the API server: nothing is refused, and nothing is saved before it goes"
		f.Mend = "see that 'holdfast serve' runs: it registers itself within seconds"
	case w.own.labels[managedBy] != holdfastMark:
		f.Detail = "a webhook configuration of Holdfast's name is there that Holdfast has not made: nobody knows what it refuses"
		f.Mend = "see whose it is: kubectl get validatingwebhookconfiguration " + holdfastName + " -o yaml; a running 'holdfast serve' replaces it within seconds"
	case guards == 0 && until != "":
		f.Detail = fmt.Sprintf("Holdfast is paused until %s by %s (%s): nothing is refused", until, cmp.Or(w.own.annotations[pausedBy], "somebody"), cmp.Or(w.own.annotations[pausedReason], "no reason given"))
		f.Mend = "holdfast resume"
	case guards == 0:
		f.Detail = "Holdfast is registered, but refuses nothing: it is paused, or somebody changed its entries"
		f.Mend = "holdfast resume; a running 'holdfast serve' puts other changes right within seconds"
	default:
		return nil
	}
	return []Finding{f}
}

// unfinished finds recoveries of many steps that have begun and not ended.
func unfinished(w *world) []Finding {
	var found []Finding
	for _, s := range w.unfinished {
		f := about(Critical, KindRecoveryUnfinished, schema.GroupResource{Resource: s.Operation}, types.NamespacedName{Name: s.Target})
		f.Detail = fmt.Sprintf("it was begun at %s and did not end; its last step was %q", s.Begun.UTC().Format("2006-01-02T15:04:05Z"), s.Last())
		if s.Holder != (journal.Holder{}) {
			f.Detail += fmt.Sprintf("; at work was %s, with its last sign of life at %s", s.Holder, s.Seen.UTC().Format("2006-01-02T15:04:05Z"))
		}
		n := 0
		for _, a := range s.Aside {
			if !a.Back {
				n++
			}
		}
		if n > 0 {
			f.Detail += fmt.Sprintf("; %s to be put back by it", things(n))
		}
		f.Mend = s.Command
		found = append(found, f)
	}
	return found
}

func things(n int) string {
	if n == 1 {
		return "1 thing is"
	}
	return fmt.Sprintf("%d things are", n)
}
