// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/webhook/approvals"
)

const (
	approvalDefault = 15 * time.Minute
	// longestValid and longestReason are what the schema of approvals allows.
	longestValid  = 24 * time.Hour
	longestReason = 1024
)

type approveOptions struct {
	streams   genericiooptions.IOStreams
	flags     *clusterFlags
	profiles  *profileFlags
	output    *outputFlag
	reason    string
	validFor  time.Duration
	operation string
	dryRun    bool
}

func newApproveCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &approveOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "approve RESOURCE NAME --reason TEXT",
		Short: "Let one deletion pass that Holdfast refuses",
		Long: `Approves one operation on one object, which is then let pass once, whatever
stands against it; it is saved all the same. The approval is bound to the
object's UID and ends by itself. One for a namespace or a Helm release covers
the removal of the whole until it ends.

RESOURCE "release" stands for a Helm release. Nothing is deleted by approving.
  kubectl get deletionapprovals           who approved what, and who used it
  kubectl delete deletionapproval NAME    takes an approval back`,
		Example: `  holdfast approve servicetier n0.small -n nuodb-cp-system --reason 'replaced by n1.small'
  holdfast approve release astarte-operator -n astarte --reason 'moving to another cluster' --for 1h`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(args); err != nil {
				return err
			}
			return o.run(quietly(cmd.Context()), args)
		},
	}
	o.flags = addClusterFlags(cmd)
	o.profiles = addProfileFlags(cmd.Flags(), "those that 'holdfast serve' runs with")
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML, outputName)
	cmd.Flags().StringVar(&o.reason, "reason", "", "why it may be done; it is kept with the approval, the snapshot and the audit log")
	cmd.Flags().DurationVar(&o.validFor, "for", approvalDefault, "how long it may be done, at most 24h")
	cmd.Flags().StringVar(&o.operation, "operation", "", "delete, strip-finalizers, or uninstall for a release (default: delete, or uninstall for a release)")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "try it without effect on the API server, and approve nothing")
	cmd.Flags().Bool("yes", false, "accepted as by every command; nothing is asked here")
	return cmd
}

func (o *approveOptions) validate(args []string) error {
	if err := o.output.validate(); err != nil {
		return err
	}
	if err := validReason(o.reason); err != nil {
		return err
	}
	if o.validFor < time.Second || o.validFor > longestValid {
		return usagef("--for %s: must be from 1s to 24h", o.validFor)
	}
	isRelease := resourceWord(args) == v1alpha1.ReleaseResource
	if o.operation == "" {
		o.operation = string(v1alpha1.OperationDelete)
		if isRelease {
			o.operation = string(v1alpha1.OperationUninstall)
		}
	}
	switch operation := v1alpha1.ApprovedOperation(o.operation); {
	case !slices.Contains([]v1alpha1.ApprovedOperation{v1alpha1.OperationDelete, v1alpha1.OperationStripFinalizers, v1alpha1.OperationUninstall}, operation):
		return usagef("--operation %q: must be delete, strip-finalizers or uninstall", o.operation)
	case isRelease != (operation == v1alpha1.OperationUninstall):
		return usagef("--operation %s: uninstall is the operation for a release, and for nothing else", o.operation)
	}
	return nil
}

// validReason checks the text of a --reason that must be given.
func validReason(reason string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return usagef("--reason is needed: say why, for those who will ask")
	case len(reason) > longestReason:
		return usagef("--reason: must be no longer than %d bytes", longestReason)
	}
	return nil
}

// resourceWord is the RESOURCE of RESOURCE NAME or RESOURCE/NAME.
func resourceWord(args []string) string {
	word, _, _ := strings.Cut(args[0], "/")
	return strings.ToLower(word)
}

func (o *approveOptions) run(ctx context.Context, args []string) error {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	what, err := o.target(ctx, c, args)
	if err != nil {
		return c.explain(err)
	}
	user, err := c.user(ctx)
	if err != nil {
		return c.explain(err)
	}
	a := what.approval
	a.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.DeletionApprovalKind}
	a.GenerateName = generatedName(o.operation, a.Spec.Name)
	a.Spec.Operation = v1alpha1.ApprovedOperation(o.operation)
	a.Spec.Reason, a.Spec.ApprovedBy, a.Spec.ValidFor = o.reason, user, shortDuration(o.validFor)
	created, err := o.create(ctx, c, a)
	if err != nil {
		return c.explain(err)
	}
	if !o.dryRun {
		known(ctx)
	}
	what.approval = created
	return o.print(what)
}

// user is the name under which the API server knows whoever runs the command.
func (c *cluster) user(ctx context.Context) (string, error) {
	me, err := c.kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("find out who you are: %w", err)
	}
	return me.Status.UserInfo.Username, nil
}

func (o *approveOptions) create(ctx context.Context, c *cluster, a *v1alpha1.DeletionApproval) (*v1alpha1.DeletionApproval, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
	if err != nil {
		return nil, fmt.Errorf("encode approval: %w", err)
	}
	delete(content, "status")
	options := metav1.CreateOptions{}
	if o.dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	live, err := c.dynamic.Resource(approvals.Resource()).Create(ctx, &unstructured.Unstructured{Object: content}, options)
	if apierrors.IsNotFound(err) {
		return nil, errors.New("the cluster does not know DeletionApprovals: install Holdfast's chart, which brings their definition")
	}
	if err != nil {
		return nil, fmt.Errorf("approve: %w", err)
	}
	created := &v1alpha1.DeletionApproval{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, created); err != nil {
		return nil, fmt.Errorf("read the approval: %w", err)
	}
	return created, nil
}

// generatedName is a prefix of which the API server makes a free name.
func generatedName(operation, name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	const most = 40
	clean = strings.Trim(clean[:min(len(clean), most)], ".-")
	// Parts between dots may not begin or end with a dash.
	clean = strings.NewReplacer(".-", ".", "-.", ".").Replace(clean)
	return operation + "-" + clean + "-"
}

// shortDuration is d without the zeros at its end: 15m0s -> 15m.
func shortDuration(d time.Duration) string {
	text := d.Truncate(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
