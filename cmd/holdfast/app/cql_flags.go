// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/holdfast-dev/holdfast/recovery/cql"
	"github.com/holdfast-dev/holdfast/recovery/purge"
)

// passwordVariable names the environment variable that may hold the password:
// a flag would show it to everybody on the machine.
const passwordVariable = "HOLDFAST_CQL_PASSWORD" //nolint:gosec // G101: a name, not a password

// cqlFlags are the flags by which a command reaches the database of Astarte.
type cqlFlags struct {
	hosts        []string
	realm        string
	keyspace     string
	instanceID   string
	datacenter   string
	username     string
	passwordFile string
	ca           string
	cert         string
	key          string
	serverName   string
	consistency  string
	timeout      time.Duration
	astarte      string
	tls          bool
	kube         *clusterFlags

	// What config found out, for the Jobs that --print-job prints.
	resolved cql.Config
	secrets  astarteSecrets
}

func addCQLFlags(cmd *cobra.Command) *cqlFlags {
	f := &cqlFlags{}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.hosts, "hosts", nil, "nodes of the database, host or host:port")
	flags.StringVar(&f.realm, "realm", "", "realm of Astarte")
	flags.StringVar(&f.keyspace, "keyspace", "", "keyspace, instead of the one that follows from realm and instance id")
	flags.StringVar(&f.instanceID, "instance-id", "", "id of the Astarte instance (Astarte 1.2 and newer, when one was set)")
	flags.StringVar(&f.datacenter, "datacenter", "", "datacenter whose nodes are asked first")
	flags.StringVar(&f.username, "username", "", "user of the database")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the password; else "+passwordVariable+" is read")
	flags.BoolVar(&f.tls, "tls", false, "connect with TLS; the other --tls flags imply it")
	flags.StringVar(&f.ca, "tls-ca", "", "connect with TLS, and trust this CA certificate (PEM file)")
	flags.StringVar(&f.cert, "tls-cert", "", "client certificate (PEM file)")
	flags.StringVar(&f.key, "tls-key", "", "key of the client certificate (PEM file)")
	flags.StringVar(&f.serverName, "tls-server-name", "", "name in the server's certificate, when it is not the host's; connects with TLS")
	flags.StringVar(&f.consistency, "consistency", "QUORUM", "at which data is read and deleted: QUORUM, LOCAL_QUORUM or ALL")
	flags.DurationVar(&f.timeout, "request-timeout", cql.DefaultRequestTimeout, "how long one request may take")
	flags.StringVar(&f.astarte, "astarte", "", "read hosts, credentials and instance id from this Astarte resource in the cluster")
	// kubectl's flags, but for the two names that mean the database here.
	config := genericclioptions.NewConfigFlags(true)
	config.CacheDir, config.TLSServerName, config.Timeout = nil, nil, nil
	config.AddFlags(flags)
	f.kube = &clusterFlags{config: config, holdfastNamespace: defaultHoldfastNamespace}
	return f
}

// validate looks at everything that can be wrong before a connection.
func (f *cqlFlags) validate() error {
	if f.realm == "" && f.keyspace == "" {
		return usagef("--realm is missing")
	}
	if f.realm != "" {
		if err := purge.CheckRealm(f.realm); err != nil {
			return usagef("%w", err)
		}
	}
	if f.keyspace != "" {
		if err := cql.CheckIdentifier("keyspace", f.keyspace); err != nil {
			return usagef("%w", err)
		}
	}
	return f.validateConnection()
}

func (f *cqlFlags) validateConnection() error {
	if err := purge.CheckInstanceID(f.instanceID); err != nil {
		return usagef("%w", err)
	}
	if len(f.hosts) == 0 && f.astarte == "" {
		return usagef("name the database: --hosts HOST[:PORT], or --astarte NAME -n NAMESPACE to read it from the cluster")
	}
	if (f.cert == "") != (f.key == "") {
		return usagef("--tls-cert and --tls-key go together")
	}
	if f.timeout <= 0 {
		return usagef("--request-timeout must be longer than nothing")
	}
	if _, err := cql.ParseConsistency(f.consistency); err != nil {
		return usagef("--%w", err)
	}
	return nil
}

// config is how to connect: what the Astarte resource says, and over it the
// flags.
func (f *cqlFlags) config(ctx context.Context, warnings io.Writer) (cql.Config, error) {
	var c cql.Config
	if f.astarte != "" {
		found, err := f.readAstarte(ctx, warnings)
		if err != nil {
			return c, err
		}
		c, f.secrets = found.config, found.secrets
		if f.instanceID == "" {
			f.instanceID = found.instanceID
		}
	}
	if len(f.hosts) > 0 {
		c.Hosts = f.hosts
	}
	c.Datacenter, c.RequestTimeout = f.datacenter, f.timeout
	if f.username != "" {
		c.Username = f.username
	}
	password, err := f.password()
	if err != nil {
		return c, err
	}
	if password != "" {
		c.Password = password
	}
	if c.Username != "" && c.Password == "" {
		return c, usagef("--username has no password: give --password-file or set %s", passwordVariable)
	}
	if err := f.addTLS(&c); err != nil {
		return c, err
	}
	f.resolved = c
	return c, nil
}

func (f *cqlFlags) password() (string, error) {
	if f.passwordFile == "" {
		return os.Getenv(passwordVariable), nil
	}
	data, err := os.ReadFile(f.passwordFile)
	if err != nil {
		return "", usagef("read --password-file: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

func (f *cqlFlags) addTLS(c *cql.Config) error {
	if !f.tls && f.ca == "" && f.cert == "" && f.serverName == "" {
		return nil
	}
	if c.TLS == nil {
		c.TLS = &cql.TLS{}
	}
	for _, file := range []struct {
		flag, path string
		into       *[]byte
	}{{"--tls-ca", f.ca, &c.TLS.CA}, {"--tls-cert", f.cert, &c.TLS.Cert}, {"--tls-key", f.key, &c.TLS.Key}} {
		if file.path == "" {
			continue
		}
		data, err := os.ReadFile(file.path)
		if err != nil {
			return usagef("read %s: %w", file.flag, err)
		}
		*file.into = data
	}
	if f.serverName != "" {
		c.TLS.ServerName = f.serverName
	}
	return nil
}

// open connects to the database.
func (f *cqlFlags) open(ctx context.Context, warnings io.Writer) (*cql.Session, error) {
	c, err := f.config(ctx, warnings)
	if err != nil {
		return nil, err
	}
	db, err := cql.Open(ctx, c)
	if err != nil && f.astarte != "" && len(f.hosts) == 0 && cql.KindOf(err) == cql.KindConnection {
		return nil, fmt.Errorf("%w; these hosts are what Astarte %q names: where only Pods reach them, run 'kubectl port-forward' and give its end as --hosts", err, f.astarte)
	}
	return db, err
}

// readRealm checks the flags of a command that reads a realm, and runs it.
func (f *cqlFlags) readRealm(ctx context.Context, output *outputFlag, run func(context.Context) error) error {
	if err := output.validate(); err != nil {
		return err
	}
	if err := f.validate(); err != nil {
		return err
	}
	return purgeError(run(ctx))
}

// request names the realm for commands that read all of it.
func (f *cqlFlags) request() purge.Request {
	return purge.Request{Realm: f.realm, Keyspace: f.keyspace, InstanceID: f.instanceID}
}

func (f *cqlFlags) level() cql.Consistency {
	level, _ := cql.ParseConsistency(f.consistency) // validate has looked
	return level
}

// purgeError gives an error of a purge the exit code that scripts go by.
func purgeError(err error) error {
	var input *purge.InputError
	var refused *purge.RefusedError
	var stopped *purge.StoppedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &input):
		return &exitError{exitUsage, err}
	case errors.As(err, &refused) && !refused.Final, errors.Is(err, purge.ErrDigest):
		return &exitError{exitUnconfirmed, err}
	case errors.Is(err, purge.ErrReinstalled):
		return &exitError{exitFailed, err}
	case errors.Is(err, purge.ErrIncomplete):
		return &exitError{exitPartly, err}
	case errors.As(err, &stopped):
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted; what was done is in the journal")
		}
		return &exitError{exitPartly, fmt.Errorf("%w; the purge is begun and not complete: run the same command again to go on", err)}
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; nothing was changed")
	default:
		return err
	}
}
