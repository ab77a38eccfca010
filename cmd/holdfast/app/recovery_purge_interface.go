// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/cql"
	"github.com/holdfast-dev/holdfast/recovery/purge"
)

type purgeInterfaceOptions struct {
	streams genericiooptions.IOStreams
	db      *cqlFlags
	output  *outputFlag

	iface          string
	major          string
	orphan         bool
	dryRun         bool
	printCQL       bool
	yes            bool
	confirm        string
	journal        string
	backup         string
	quiesceFor     time.Duration
	writersStopped bool
	perSecond      int
	shard          string
	printJob       int
	jobImage       string
	allow          map[string]*bool

	request purge.Request
	options purge.Options
}

func newRecoveryPurgeInterfaceCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &purgeInterfaceOptions{streams: streams, allow: map[string]*bool{}}
	cmd := &cobra.Command{
		Use:   "purge-interface",
		Short: "Remove an Astarte interface, its data and all its traces from the database",
		Long: `Remove one major version of an Astarte interface from Cassandra or ScyllaDB:
its definition, its data, and every trace that Astarte keeps of it.

The plan is shown first: what there is, and what speaks against it. Nothing is
changed until you type the interface's full name, or give the plan's digest with
--confirm. Each danger must be accepted with its own --allow-... flag.

A purge that was interrupted goes on when the same command is run again. What is
deleted cannot be brought back, but from a backup made with --backup.`,
		Example: `  holdfast recovery purge-interface --hosts db1 --realm test --interface org.example.Values --major 1 --dry-run
  holdfast recovery purge-interface --hosts db1 --realm test --interface org.example.Values --major 1 --backup ./values-v1
  holdfast recovery purge-interface --astarte astarte -n astarte --realm test --interface org.example.Values --major 1 --confirm DIGEST`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			return purgeError(o.run(cmd.Context()))
		},
	}
	o.db = addCQLFlags(cmd)
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML)
	o.addFlags(cmd)
	return cmd
}

func (o *purgeInterfaceOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.iface, "interface", "", "name of the interface")
	f.StringVar(&o.major, "major", "", "major version of the interface")
	f.BoolVar(&o.orphan, "orphan", false, "purge what is left of an interface whose row was deleted by hand")
	f.BoolVar(&o.dryRun, "dry-run", false, "show the plan and stop; only SELECTs are sent")
	f.BoolVar(&o.printCQL, "print-cql", false, "print the statements that would be sent, and stop")
	f.BoolVar(&o.yes, "yes", false, "accepted for scripts, and not enough: a purge needs --confirm")
	f.StringVar(&o.confirm, "confirm", "", "digest of the plan, to purge without being asked")
	f.StringVar(&o.journal, "journal", "", "folder for the journals (default: in the user's state folder)")
	f.StringVar(&o.backup, "backup", "", "folder for a backup of every row before it is deleted")
	f.DurationVar(&o.quiesceFor, "quiesce-for", 10*time.Minute, "how long to wait for services to forget the interface")
	f.BoolVar(&o.writersStopped, "writers-stopped", false, "the data updater was stopped or restarted: do not wait")
	f.IntVar(&o.perSecond, "max-deletes-per-second", 0, "bound of the deletes a second (default: as many as the servers take)")
	f.StringVar(&o.shard, "shard", "", "do one part of a purge that several processes share: prepare/N, I/N, finish/N")
	f.IntVar(&o.printJob, "print-job", 0, "print Kubernetes Jobs that purge with so many sweepers, and stop")
	f.StringVar(&o.jobImage, "job-image", "", "image of Holdfast for --print-job (default: this version's)")
	for kind, text := range map[string]string{
		purge.DangerDeclared:   "purge although devices declare the interface",
		purge.DangerTriggers:   "purge although triggers watch the interface",
		purge.DangerNodesDown:  "purge although nodes of the database are down (never drops a table)",
		purge.DangerIDMismatch: "purge by the id in the interface's row although it is not the derived one",
	} {
		o.allow[kind] = f.Bool("allow-"+kind, false, text)
	}
}

func (o *purgeInterfaceOptions) complete() error {
	if o.journal == "" {
		dir, err := stateDir()
		if err != nil {
			return err
		}
		o.journal = filepath.Join(dir, "purge")
	}
	for _, path := range []*string{&o.journal, &o.backup} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return usagef("find folder %q: %w", *path, err)
		}
		*path = abs
	}
	return nil
}

// stateDir is where programs of the user keep what must outlive them.
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "holdfast"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usagef("find your home folder for the journal: %w; name a folder with --journal", err)
	}
	return filepath.Join(home, ".local", "state", "holdfast"), nil
}

func (o *purgeInterfaceOptions) validate() error {
	if err := o.output.validate(); err != nil {
		return err
	}
	if o.iface == "" {
		return usagef("--interface is missing")
	}
	if err := purge.CheckInterface(o.iface); err != nil {
		return usagef("%w", err)
	}
	major, err := purge.ParseMajor(o.major)
	if err != nil {
		return usagef("%w", err)
	}
	shard, err := purge.ParseShard(o.shard)
	if err != nil {
		return usagef("--shard: %w", err)
	}
	if err := o.validateNumbers(); err != nil {
		return err
	}
	if err := o.db.validate(); err != nil {
		return err
	}
	if shard.Count > 0 && o.confirm == "" {
		return usagef("--shard needs --confirm with the plan's digest; --print-job writes both")
	}
	o.request = purge.Request{Realm: o.db.realm, Keyspace: o.db.keyspace, Interface: o.iface, Major: major, Orphan: o.orphan}
	o.options = purge.Options{
		Version: version, User: currentUser(), Journal: o.journal, Backup: o.backup, Consistency: o.db.level(),
		QuiesceFor: o.quiesceFor, WritersStopped: o.writersStopped, DeletesPerSecond: o.perSecond, Shard: shard,
	}
	for kind, allowed := range o.allow {
		if *allowed {
			o.options.Allowed = append(o.options.Allowed, kind)
		}
	}
	return nil
}

func (o *purgeInterfaceOptions) validateNumbers() error {
	switch {
	case o.perSecond < 0:
		return usagef("--max-deletes-per-second cannot be negative")
	case o.quiesceFor < 0:
		return usagef("--quiesce-for cannot be negative")
	case o.printJob < 0 || o.printJob > 4096:
		return usagef("--print-job takes from 1 to 4096 sweepers")
	case o.printJob > 0 && o.shard != "":
		return usagef("--print-job and --shard exclude each other")
	}
	return nil
}

func currentUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func (o *purgeInterfaceOptions) run(ctx context.Context) error {
	db, err := o.db.open(ctx, o.streams.ErrOut)
	if err != nil {
		return err
	}
	defer db.Close()
	o.request.InstanceID = o.db.instanceID
	shown := newProgress(o.streams.ErrOut, isTerminalWriter(o.streams.ErrOut))
	defer shown.end()
	o.options.Observe = shown.observe
	plan, err := o.plan(ctx, db)
	var done *purge.DoneError
	if errors.As(err, &done) {
		_, err := fmt.Fprintln(o.streams.ErrOut, done.Error())
		return err
	}
	if err != nil {
		return err
	}
	switch {
	case o.printCQL:
		return printStatements(o.streams.Out, plan, o.options)
	case o.printJob > 0:
		return o.printJobs(plan)
	case o.dryRun:
		return o.printPlan(o.streams.Out, plan)
	}
	if plan.Target.Orphan && plan.Resumes == "" && plan.Empty() {
		_, err := fmt.Fprintf(o.streams.ErrOut, "nothing to do: no trace of %s is left in keyspace %s\n", purge.Title(plan.Iface.Name, plan.Iface.Major), plan.Keyspace)
		return err
	}
	if err := o.agree(ctx, plan); err != nil {
		return err
	}
	report, err := purge.Execute(ctx, db, plan, o.options)
	shown.end()
	if report != nil {
		err = errors.Join(err, o.printReport(report))
	}
	return err
}

// plan is the plan of this command: a shard takes the one that was prepared.
func (o *purgeInterfaceOptions) plan(ctx context.Context, db *cql.Session) (*purge.Plan, error) {
	switch o.options.Shard.Role {
	case purge.RoleSweep, purge.RoleFinish:
		return purge.Join(ctx, db, o.request, o.options, o.confirm)
	default:
		return purge.Prepare(ctx, db, o.request, o.options)
	}
}
