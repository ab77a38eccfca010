// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook"
	"github.com/holdfast-dev/holdfast/webhook/approvals"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

type explainOptions struct {
	streams  genericiooptions.IOStreams
	flags    *clusterFlags
	profiles *profileFlags
	output   *outputFlag
}

func newExplainCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &explainOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "explain RESOURCE NAME",
		Short: "Say what a delete would be answered, and why, without deleting",
		Long: "Asks the same rules that the webhook asks, live, and sends a dry-run delete beside it, which the API server\n" +
			"answers as it would the real one. It says so when the two differ: then the webhook is away, or runs with\n" +
			"other profiles, or something else refuses. Of what is being deleted it also says what the removal of its\n" +
			"finalizers would be answered. RESOURCE \"release\" stands for a Helm release. Nothing is deleted or changed.",
		Example: "  holdfast explain servicetier n0.small -n nuodb-cp-system\n" +
			"  holdfast explain helmfeatures.cp.nuodb.com/small-resources -n nuodb-cp-system -o json\n" +
			"  holdfast explain release astarte-operator -n astarte-operator",
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context(), args)
		},
	}
	o.flags = addClusterFlags(cmd)
	o.profiles = addProfileFlags(cmd.Flags(), "those that 'holdfast serve' runs with")
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML)
	return cmd
}

// explanation is what explain tells; its JSON is for scripts.
type explanation struct {
	Resource  string `json:"resource"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Guarded   bool   `json:"guarded"`
	Profile   string `json:"profile,omitempty"`
	Mode      string `json:"mode,omitempty"`
	Snapshot  string `json:"snapshot,omitempty"`
	// Terminating objects are not asked about: they are on their way already.
	Terminating bool       `json:"terminating,omitempty"`
	Rules       answer     `json:"rules"`
	DryRun      answer     `json:"dryRun"`
	Agree       bool       `json:"agree"`
	Referrers   []usedFrom `json:"referrers,omitempty"`
	// PausedUntil is set while Holdfast is paused and refuses nothing.
	PausedUntil string `json:"pausedUntil,omitempty"`
	// Recoverable is yes, no or partly, and why.
	Recoverable string `json:"recoverable,omitempty"`
	// Finalizers is what their removal would be answered, of what is Terminating.
	Finalizers *stripped `json:"finalizers,omitempty"`
}

const (
	verdictAllowed   = "allow"
	verdictDenied    = "deny"
	verdictUndecided = "undecided"
)

// answer is a verdict, allow, deny or undecided, with its reason.
type answer struct {
	Verdict string `json:"verdict"`
	Message string `json:"message,omitempty"`
}

type usedFrom struct {
	Kind        string `json:"kind"`
	Resource    string `json:"resource"`
	Namespace   string `json:"namespace,omitempty"`
	Name        string `json:"name"`
	Path        string `json:"path"`
	Revision    string `json:"revision,omitempty"`
	Terminating bool   `json:"terminating,omitempty"`
	// Stored is the older revision of the referrer that holds the reference,
	// PinnedBy what pins that one.
	Stored   string `json:"storedRevision,omitempty"`
	PinnedBy string `json:"pinnedBy,omitempty"`
}

func (o *explainOptions) run(ctx context.Context, args []string) error {
	c, err := o.flags.connect(io.Discard) // the warnings repeat what is printed
	if err != nil {
		return err
	}
	set, err := o.profiles.forCluster(ctx, c)
	if err != nil {
		return err
	}
	if resourceWord(args) == v1alpha1.ReleaseResource {
		key, _, err := c.findRelease(ctx, args)
		if err != nil {
			return c.explain(err)
		}
		e, err := explainRelease(ctx, c, set, key)
		if err != nil {
			return c.explain(err)
		}
		return o.print(e)
	}
	targets, err := c.targets(ctx, args)
	if err != nil {
		return c.explain(err)
	}
	t := targets[0]
	obj, err := c.dynamic.Resource(t.mapping.Resource).Namespace(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return usagef("there is no %s; 'kubectl get %s -A' lists those that exist, 'holdfast recovery list' those that were saved",
			guard.Target{Resource: t.mapping.Resource.GroupResource(), Kind: t.mapping.GroupVersionKind.Kind, Namespace: t.namespace, Name: t.name}, t.mapping.Resource.Resource)
	}
	if err != nil {
		return c.explain(err)
	}
	e, err := explainDelete(ctx, c, set, t, obj)
	if err != nil {
		return c.explain(err)
	}
	return o.print(e)
}

func explainDelete(ctx context.Context, c *cluster, set *profile.Set, t target, obj *unstructured.Unstructured) (*explanation, error) {
	gr := t.mapping.Resource.GroupResource()
	e := &explanation{
		Resource: gr.String(), Kind: obj.GetKind(), Namespace: t.namespace, Name: t.name,
		Terminating: obj.GetDeletionTimestamp() != nil,
		Rules:       answer{Verdict: verdictAllowed},
	}
	if guarded, ok := set.Subject(gr, t.name); ok {
		e.Guarded, e.Profile, e.Mode, e.Snapshot = true, guarded.Profile, string(guarded.Mode), string(guarded.Snapshot)
		who, err := newUsage(c.config, set)
		if err != nil {
			return nil, err
		}
		q := &question{cluster: c, set: set, who: who, target: t, object: obj}
		if e.Rules, err = q.askRules(ctx, nil); err != nil {
			return nil, err
		}
		if e.Finalizers, err = q.finalizers(ctx); err != nil {
			return nil, err
		}
		e.Recoverable = recoverability(ctx, c, set, guarded, obj)
		target := guard.Target{Resource: gr, Kind: obj.GetKind(), Namespace: t.namespace, Name: t.name}
		if use, err := who.Of(ctx, target, -1); err == nil { // an error is in the rules' answer
			e.addReferrers(use)
		}
	}
	// What cannot be read is not paused.
	if pause, err := registration.ReadPause(ctx, c.kube, time.Now); err == nil && !pause.Until.IsZero() {
		e.PausedUntil = timestamp(pause.Until)
	}
	e.DryRun = dryRunDelete(ctx, c, t, obj)
	e.Agree = e.DryRun.Verdict == e.Rules.Verdict
	return e, nil
}

// question is about one object.
type question struct {
	cluster *cluster
	set     *profile.Set
	who     guard.Usage
	target  target
	object  *unstructured.Unstructured
}

// askRules puts to the webhook's own handler what the API server would: a
// deletion, unless edit makes something else of it.
func (q *question) askRules(ctx context.Context, edit func(*admissionv1.AdmissionRequest)) (answer, error) {
	c := q.cluster
	metrics, err := webhook.NewMetrics(nil)
	if err != nil {
		return answer{}, err
	}
	raw, err := q.object.MarshalJSON()
	if err != nil {
		return answer{}, err
	}
	live, err := newInstances(c.config)
	if err != nil {
		return answer{}, err
	}
	operators, err := newOperators(c.config)
	if err != nil {
		return answer{}, err
	}
	f := facts{who: q.who, live: live, operators: operators}
	handler := &webhook.Handler{
		Profiles: q.set, Rules: newRules(q.set, f), Finalizers: newFinalizers(q.set, f), Metrics: metrics, Timeout: time.Minute,
		Approvals: &approvals.Store{Client: c.dynamic, Now: time.Now}, Paused: pausedBy(c.kube),
	}
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Operation: admissionv1.Delete,
		Resource:  metav1.GroupVersionResource(q.target.mapping.Resource),
		Namespace: q.target.namespace,
		Name:      q.target.name,
		DryRun:    ptr.To(true),
		OldObject: runtime.RawExtension{Raw: raw},
		UserInfo:  whoAmI(ctx, c),
	}}
	if edit != nil {
		edit(&request.AdmissionRequest)
	}
	response := handler.Handle(ctx, request)
	given := readAnswer(response.Allowed, response.Result)
	if text := webhook.Unwrap(response.Warnings); response.Allowed && strings.HasPrefix(text, "would be refused") {
		given.Message = text // why it passes all the same
	}
	return given, nil
}

// whoAmI is the user of the credentials; rules may answer some differently.
func whoAmI(ctx context.Context, c *cluster) authenticationv1.UserInfo {
	me, err := c.kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{} // the rules then see a user without special rights
	}
	return me.Status.UserInfo
}

func dryRunDelete(ctx context.Context, c *cluster, t target, obj *unstructured.Unstructured) answer {
	return answerOf(c.dynamic.Resource(t.mapping.Resource).Namespace(t.namespace).Delete(ctx, t.name, metav1.DeleteOptions{
		DryRun:        []string{metav1.DryRunAll},
		Preconditions: &metav1.Preconditions{UID: ptr.To(obj.GetUID())},
	}))
}

// answerOf is the answer that the API server gave.
func answerOf(err error) answer {
	if err == nil {
		return answer{Verdict: verdictAllowed}
	}
	status := &metav1.Status{Message: err.Error()}
	var api apierrors.APIStatus
	if errors.As(err, &api) {
		status.Code = api.Status().Code
	}
	return readAnswer(false, status)
}

func readAnswer(allowed bool, status *metav1.Status) answer {
	switch {
	case allowed:
		return answer{Verdict: verdictAllowed}
	case status.Code == http.StatusForbidden:
		return answer{Verdict: verdictDenied, Message: status.Message}
	default:
		return answer{Verdict: verdictUndecided, Message: status.Message}
	}
}

func (e *explanation) addReferrers(use guard.Use) {
	for _, r := range use.First {
		e.Referrers = append(e.Referrers, usedFrom{
			Kind: r.Kind, Resource: r.Resource.String(), Namespace: r.Namespace, Name: r.Name,
			Path: r.Path, Revision: r.Revision, Terminating: r.Terminating,
			Stored: r.Stored, PinnedBy: r.PinnedBy,
		})
	}
}

func (o *explainOptions) print(e interface{ write(out io.Writer) error }) error {
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, e)
	}
	return e.write(o.streams.Out)
}
