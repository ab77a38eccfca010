// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// metricsOf is the text of Holdfast's metrics.
func metricsOf(ctx context.Context, g Gomega) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, holdfast.MetricsURL+"/metrics", nil)
	g.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return string(text)
}

var _ = Describe("The values of a Secret", func() {
	It("are nowhere but in Secrets, unless they are asked for", func(ctx SpecContext) {
		const marker = "m4rk3r-of-a-secret"
		encoded := base64.StdEncoding.EncodeToString([]byte(marker))
		namespace := must.Namespace(ctx, admin, "team")
		manifest := fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: password, namespace: %s}, data: {password: %s}}", namespace, encoded)
		must.Succeed(admin.RunInput(ctx, manifest, "kubectl", "apply", "-f", "-")) // with the annotation of what was applied
		made, err := client.Resource(secrets()).Namespace(namespace).Get(ctx, "password", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())

		var written strings.Builder
		run := func(name string, args ...string) harness.Result {
			r := admin.Run(ctx, name, args...)
			written.WriteString(strings.Join(args, " ") + "\n" + r.Output)
			return r
		}
		must.Succeed(run("kubectl", "delete", "secret", "password", "-n", namespace))
		id := saved(ctx, made)[0].ID
		snapshotSecret := "holdfast-snapshot-" + id
		for _, args := range [][]string{
			{"list"},
			{"list", "-o", "wide"},
			{"list", "-o", "json"},
			{"show", id},
			{"show", id, "-o", "json"},
			{"diff", id},
			{"prune", "--dry-run", "--keep-versions", "1", "-o", "json"},
			{"restore", id, "--dry-run"},
			{"restore", id, "--dry-run", "-o", "json"},
			{"restore", id, "--yes"},
			{"diff", id},
			{"pin", id},
			{"unpin", id},
		} {
			run("holdfast", append([]string{"recovery"}, args...)...)
		}
		must.Succeed(run("kubectl", "describe", "secret", snapshotSecret, "-n", holdfast.Namespace))
		// Damaged, its error tells nothing either.
		kept, err := kube.CoreV1().Secrets(holdfast.Namespace).Get(ctx, snapshotSecret, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		damaged := kept.DeepCopy()
		damaged.Data["sum"] = []byte("none")
		_, err = kube.CoreV1().Secrets(holdfast.Namespace).Update(ctx, damaged, metav1.UpdateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(run("holdfast", "recovery", "show", id).Code).To(Equal(1))
		Expect(run("holdfast", "recovery", "diff", id).Code).To(Equal(2))

		for source, text := range map[string]func() (string, error){
			"what commands print": func() (string, error) { return written.String(), nil },
			"the log of serve":    holdfast.Logs,
			"metrics":             func() (string, error) { return metricsOf(ctx, Default), nil },
			"the audit log": func() (string, error) {
				data, err := os.ReadFile(cluster.AuditLog)
				return string(data), err
			},
			"events": func() (string, error) {
				r := admin.Kubectl(ctx, "get", "events", "-A", "-o", "json")
				return r.Stdout, nil
			},
			"all objects but Secrets, and the metadata of those of Holdfast": func() (string, error) {
				objects, err := harness.Dump(ctx, cluster.Config)
				var all strings.Builder
				for name, object := range objects {
					if !strings.HasPrefix(name, "secrets/") {
						all.WriteString(object)
					}
				}
				meta, metaErr := kept.ObjectMeta.Marshal()
				all.Write(meta)
				if err == nil {
					err = metaErr
				}
				return all.String(), err
			},
			"raw etcd outside Secrets, and the keys of all": func() (string, error) {
				stored, err := harness.Etcd(ctx, cluster)
				var all strings.Builder
				secrets := 0
				for key, value := range stored {
					all.WriteString(key + "\n")
					if strings.HasPrefix(key, "/registry/secrets/") {
						secrets++
						continue
					}
					all.Write(value)
				}
				if err == nil && secrets == 0 {
					err = errors.New("there is no Secret where Secrets are looked for")
				}
				return all.String(), err
			},
		} {
			got, err := text()
			Expect(err).NotTo(HaveOccurred(), source)
			Expect(got).NotTo(BeEmpty(), source)
			for _, secret := range []string{marker, encoded} {
				Expect(strings.Contains(got, secret)).To(BeFalse(), "%s holds the value of a Secret", source)
			}
		}
		again, err := kube.CoreV1().Secrets(holdfast.Namespace).Get(ctx, snapshotSecret, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		again.Data = kept.Data
		_, err = kube.CoreV1().Secrets(holdfast.Namespace).Update(ctx, again, metav1.UpdateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.Holdfast(ctx, "recovery", "show", id, "--reveal").Stdout).To(ContainSubstring(encoded))
	})
})
