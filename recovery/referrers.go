// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// settleTime is how long referrers may take to be Ready again.
const settleTime = 5 * time.Second

// Referrers says how those of one kind are that refer to what came back.
type Referrers struct {
	Resource string `json:"resource"`
	Ready    int    `json:"ready"`
	NotReady int    `json:"notReady"`
	// Unjudged have no condition Ready: their operator has not said anything.
	Unjudged int `json:"unjudged"`
	// Worst are the first that are not Ready, with what they say.
	Worst []string `json:"worst,omitempty"`
	// Unpinned are pins to revisions that what came back does not keep.
	Unpinned []string `json:"unpinned,omitempty"`
}

// String says it in words.
func (r *Referrers) String() string {
	text := fmt.Sprintf("%d %s refer to it: %d Ready, %d not Ready, %d not judged (without a condition Ready)",
		r.Ready+r.NotReady+r.Unjudged, r.Resource, r.Ready, r.NotReady, r.Unjudged)
	if len(r.Worst) > 0 {
		text += "; not Ready: " + firstFew(r.Worst)
	}
	if len(r.Unpinned) > 0 {
		text += "; it lacks revisions that are pinned by " + firstFew(r.Unpinned)
	}
	return text
}

// Judge looks at what refers to the objects that came back, until it is Ready
// or has had its time, and whether the revisions that it pins are there. Nothing
// is written.
func (r *Recovery) Judge(ctx context.Context, outcomes []*Outcome) ([]*Referrers, error) {
	back := map[schema.GroupResource][]*Outcome{}
	for _, o := range outcomes {
		if o.Result == ResultDone {
			gr := schema.ParseGroupResource(o.Resource)
			back[gr] = append(back[gr], o)
		}
	}
	pause, begun := newPause(), r.Now()
	for {
		judged, err := r.judgeOnce(ctx, back)
		unsettled := slices.ContainsFunc(judged, func(j *Referrers) bool { return j.NotReady > 0 })
		if err != nil || !unsettled || r.Now().Sub(begun) > settleTime || !rest(ctx, pause) {
			return judged, err
		}
	}
}

func (r *Recovery) judgeOnce(ctx context.Context, back map[schema.GroupResource][]*Outcome) ([]*Referrers, error) {
	kinds := map[schema.GroupResource]*Referrers{}
	for gr, outcomes := range back {
		g, ok := r.Profiles.Guarded(gr)
		if !ok {
			continue
		}
		revisions, err := r.revisionsOf(ctx, g, outcomes)
		if err != nil {
			return nil, err
		}
		for _, ref := range g.ReferencedBy {
			if kinds[ref.Resource] == nil {
				kinds[ref.Resource] = &Referrers{Resource: ref.Resource.String()}
			}
			if err := r.judgeKind(ctx, ref, outcomes, revisions, kinds[ref.Resource]); err != nil {
				return nil, fmt.Errorf("look at %s: %w", ref.Resource, err)
			}
		}
	}
	var judged []*Referrers
	for _, k := range kinds {
		if k.Ready+k.NotReady+k.Unjudged > 0 {
			judged = append(judged, k)
		}
	}
	slices.SortFunc(judged, func(a, b *Referrers) int { return strings.Compare(a.Resource, b.Resource) })
	return judged, nil
}

// revisionsOf are the revisions that what came back keeps, by namespace/name;
// nil for a resource that keeps none.
func (r *Recovery) revisionsOf(ctx context.Context, g *profile.Guarded, outcomes []*Outcome) (map[string][]string, error) {
	if g.Revisions == nil {
		return nil, nil
	}
	mapping, err := r.mappingOf(ctx, g.Resource)
	if err != nil {
		return nil, err
	}
	kept := map[string][]string{}
	for _, o := range outcomes {
		live, err := r.clientFor(mapping, o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("get %s: %w", o, err)
		}
		for _, revision := range g.Revisions.Of(live) {
			kept[joinName(o.Namespace, o.Name)] = append(kept[joinName(o.Namespace, o.Name)], revision.Number)
		}
	}
	return kept, nil
}

func (r *Recovery) judgeKind(ctx context.Context, ref profile.Reference, outcomes []*Outcome, revisions map[string][]string, into *Referrers) error {
	mapping, err := r.mappingOf(ctx, ref.Resource)
	if meta.IsNoMatchError(err) {
		return nil // a kind that is not installed refers to nothing
	}
	if err != nil {
		return err
	}
	opts := metav1.ListOptions{Limit: referrerPage}
	for {
		page, err := r.Client.Resource(mapping.Resource).List(ctx, opts)
		if err != nil {
			return err
		}
		for i := range page.Items {
			obj := &page.Items[i]
			hits, err := ref.Hits(obj)
			if err != nil {
				return fmt.Errorf("%s: %w", joinName(obj.GetNamespace(), obj.GetName()), err)
			}
			if into.take(obj, hits, outcomes, revisions) {
				into.count(obj)
			}
		}
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return nil
		}
	}
}

// take says whether obj refers to one of outcomes, and notes what it pins in vain.
func (r *Referrers) take(obj *unstructured.Unstructured, hits []profile.Hit, outcomes []*Outcome, revisions map[string][]string) bool {
	refers := false
	for _, hit := range hits {
		for _, o := range outcomes {
			if !hit.Names(o.Namespace, o.Name) {
				continue
			}
			refers = true
			if hit.Revision != "" && revisions != nil && !slices.Contains(revisions[joinName(o.Namespace, o.Name)], hit.Revision) {
				r.Unpinned = append(r.Unpinned, fmt.Sprintf("%s (revision %s of %s)", joinName(obj.GetNamespace(), obj.GetName()), hit.Revision, o.Name))
			}
		}
	}
	return refers
}

// count adds obj by its condition Ready.
func (r *Referrers) count(obj *unstructured.Unstructured) {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] != "Ready" {
			continue
		}
		if condition["status"] == "True" {
			r.Ready++
			return
		}
		r.NotReady++
		r.Worst = append(r.Worst, fmt.Sprintf("%s (%v)", joinName(obj.GetNamespace(), obj.GetName()), condition["reason"]))
		return
	}
	r.Unjudged++
}
