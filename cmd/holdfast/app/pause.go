// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/util/retry"

	"github.com/holdfast-dev/holdfast/webhook/registration"
)

type pauseOptions struct {
	streams genericiooptions.IOStreams
	flags   *clusterFlags
	output  *outputFlag
	length  time.Duration
	reason  string
	dryRun  bool
}

func newPauseCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &pauseOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "pause --for DURATION --reason TEXT",
		Short: "Refuse nothing for a while",
		Long: `Lets everything pass that Holdfast would refuse, for a while. What is guarded is
still saved before it goes, and what would be refused is told as a warning, as
long as 'holdfast serve' runs; it need not. The pause ends by itself when serve
runs at its end, else with 'holdfast resume'. To let one deletion pass, approve
that one instead: holdfast approve.`,
		Example: `  holdfast pause --for 30m --reason 'moving the control plane to new storage'`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return o.pause(quietly(cmd.Context()))
		},
	}
	o.addFlags(cmd)
	cmd.Flags().DurationVar(&o.length, "for", 0, "how long, at most 24h")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why; whoever meets the pause is told")
	return cmd
}

func newResumeCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &pauseOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End a pause",
		Long:  "Ends a pause at once. 'holdfast serve' need not run.",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			return o.resume(quietly(cmd.Context()))
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *pauseOptions) addFlags(cmd *cobra.Command) {
	o.flags = addClusterFlags(cmd)
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "try it without effect on the API server, and change nothing")
	cmd.Flags().Bool("yes", false, "accepted as by every command; nothing is asked here")
}

func (o *pauseOptions) validate() error {
	if err := o.output.validate(); err != nil {
		return err
	}
	if o.length < time.Second || o.length > registration.LongestPause {
		return usagef("--for %s: must be given, from 1s to 24h", o.length)
	}
	return validReason(o.reason)
}

// paused is what was paused or resumed; its JSON is for scripts.
type paused struct {
	Until    string   `json:"pausedUntil,omitempty"`
	By       string   `json:"by,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Entries  []string `json:"entries,omitempty"`
	Bindings []string `json:"bindings,omitempty"`
	DryRun   bool     `json:"dryRun,omitempty"`
}

func (o *pauseOptions) pause(ctx context.Context) error {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	user, err := c.user(ctx)
	if err != nil {
		return c.explain(err)
	}
	p := registration.Pause{Until: time.Now().Add(o.length).Truncate(time.Second), By: user, Reason: oneLine(errors.New(o.reason))}
	result := &paused{Until: timestamp(p.Until), By: p.By, Reason: p.Reason, DryRun: o.dryRun}
	found, err := o.changeEntries(ctx, c, func(config *admissionv1.ValidatingWebhookConfiguration) bool {
		registration.SetPause(config, p)
		result.Entries = nil
		for _, w := range config.Webhooks {
			result.Entries = append(result.Entries, w.Name)
		}
		return true
	})
	if err != nil {
		return c.explain(err)
	}
	if !found {
		return fmt.Errorf("there is no ValidatingWebhookConfiguration %s, so no webhook of Holdfast's refuses anything; should 'holdfast serve' register again, pause then", registration.Name)
	}
	if result.Bindings, err = o.changeBindings(ctx, c, func(b *admissionv1.ValidatingAdmissionPolicyBinding) bool {
		return registration.SetBindingPause(b, p)
	}); err != nil {
		return &exitError{exitPartly, fmt.Errorf("the webhook is paused, the fence of operators is not: %w", c.explain(err))}
	}
	if !o.dryRun {
		known(ctx)
	}
	return o.print(result)
}

func (o *pauseOptions) resume(ctx context.Context) error {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	result := &paused{DryRun: o.dryRun}
	found, err := o.changeEntries(ctx, c, func(config *admissionv1.ValidatingWebhookConfiguration) bool {
		result.Entries = nil
		cleared := registration.ClearPause(config)
		for _, w := range config.Webhooks {
			if cleared {
				result.Entries = append(result.Entries, w.Name)
			}
		}
		return cleared
	})
	if err != nil {
		return c.explain(err)
	}
	if result.Bindings, err = o.changeBindings(ctx, c, registration.ClearBindingPause); err != nil {
		return &exitError{exitPartly, fmt.Errorf("the webhook is not paused any more, the fence of operators may be: %w", c.explain(err))}
	}
	if !found {
		o.note("there is no ValidatingWebhookConfiguration " + registration.Name + ": no webhook of Holdfast's refuses anything")
	}
	return o.print(result)
}

func (o *pauseOptions) note(text string) { _, _ = fmt.Fprintln(o.streams.ErrOut, "note: "+text) }

func (o *pauseOptions) updateOptions() metav1.UpdateOptions {
	if o.dryRun {
		return metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}
	}
	return metav1.UpdateOptions{}
}

// changeEntries changes the webhook configuration, if there is one and change
// says that there is something to be written.
func (o *pauseOptions) changeEntries(ctx context.Context, c *cluster, change func(*admissionv1.ValidatingWebhookConfiguration) bool) (found bool, err error) {
	client := c.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		config, err := client.Get(ctx, registration.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if found = true; !change(config) {
			return nil
		}
		_, err = client.Update(ctx, config, o.updateOptions())
		return err
	})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return found, err
}

// changeBindings changes those bindings of the fence for which change says so,
// and names them.
func (o *pauseOptions) changeBindings(ctx context.Context, c *cluster, change func(*admissionv1.ValidatingAdmissionPolicyBinding) bool) ([]string, error) {
	client := c.kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	all, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var changed []string
	for _, b := range all.Items {
		if b.Spec.PolicyName != registration.FenceName {
			continue
		}
		err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			live, err := client.Get(ctx, b.Name, metav1.GetOptions{})
			if err != nil || !change(live) {
				return err
			}
			if !slices.Contains(changed, b.Name) {
				changed = append(changed, b.Name)
			}
			_, err = client.Update(ctx, live, o.updateOptions())
			return err
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return changed, err
		}
	}
	return changed, nil
}

func (o *pauseOptions) print(p *paused) error {
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, p)
	}
	out := &lines{out: o.streams.Out}
	would := ""
	if p.DryRun {
		would = "would be "
	}
	switch {
	case p.Until != "":
		out.line("Holdfast %spaused until %s: it refuses nothing.", cmp.Or(would, "is "), p.Until)
		out.line("What is deleted is still saved, and what would be refused is warned about, while 'holdfast serve' runs.")
		out.line("End it:  holdfast resume")
	case len(p.Entries)+len(p.Bindings) == 0:
		out.line("Holdfast is not paused.")
	default:
		out.line("Holdfast %sresumed: it refuses again.", cmp.Or(would, "has "))
	}
	return out.err
}
