// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLifetime outlives every suite; nothing here refreshes a token.
const tokenLifetime = 24 * 60 * 60

// KubeconfigFor writes a kubeconfig for a service account, with a token as a
// Pod of that account would get it, and returns the file's path.
func (c *Cluster) KubeconfigFor(ctx context.Context, namespace, serviceAccount string) (string, error) {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return "", fmt.Errorf("write kubeconfig of service account %s/%s: %w", namespace, serviceAccount, err)
	}
	lifetime := int64(tokenLifetime)
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, serviceAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &lifetime}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("write kubeconfig of service account %s/%s: %w", namespace, serviceAccount, err)
	}
	const name = "holdfast"
	config := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			name: {Server: c.Config.Host, CertificateAuthorityData: c.Config.CAData},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{serviceAccount: {Token: token.Status.Token}},
		Contexts: map[string]*clientcmdapi.Context{
			name: {Cluster: name, AuthInfo: serviceAccount, Namespace: namespace},
		},
		CurrentContext: name,
	}
	file, err := os.CreateTemp(c.Dir, fmt.Sprintf("%s-%s-*.kubeconfig", namespace, serviceAccount))
	if err != nil {
		return "", fmt.Errorf("write kubeconfig of service account %s/%s: %w", namespace, serviceAccount, err)
	}
	defer file.Close() //nolint:errcheck // nothing is written through it
	if err := clientcmd.WriteToFile(config, file.Name()); err != nil {
		return "", fmt.Errorf("write kubeconfig of service account %s/%s: %w", namespace, serviceAccount, err)
	}
	return file.Name(), nil
}

// KubeconfigForUser writes a kubeconfig for a user with a client certificate
// and returns the file's path. The user may do nothing until it is granted.
func (c *Cluster) KubeconfigForUser(name string, groups ...string) (string, error) {
	response, err := c.supervisor.ask(Request{Do: "user", Name: name, Groups: groups})
	if err != nil {
		return "", fmt.Errorf("write kubeconfig of user %q: %w", name, err)
	}
	return response.Kubeconfig, nil
}

// Tool is the path of a program that comes with the control plane: kubectl,
// helm3 or helm4.
func (c *Cluster) Tool(name string) string { return filepath.Join(c.Bin, name) }
