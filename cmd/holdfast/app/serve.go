// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/certs"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// drainDefault is how long it may take until every node sends requests elsewhere.
const drainDefault = 5 * time.Second

// serveOptions are what 'holdfast serve' is told on its command line.
type serveOptions struct {
	streams          genericiooptions.IOStreams
	config           *genericclioptions.ConfigFlags
	profiles         *profileFlags
	namespace        string
	port             int
	webhookURL       string
	service          string
	clusterRole      string
	metrics          string
	health           string
	continuousBackup bool
	verbosity        int
	drain            time.Duration
	// secretNamespaces are those whose Secrets are saved in sets.
	secretNamespaces      []string
	secretNamespacesGiven bool
	keep                  *retentionFlags
	pruneEvery            time.Duration

	// What Complete makes of them.
	set        *profile.Set
	hosts      []string
	restConfig *rest.Config
	policy     snapshot.Policy
}

// runServe runs the server; tests of the flags replace it.
type runServe func(ctx context.Context, o *serveOptions) error

func newServeCmd(streams genericiooptions.IOStreams, run runServe) *cobra.Command {
	o := &serveOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer deletions: refuse what is still in use, save what goes",
		Long: "Runs the admission webhook. It registers itself with the API server, and puts that registration right\n" +
			"whenever somebody changes it. Ready on /readyz of --health-probe-bind-address.",
		Example: "  holdfast serve --profiles nuodb\n" +
			"  holdfast serve --profiles nuodb --profile-file billing.yaml --webhook-url https://127.0.0.1:9443",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.webhookURL != "" && !cmd.Flags().Changed("drain") {
				o.drain = 0
			}
			o.secretNamespacesGiven = cmd.Flags().Changed("secret-namespaces")
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.complete(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *serveOptions) addFlags(flags *pflag.FlagSet) {
	o.config = genericclioptions.NewConfigFlags(true)
	o.config.Namespace = nil // --namespace is Holdfast's own here
	o.config.AddFlags(flags)
	o.profiles = addProfileFlags(flags, "none")
	flags.StringVarP(&o.namespace, "namespace", "n", defaultHoldfastNamespace, "the namespace that Holdfast keeps its own objects in; nothing in it is guarded")
	flags.IntVar(&o.port, "port", 9443, "the port to answer the API server on")
	flags.StringVar(&o.webhookURL, "webhook-url", "", "register by this URL, for a webhook outside the cluster (default: by the Service)")
	flags.StringVar(&o.service, "service-name", "holdfast", "the Service in --namespace that leads to this webhook")
	flags.StringVar(&o.clusterRole, "cluster-role", "holdfast", "the installation's ClusterRole, with which the webhook configuration goes; it need not exist")
	flags.StringVar(&o.metrics, "metrics-bind-address", ":8080", "where /metrics is served; 0 switches it off")
	flags.StringVar(&o.health, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served")
	flags.DurationVar(&o.drain, "drain", drainDefault, "how long to go on answering after being asked to end, until the Service sends no more requests here; without a Service (--webhook-url) it ends at once by default")
	flags.StringSliceVar(&o.secretNamespaces, "secret-namespaces", nil, "the namespaces whose Secrets are saved with what they belong to; "+anyNamespace+" means all (default: those whose Secrets it has the right to read)")
	o.keep = addRetentionFlags(flags)
	flags.DurationVar(&o.pruneEvery, "prune-every", 10*time.Minute, "how often saved versions that need not be kept are removed; it leaves the latest of each object, what is pinned and what a recovery works from")
	flags.BoolVar(&o.continuousBackup, "continuous-backup", true, "save every version of guarded objects as it is seen, and whole sets, so that also what is deleted without being asked can be brought back; without it they are saved only before a deletion")
	flags.IntVarP(&o.verbosity, "verbosity", "v", 0, "how much is logged: 0 what changes something, 1 every answer")
}

func (o *serveOptions) validate() error {
	if o.port < 1 || o.port > 65535 {
		return usagef("--port %d: must be from 1 to 65535", o.port)
	}
	for _, problem := range validation.IsDNS1123Label(o.namespace) {
		return usagef("--namespace %q: %s", o.namespace, problem)
	}
	for _, problem := range validation.IsDNS1035Label(o.service) {
		return usagef("--service-name %q: %s", o.service, problem)
	}
	if o.drain < 0 {
		return usagef("--drain %s: must be 0 or more", o.drain)
	}
	if o.pruneEvery <= 0 {
		return usagef("--prune-every %s: must be more than 0", o.pruneEvery)
	}
	if o.verbosity < 0 {
		return usagef("--verbosity %d: must be 0 or more", o.verbosity)
	}
	var err error
	if o.policy, err = o.keep.policy(); err != nil {
		return err
	}
	if o.hosts, err = certs.Hosts(o.service, o.namespace, o.webhookURL); err != nil {
		return usagef("--webhook-url: %w", err)
	}
	o.set, err = o.profiles.set()
	if err != nil {
		return err
	}
	if len(o.set.Resources()) == 0 {
		return usagef("no profile is switched on, so nothing would be guarded; name some with --profiles (there are: %v) or --profile-file", profile.BuiltinNames())
	}
	return nil
}

func (o *serveOptions) complete() error {
	// It complains about a wrong context as such; the next call does not.
	_, _, err := o.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return kubeconfigError(err)
	}
	if o.restConfig, err = o.config.ToRESTConfig(); err != nil {
		return kubeconfigError(err)
	}
	// The API server's own fairness holds clients back where that is needed.
	// client-go's defaults would let some 20 deletions through a second.
	o.restConfig.QPS, o.restConfig.Burst = 1000, 2000
	o.restConfig.UserAgent = "holdfast/" + version + " serve"
	return nil
}
