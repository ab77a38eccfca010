// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"

	"github.com/oklog/ulid/v2"

	"github.com/holdfast-dev/holdfast/recovery/purge"
)

// The Secrets that the Jobs of --print-job read, and where they are mounted.
const (
	jobPasswordSecret = "holdfast-cql"     //nolint:gosec // G101: a name
	jobTLSSecret      = "holdfast-cql-tls" //nolint:gosec // G101: a name
	jobTLSFolder      = "/etc/holdfast/cql"
)

// printJobs prints Jobs that carry out the plan.
func (o *purgeInterfaceOptions) printJobs(plan *purge.Plan) error {
	if err := plan.CheckAllowed(o.options.Allowed); err != nil {
		return err
	}
	if plan.Resumes != "" {
		return fmt.Errorf("print jobs: a purge of %s was begun in %s; finish it with the command that began it", plan.Confirm, plan.Resumes)
	}
	spec := purge.JobSpec{
		Namespace: orElse(*o.db.kube.config.Namespace, "default"), Image: orElse(o.jobImage, "holdfast:"+version), Sweepers: o.printJob,
		Journal: o.journal, Backup: o.backup, Args: o.jobArgs(), ID: ulid.MustNew(ulid.Now(), rand.Reader).String(),
	}
	o.addSecrets(&spec)
	manifest, err := plan.Jobs(spec)
	if err != nil {
		return err
	}
	if err := o.explainSecrets(spec); err != nil {
		return err
	}
	_, err = o.streams.Out.Write(manifest)
	return err
}

// addSecrets names the Secrets with password and certificates: those of the
// Astarte, or the ones that the user is told to make.
func (o *purgeInterfaceOptions) addSecrets(spec *purge.JobSpec) {
	switch {
	case o.db.secrets.password != "" && o.db.username == "":
		spec.PasswordSecret, spec.PasswordKey = o.db.secrets.password, o.db.secrets.passwordKey
	case o.db.resolved.Username != "":
		spec.PasswordSecret, spec.PasswordKey = jobPasswordSecret, "password"
	}
	switch {
	case o.db.ca != "" || o.db.cert != "":
		spec.TLSSecret = jobTLSSecret
	case o.db.secrets.ca != "":
		spec.TLSSecret = o.db.secrets.ca
	}
	if spec.TLSSecret != "" {
		spec.TLSFolder = jobTLSFolder
	}
}

func (o *purgeInterfaceOptions) explainSecrets(spec purge.JobSpec) error {
	if spec.PasswordSecret == jobPasswordSecret {
		if _, err := fmt.Fprintf(o.streams.ErrOut, "The Jobs read the password from a Secret; make it first:\n  kubectl create secret generic %s -n %s --from-file=password=PASSWORD_FILE\n", spec.PasswordSecret, spec.Namespace); err != nil {
			return err
		}
	}
	if spec.TLSSecret == jobTLSSecret {
		if _, err := fmt.Fprintf(o.streams.ErrOut, "The Jobs read certificates from a Secret; make it first:\n  kubectl create secret generic %s -n %s --from-file=ca.crt=CA_FILE [--from-file=tls.crt=… --from-file=tls.key=…]\n", spec.TLSSecret, spec.Namespace); err != nil {
			return err
		}
	}
	return nil
}

// jobArgs are this command's arguments for the pods.
func (o *purgeInterfaceOptions) jobArgs() []string {
	var args []string
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag+"="+value)
		}
	}
	for _, host := range o.db.resolved.Hosts {
		add("hosts", host)
	}
	add("realm", o.db.realm)
	add("keyspace", o.db.keyspace)
	add("instance-id", o.db.instanceID)
	add("interface", o.iface)
	add("major", o.major)
	add("datacenter", o.db.datacenter)
	add("username", o.db.resolved.Username)
	if tls := o.db.resolved.TLS; tls != nil {
		args = append(args, "--tls")
		add("tls-server-name", tls.ServerName)
		if len(tls.CA) > 0 {
			add("tls-ca", jobTLSFolder+"/ca.crt")
		}
	}
	if o.db.cert != "" {
		add("tls-cert", jobTLSFolder+"/tls.crt")
		add("tls-key", jobTLSFolder+"/tls.key")
	}
	add("consistency", o.db.consistency)
	add("request-timeout", o.db.timeout.String())
	add("quiesce-for", o.quiesceFor.String())
	if o.writersStopped {
		args = append(args, "--writers-stopped")
	}
	if o.orphan {
		args = append(args, "--orphan")
	}
	if o.perSecond > 0 {
		// The bound is of all sweepers together.
		add("max-deletes-per-second", strconv.Itoa(max(1, o.perSecond/o.printJob)))
	}
	allowed := slices.Clone(o.options.Allowed)
	slices.Sort(allowed)
	for _, kind := range allowed {
		args = append(args, purge.AllowFlag(kind))
	}
	return args
}
