// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// Scanner reads a cluster and judges it.
type Scanner struct {
	Client    dynamic.Interface
	Metadata  metadata.Interface
	Snapshots *snapshot.Store
	// Profiles say what is guarded.
	Profiles *profile.Set
	// Journals are those of recoveries of many steps; nil if they are not known.
	Journals journals
	// Rescued is the resource whose objects 'recovery undo' brings back out of a
	// Terminating definition even when they are not Terminating themselves.
	Rescued schema.GroupResource
}

// judgements are all that a scan looks for, in no particular order.
var judgements = []func(*world) []Finding{
	terminating, missingReferenced, missingSaved, missingRevisions,
	definitions, storedVersions, deadWebhooks, deadOwners,
	registered, snapshots, managers, unsettled, operatorsGone, replaced, unfinished,
}

// Scan looks at everything. Its error means that not even the definitions of
// the guarded resources could be read; anything less is in the report.
func (s *Scanner) Scan(ctx context.Context) (*Report, error) {
	w, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	report := &Report{Unknown: w.unknown, Findings: []Finding{}}
	for _, k := range w.kinds {
		if _, guarded := s.Profiles.Guarded(k.resource); guarded {
			report.Objects += len(k.objects)
		}
	}
	for _, judge := range judgements {
		report.Findings = append(report.Findings, judge(w)...)
	}
	report.sort()
	return report, nil
}
