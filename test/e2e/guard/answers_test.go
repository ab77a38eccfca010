// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// statusOf is the API server's whole answer to a refused request.
func statusOf(err error) metav1.Status {
	GinkgoHelper()
	Expect(err).To(HaveOccurred())
	var status apierrors.APIStatus
	Expect(errors.As(err, &status)).To(BeTrue(), "%v", err)
	return status.Status()
}

// collector keeps the warnings that come with answers.
type collector struct {
	mu   sync.Mutex
	text []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (c *collector) HandleWarningHeader(_ int, _, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, text)
}

// joined is the text of Holdfast's warnings in one piece.
func (c *collector) joined() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var parts []string
	for _, t := range c.text {
		if part, found := strings.CutPrefix(t, "holdfast: "); found {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// warned is an administrator's client that hands warnings to the collector.
func warned(c *collector) dynamic.Interface {
	GinkgoHelper()
	config := rest.CopyConfig(cluster.Config)
	config.WarningHandler = c
	d, err := dynamic.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	return d
}

// get is the body of an answer over plain HTTP.
func get(ctx context.Context, url string) string {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return string(body)
}
