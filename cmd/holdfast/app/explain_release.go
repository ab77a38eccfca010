// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/webhook/approvals"
	"github.com/holdfast-dev/holdfast/webhook/fence"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// explainedRelease is what explain tells about a Helm release; its JSON is for scripts.
type explainedRelease struct {
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Fenced    bool   `json:"fenced"`
	// ApprovedBy is the approval that opens the fence.
	ApprovedBy  string `json:"approvedBy,omitempty"`
	PausedUntil string `json:"pausedUntil,omitempty"`
	Rules       answer `json:"rules"`
	DryRun      answer `json:"dryRun"`
	Agree       bool   `json:"agree"`
}

// explainRelease works out the fence of a release as the leader does, and asks
// the API server beside it to delete the Secret of the revision that runs,
// without effect: Helm does not get further than that.
func explainRelease(ctx context.Context, c *cluster, set *profile.Set, key release.Key) (*explainedRelease, error) {
	e := &explainedRelease{Resource: v1alpha1.ReleaseResource, Namespace: key.Namespace, Name: key.Name, Rules: answer{Verdict: verdictAllowed}}
	text, err := fenceOf(ctx, c, set, key)
	if err != nil {
		return nil, err
	}
	if e.ApprovedBy, err = (&approvals.Store{Client: c.dynamic, Now: time.Now}).Release(ctx, key.Namespace, key.Name); err != nil {
		return nil, err
	}
	// What cannot be read is not paused.
	if pause, err := registration.ReadPause(ctx, c.kube, time.Now); err == nil && !pause.Until.IsZero() {
		e.PausedUntil = timestamp(pause.Until)
	}
	if e.Fenced = text != ""; e.Fenced {
		e.Rules.Message = text
		if e.ApprovedBy == "" && e.PausedUntil == "" {
			e.Rules.Verdict = verdictDenied
		}
	}
	e.DryRun = dryRunUninstall(ctx, c, key)
	e.Agree = e.DryRun.Verdict == e.Rules.Verdict
	return e, nil
}

// fenceOf is the text of the fence of a release, empty when it has none.
func fenceOf(ctx context.Context, c *cluster, set *profile.Set, key release.Key) (string, error) {
	live, err := newInstances(c.config)
	if err != nil {
		return "", err
	}
	unknown := func(schema.GroupResource) (map[string]int, bool) { return nil, false }
	facts := fence.Live{Metadata: live.Metadata, CRDs: live.Definitions, Counts: unknown, Instances: live}
	fences, err := (&fence.Fence{Profiles: set, Definitions: facts, Instances: facts}).Fences(ctx, ctx)
	if err != nil {
		return "", err
	}
	for _, f := range fences {
		if f.ID == fence.ID(key) {
			return f.Text, nil
		}
	}
	return "", nil
}

func dryRunUninstall(ctx context.Context, c *cluster, key release.Key) answer {
	secrets := c.metadata.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(key.Namespace)
	running, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,status=deployed,name=" + key.Name})
	switch {
	case err != nil:
		return answer{Verdict: verdictUndecided, Message: err.Error()}
	case len(running.Items) == 0:
		return answer{Verdict: verdictUndecided, Message: "Helm has no revision of it that runs"}
	}
	err = secrets.Delete(ctx, running.Items[0].Name, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsForbidden(err) && !strings.Contains(err.Error(), registration.FenceName) {
		return answer{Verdict: verdictUndecided, Message: err.Error()} // for want of a right, most of the time
	}
	return answerOf(err)
}

func (e *explainedRelease) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "release %s/%s\n", e.Namespace, e.Name)
	if e.Fenced {
		fmt.Fprintln(&b, "  Fenced: instances of its definitions exist.")
	} else {
		fmt.Fprintln(&b, "  Not fenced: it owns no guarded definition of which instances exist.")
	}
	if e.PausedUntil != "" {
		fmt.Fprintf(&b, "  Holdfast is PAUSED until %s and refuses nothing. To end that: holdfast resume\n", e.PausedUntil)
	}
	if e.Fenced && e.ApprovedBy != "" {
		fmt.Fprintf(&b, "  Approval %s opens the fence. To take it back: kubectl delete deletionapproval %[1]s\n", e.ApprovedBy)
	}
	verdict := map[string]string{verdictAllowed: "ALLOWED", verdictDenied: "REFUSED"}[e.Rules.Verdict]
	fmt.Fprintf(&b, "\nAn uninstall would be %s.\n", verdict)
	if e.Rules.Verdict == verdictAllowed && e.Fenced {
		fmt.Fprintln(&b, "  It would take the instances along; they would be saved first while 'holdfast serve' runs.")
	}
	if e.Rules.Message != "" {
		fmt.Fprintln(&b, "  "+e.Rules.Message)
	}
	fmt.Fprintln(&b)
	switch {
	case e.Agree:
		fmt.Fprintln(&b, "The API server gives a dry-run delete of its record the same answer.")
	case e.DryRun.Verdict == verdictUndecided:
		fmt.Fprintln(&b, "The API server could not be asked the same: "+e.DryRun.Message)
	case e.DryRun.Verdict == verdictAllowed:
		fmt.Fprintln(&b, "WARNING: the API server would ALLOW it all the same: the fence is not closed. Does 'holdfast serve' run with this")
		fmt.Fprintln(&b, "  profile, and is ValidatingAdmissionPolicyBinding holdfast-fence-deny there?")
	default:
		fmt.Fprintln(&b, "WARNING: the API server would refuse it all the same: the fence is still closed. It opens within seconds if 'holdfast serve' runs.")
	}
	_, err := io.WriteString(out, b.String())
	return err
}
